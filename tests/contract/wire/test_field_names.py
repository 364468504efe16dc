"""The fields of everything that leaves a process have names of the domain: a question word or a preposition alone does
not say what a field holds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import msgspec
from google.protobuf.message import Message

import client
import contract
import kvm_svc
import perfcore_svc
from lbrlab import v1
from tests.cases import cases

QUESTIONS = {"how", "what", "when", "whence", "where", "whether", "which", "who", "whom", "whose", "why"}
PREPOSITIONS = {
    "at",
    "by",
    "for",
    "from",
    "in",
    "into",
    "of",
    "on",
    "since",
    "till",
    "to",
    "until",
    "upon",
    "upto",
    "with",
}
REFERENCES = {"as", "it", "none", "so", "such", "than", "that", "this", "those"}
PARTICIPLES = {"asked", "heeded", "news", "reached", "taken", "told", "tried"}
RIDDLES = QUESTIONS | PREPOSITIONS | REFERENCES | PARTICIPLES


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def structs() -> dict[str, type[msgspec.Struct]]:
    """Records, messages, commands, results, run files, states of campaigns, JSON documents: all are of this kind."""
    packages = (contract, kvm_svc, perfcore_svc, client)
    values = [value for package in packages for module in modules(package) for value in vars(module).values()]
    kinds = {value for value in values if isinstance(value, type) and issubclass(value, msgspec.Struct)}
    return {f"{kind.__module__}.{kind.__name__}": kind for kind in kinds}


def protos() -> dict[str, Any]:
    values = [value for module in modules(v1) for value in vars(module).values()]
    kinds = [value.DESCRIPTOR for value in values if isinstance(value, type) and issubclass(value, Message)]
    return {kind.full_name: kind for kind in kinds if kind.full_name.startswith("lbrlab.")}


def names(kind: type[msgspec.Struct]) -> set[str]:
    return {*kind.__struct_fields__, *kind.__struct_encode_fields__}


def test_no_struct_has_a_field_that_is_a_riddle() -> None:
    found = structs()
    known = ("contract.trace.link.Delivery", "client.run.file.RunFile", "client.report.documents.RunDocument")
    assert set(known) <= found.keys()

    assert {name: sorted(wrong) for name, kind in found.items() if (wrong := names(kind) & RIDDLES)} == {}


def test_no_proto_message_has_a_field_that_is_a_riddle() -> None:
    found = protos()
    assert {"lbrlab.v1.EventCreated", "lbrlab.v1.FireHostTimerRequest", "lbrlab.v1.NotRunning"} <= found.keys()

    wrong = {name: [f.name for f in kind.fields if f.name in RIDDLES] for name, kind in found.items()}
    assert {name: fields for name, fields in wrong.items() if fields} == {}


@cases("name", ["why", "until", "taken"])
def test_a_riddle_is_found(name: str) -> None:
    assert names(msgspec.defstruct("Example", [name, "reason"])) & RIDDLES == {name}
