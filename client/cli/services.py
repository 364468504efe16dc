"""The services that a command uses: none, two that it starts, or running ones by address."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.cli.options import TLS_VARIABLE
from client.drive.grpc_wire import NO_WAIT, Turn
from client.drive.play import layout_of
from client.litmus import Scenario
from contract.errors import InputError
from contract.wire.tls import Identity, check_exposure, is_local

WAIT_LIMIT = 86400
USUAL_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Services:
    """Addresses of running services, in the order in which scenarios name hosts and KVMs; empty if none is given.
    Raises InputError for a text that is not an address, for one given twice, and for one kind without the other."""

    perfcores: tuple[str, ...] = ()
    kvms: tuple[str, ...] = ()
    turn: Turn = NO_WAIT
    identity: Identity | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if bool(self.perfcores) != bool(self.kvms):
            raise InputError("expected both --perfcore and --kvm, or neither", "--perfcore, --kvm")
        for flag, texts in (("--perfcore", self.perfcores), ("--kvm", self.kvms)):
            for text in texts:
                check_address(flag, text)
            if twice := next((text for text in texts if texts.count(text) > 1), None):
                raise InputError(f"{twice} is given twice; each service has an address of its own", flag)
            for text in texts:
                check_exposure({flag: text}, self.identity, self.insecure)

    def __bool__(self) -> bool:
        return bool(self.perfcores)

    def wire_name(self, wanted: str | None) -> str:
        """``sim`` or ``grpc``: the wire that was asked for, or the wire that fits the addresses."""
        if self and wanted == "sim":
            raise InputError("addresses need --wire grpc", "--wire sim")
        return wanted or ("grpc" if self else "sim")

    def options(self, scenario: Scenario | None = None) -> str:
        """The options that name these services, each behind a blank; of them those that ``scenario`` needs. "" if none
        is given."""
        asked = [(flag, len(names)) for flag, _, names in self._needs(scenario)] if scenario else []
        need = dict(asked)
        given = {"--perfcore": self.perfcores, "--kvm": self.kvms}
        used = [(flag, text) for flag, texts in given.items() for text in texts[: need.get(flag)]]
        if self.identity is not None and not all(text.startswith("unix:") for _, text in used):
            used.append(("--tls", str(self.identity.folder)))
        exposed = self.insecure and not all(is_local(text) for _, text in used)
        return "".join(f" {flag} {shlex.quote(text)}" for flag, text in used) + (" --insecure" if exposed else "")

    def check_count(self, scenario: Scenario) -> None:
        """Check that there are as many addresses as the scenario has services. Raises InputError that names them."""
        for flag, given, names in self._needs(scenario):
            if given and len(given) != len(names):
                raise InputError(f"{_times(len(given))}, the scenario has {len(names)}: {', '.join(names)}", flag)

    def shortage(self, scenario: Scenario) -> str:
        """Why these services are too few for a scenario; "" if they are enough or none is given."""
        for flag, given, names in self._needs(scenario):
            if given and len(given) < len(names):
                return f"{flag}: {_times(len(given))}, the scenario has {len(names)}: {', '.join(names)}"
        return ""

    def _needs(self, scenario: Scenario) -> list[tuple[str, tuple[str, ...], list[str]]]:
        hosts = ["the first machine", *(host.name for host in scenario.hosts)]
        return [("--perfcore", self.perfcores, hosts), ("--kvm", self.kvms, list(layout_of(scenario).kvms))]


def timeout_of(given: float | None, *, grpc: bool) -> float:
    """Seconds for a call to a service. ``grpc``: whether the command calls services. Raises InputError where it has a
    timeout and calls none."""
    if given is not None and not grpc:
        raise InputError("has no effect without services, which --perfcore and --kvm or --wire grpc give", "--timeout")
    return USUAL_TIMEOUT if given is None else given


def _times(count: int) -> str:
    return "given once" if count == 1 else f"given {count} times"


def check_address(flag: str, text: str) -> None:
    """Raises InputError naming ``flag`` if ``text`` is not the address of a service."""
    from contract.wire.address import address

    try:
        address(text)
    except ArgumentTypeError as error:
        raise InputError(str(error), flag) from None


def addresses(
    perfcore: Sequence[str] | None,
    kvm: Sequence[str] | None,
    wait: float = 0.0,
    take_over: bool = False,
    tls: Path | None = None,
    insecure: bool = False,
) -> Services:
    """``wait``, ``take_over``: as in ``Turn``. ``tls``: the folder of an Identity. Raises InputError as ``Services``
    does, for a wait without services, and for an identity that cannot be used."""
    given = {"--tls": tls is not None and str(tls) != os.environ.get(TLS_VARIABLE), "--insecure": insecure}
    if not perfcore and (useless := next((flag for flag, is_given in given.items() if is_given), None)):
        raise InputError("needs --perfcore and --kvm", useless)
    every = [*(perfcore or ()), *(kvm or ())]
    if given["--tls"] and all(address.startswith("unix:") for address in every):
        raise InputError("Unix sockets have no TLS", "--tls")
    if insecure and all(is_local(address) for address in every):
        raise InputError("every address is of this host", "--insecure")
    identity = Identity(tls) if tls is not None and perfcore else None
    if identity is not None:
        identity.check()
    if (wait or take_over) and not perfcore:
        raise InputError("needs --perfcore and --kvm", "--wait" if wait else "--take-over")
    if not 0 <= wait <= WAIT_LIMIT:
        raise InputError(f"expected seconds from 0 to {WAIT_LIMIT}, found {wait:g}", "--wait")
    return Services(tuple(perfcore or ()), tuple(kvm or ()), Turn(wait, take_over), identity, insecure)
