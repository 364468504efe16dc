"""All invariants over one trace."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import MethodType

import msgspec

from client.check.agreement import Agreement
from client.check.automaton import Automaton, Handler, Violation
from client.check.capability_kept import CapabilityKept
from client.check.debugctl_restored import DebugctlRestored
from client.check.form import FORM
from client.check.grants_kept import GrantsKept
from client.check.guest_clean import GuestClean
from client.check.host_clean import HostClean
from client.check.host_served import HostServed
from client.check.monitor import Monitor, Obligation
from client.check.msr_legality import MsrLegality
from client.check.no_counter import NoCounter
from client.check.no_leak import NoLeak
from client.check.no_loss import NoLoss
from client.check.no_silent_denial import NoSilentDenial
from client.check.no_starvation import NoStarvation
from client.check.one_owner import OneOwner
from client.check.precedence import Precedence
from client.check.recovers import Recovers
from client.check.revoke_completes import RevokeCompletes
from client.check.revoked import RevokedMeansRevoked
from client.check.stream_kept import StreamKept
from client.check.user_clean import UserClean
from client.check.world import World
from contract.canonical import Scoped
from contract.errors import InputError
from contract.invariants import VIOLATED
from contract.trace import AnyRecord, Setup

MONITORS: tuple[type[Monitor], ...] = (
    OneOwner,
    GuestClean,
    HostClean,
    HostServed,
    NoLeak,
    UserClean,
    NoLoss,
    NoSilentDenial,
    MsrLegality,
    CapabilityKept,
    RevokedMeansRevoked,
    Precedence,
    NoCounter,
    DebugctlRestored,
    StreamKept,
    GrantsKept,
    Agreement,
    RevokeCompletes,
    NoStarvation,
    Recovers,
)


class Finding(msgspec.Struct):
    """``verdict``: held; violated; open (a liveness invariant: the trace ends too early to decide, and ``pending``
    lists the things that are due); or not exercised (nothing in the trace could have violated it)."""

    invariant: str
    verdict: str
    violations: list[Violation]
    pending: list[Obligation] = []


def judge(records: list[AnyRecord]) -> list[Finding]:
    """Judge every invariant over one trace. Raises InputError if the records are not a trace: empty, no Setup first, a
    gap in ``seq``, or records that cannot follow each other."""
    if not records or not isinstance(records[0], Setup):
        raise InputError("a trace begins with a setup record", "trace: record 1")
    checker, cpus = _checker(records[0]), records[0].cpus
    handlers: dict[type, list[Callable[[AnyRecord], None]]] = {}
    number, time = 1, 0
    try:
        for number, record in enumerate(records, 1):
            if record.seq != number:
                raise InputError(f"seq is {record.seq}, expected {number}", f"trace: record {number}")
            if record.time != time:
                if record.time < time:
                    raise ValueError(f"time is {record.time} ns, {time} ns have passed already")
                time = record.time
            kind = type(record)
            if kind not in handlers:
                handlers[kind] = checker.handlers(kind, cpus)
            for handle in handlers[kind]:
                handle(record)
    except (LookupError, ValueError) as error:
        what = f"it names {error}" if isinstance(error, KeyError) else str(error)
        why = f"does not fit what came before: {what}"
        raise InputError(why, f"trace: record {number}") from None
    return checker.findings()


def _checker(setup: Setup) -> Checker:
    try:
        return Checker(setup)
    except ValueError as error:
        raise InputError(str(error), "trace: record 1") from None


Dispatch = Mapping[type, tuple[tuple[int, Handler], ...]]


def dispatch(automata: tuple[type[Automaton], ...]) -> Dispatch:
    """Type of record to the handlers of these automata, each with the index of its automaton."""
    found: dict[type, list[tuple[int, Handler]]] = {}
    for index, automaton in enumerate(automata):
        for kind, handler in automaton.HANDLERS.items():
            found.setdefault(kind, []).append((index, handler))
    return {kind: tuple(handlers) for kind, handlers in found.items()}


DISPATCH: Dispatch = dispatch((World, *MONITORS))


class Checker:
    """The world and the monitors of one trace, record by record. Without ``evidence`` it gives the same verdicts and no
    violations."""

    __slots__ = ("automata", "monitors", "world")

    world: World
    """The world, shared by all monitors."""
    monitors: list[Monitor]
    """In the order of MONITORS."""
    automata: tuple[Automaton, ...]
    """The world and the monitors, in the order of DISPATCH."""

    def __init__(self, setup: Setup, *, evidence: bool = True) -> None:
        """Raises ValueError if a machine cannot be as ``setup`` says."""
        world = World(setup, evidence=evidence)
        self._put(world, [invariant(world) for invariant in MONITORS])

    def _put(self, world: World, monitors: list[Monitor]) -> None:
        self.world, self.monitors, self.automata = world, monitors, (world, *monitors)

    def take(self, record: AnyRecord) -> None:
        """Take in one record. Raises LookupError or ValueError if it cannot follow the records before it."""
        automata = self.automata
        for index, handle in DISPATCH.get(type(record), ()):
            handle(automata[index], record)

    def handlers(self, kind: type, cpus: int) -> list[Callable[[AnyRecord], None]]:
        """The calls that check the form of a record of this type, on machines with ``cpus`` CPUs, and then do what
        ``take`` does."""
        automata = self.automata
        calls: list[Callable[[AnyRecord], None]] = [
            MethodType(handle, automata[index]) for index, handle in DISPATCH.get(kind, ())
        ]
        return [partial(FORM[kind], cpus), *calls] if kind in FORM else calls

    def clone(self) -> Checker:
        twin = object.__new__(Checker)
        world = self.world.clone()
        twin._put(world, [monitor.clone(world) for monitor in self.monitors])
        return twin

    def key(self) -> Hashable:
        """See ``contract.canonical``. A violated invariant stays violated, so the state of its monitor is left out."""
        monitors = [VIOLATED if monitor.broken else monitor.key() for monitor in self.monitors]
        return Scoped("host0", "", (self.world.key(), *monitors))

    def verdicts(self) -> dict[str, str]:
        return {monitor.name: monitor.verdict for monitor in self.monitors}

    def findings(self) -> list[Finding]:
        return [Finding(m.name, m.verdict, m.violations, m.pending()) for m in self.monitors]
