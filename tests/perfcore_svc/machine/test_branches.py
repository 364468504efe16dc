"""The entry that a retired branch leaves, and its owner."""

from __future__ import annotations

from collections.abc import Sequence

from contract.machine import (
    Branch,
)
from contract.provenance import SERIAL_LIMIT, Origin, origin_of
from contract.trace import Retired
from perfcore_svc.machine.machine import Machine
from tests.cases import cases
from tests.perfcore_svc.machine.bench import FREEZE, LBR, Bench

# Branches --------------------------------------------------------------------------------------------------


def recorded(m: Machine) -> list[Origin | None]:
    ring = m.cpus[0].lbr
    return [origin_of(ring.from_ip[i]) for i in ring.newest_first() if ring.from_ip[i]]


@cases(("debugctl", "select", "expected"), [(LBR, 0, True), (FREEZE, 0, False), (LBR, 2, False), (LBR, 1, True)])
def test_debugctl_and_select_decide_what_is_recorded(debugctl: int, select: int, expected: bool) -> None:
    m = Bench()
    m.cpus[0].lbr.select = select
    m.enter(Branch(2, "jcc", "user"), debugctl=debugctl)
    assert len(recorded(m)) == (2 if expected else 0)
    record = m.effects.records[-1]
    assert isinstance(record, Retired)
    assert (record.recorded, record.count, record.first) == (expected, 2, 0)


def test_provenance_tells_guest_from_host() -> None:
    m = Bench()
    m.cpus[0].debugctl = LBR
    m.retire(m.cpus[0], "call", "kernel", 1)
    m.cpus[0].task = ""
    m.retire(m.cpus[0], "jmp", "kernel", 1)
    m.cpus[0].task = "v"
    m.enter(Branch(1, "far", "user"), debugctl=LBR)
    v = m.actors["v"]
    assert recorded(m) == [
        Origin(v, True, "far", "user", 2),
        Origin(0, False, "jmp", "kernel", 1),
        Origin(v, False, "call", "kernel", 0),
    ]


def test_the_free_running_counter_counts_unrecorded_branches_too() -> None:
    m = Bench()
    m.enter(Branch(5))
    assert (m.cpus[0].guest_kernel, m.state.serial) == (5, 5)


def serials(origins: Sequence[Origin | None]) -> list[tuple[str, int]]:
    return [(o.kind, o.serial) for o in origins if o]


def test_serial_numbers_start_anew_before_a_burst_that_would_run_over() -> None:
    m = Bench()
    m.state.serial = SERIAL_LIMIT - 1
    m.enter(Branch(2, "jmp", "user"), debugctl=LBR)
    assert serials(recorded(m)) == [("jmp", 1), ("jmp", 0)]
