"""check(trace) -> verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from client.check.agreement import Agreement
from client.check.capability_kept import CapabilityKept
from client.check.debugctl_restored import DebugctlRestored
from client.check.guest_clean import GuestClean
from client.check.host_clean import HostClean
from client.check.host_served import HostServed
from client.check.monitor import Monitor, Obligation, Violation
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
from client.check.user_clean import UserClean
from client.check.world import World
from contract.errors import InputError
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
    Agreement,
    RevokeCompletes,
    NoStarvation,
    Recovers,
)


class Finding(msgspec.Struct):
    """``verdict``: held; violated; open (of liveness: the trace ends too early to tell, ``pending`` is what is due);
    or not exercised (nothing in the trace could have broken it)."""

    invariant: str
    verdict: str
    violations: list[Violation]
    pending: list[Obligation] = []


def judge(records: list[AnyRecord]) -> list[Finding]:
    """Every invariant over one trace. Raises InputError if it is no trace: empty, no Setup first, a gap in ``seq``, or
    records that cannot follow each other."""
    if not records or not isinstance(records[0], Setup):
        raise InputError("a trace begins with a setup record", "trace: record 1")
    world = _world(records[0])
    monitors = [invariant(world) for invariant in MONITORS]
    table: dict[type, list[Callable[[Any], None]]] = {}
    for monitor in monitors:
        for kind, handler in monitor.HANDLERS.items():
            table.setdefault(kind, []).append(handler.__get__(monitor))
    for number, record in enumerate(records, 1):
        if record.seq != number:
            raise InputError(f"seq is {record.seq}, expected {number}", f"trace: record {number}")
        try:
            world.apply(record)
            for handle in table.get(type(record), ()):
                handle(record)
        except (LookupError, ValueError) as error:
            why = f"does not fit what came before ({type(error).__name__}: {error})"
            raise InputError(why, f"trace: record {number}") from None
    return [Finding(m.name, m.verdict, m.violations, m.pending()) for m in monitors]


def _world(setup: Setup) -> World:
    try:
        return World(setup)
    except ValueError as error:
        raise InputError(str(error), "trace: record 1") from None
