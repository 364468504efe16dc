"""The command that each method of a control service carries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from google.protobuf.descriptor import ServiceDescriptor

from contract.network import Fate


class Decide(msgspec.Struct):
    """The fate of message ``n`` of ``session`` in a service's inbox. ``fault``: as in Delivery, "" for none. ``field``:
    as in ``Network.decide``."""

    session: str
    n: int
    fate: Fate
    fault: str = ""
    field: str = ""


def command_types(service: ServiceDescriptor, commands: Iterable[type[msgspec.Struct]]) -> dict[str, type[Any]]:
    """By method name: ``Open`` carries ``Open``, ``Configure`` of PerfControlService carries ``ConfigurePerf``."""
    structs: dict[str, type[msgspec.Struct]] = {Decide.__name__: Decide}
    structs |= {struct.__name__: struct for struct in commands}
    side = service.name.removesuffix("ControlService")
    found: dict[str, type[Any]] = {}
    for method in service.methods:
        for name in (method.name, method.name + side, side + method.name):
            if name in structs:
                found[method.name] = structs.pop(name)
                break
    if structs or len(found) != len(service.methods):
        raise TypeError(f"{service.full_name} and the commands differ: {', '.join(structs)}")
    return found
