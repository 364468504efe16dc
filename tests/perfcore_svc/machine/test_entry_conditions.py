"""The conditions of an entry and of a host access, and DEBUGCTL if nobody restores the host's value."""

from __future__ import annotations

from contract.machine import (
    Check,
    Cpuid,
    EntryRefused,
    Exit,
    Look,
    MsrDone,
    NotRunning,
    Ran,
    Rdmsr,
    ReadMsr,
    WriteMsr,
)
from contract.messages import LbrImage
from contract.trace import VmEntry, VmEntryRefused, VmExit
from contract.x86 import MSR_LBR_SELECT, MSR_LBR_TOS
from tests.cases import cases
from tests.perfcore_svc.hosts import picture
from tests.perfcore_svc.machine.bench import ACTIVE_EVENT, BTF, FREEZE, LBR, RESERVED, Bench, kinds, left

GRANT, OLD_GRANT = 1, 2
"""The bench's event is ACTIVE under grant 1."""


def checked(event: int = ACTIVE_EVENT, grant: int = 0, **what: bool) -> Check:
    return Check(event, when_active=True, otherwise=False, grant=grant, **what)


# DEBUGCTL that is not switched -----------------------------------------------------------------------------


@cases("remembered", [None, 0, BTF])
def test_the_guests_debugctl_stays_on_in_the_host(remembered: int | None) -> None:
    m = Bench()
    m.cpus[0].debugctl = FREEZE
    exit_ = left(m.enter(Cpuid(), debugctl=LBR, keep_debugctl=True, host_debugctl=remembered))
    assert (exit_.debugctl, m.cpus[0].debugctl) == (LBR, LBR)
    record = m.effects.records[-1]
    assert isinstance(record, VmExit)
    assert record.debugctl == LBR


def test_it_stays_on_after_a_forced_exit_too() -> None:
    m = Bench()
    m.enter(debugctl=LBR, keep_debugctl=True)
    m.interrupt(m.cpus[0])
    assert m.cpus[0].debugctl == LBR


def test_the_next_entry_may_switch_it_again() -> None:
    m = Bench()
    m.enter(Cpuid(), debugctl=LBR, keep_debugctl=True)
    m.enter(Cpuid(), debugctl=LBR, host_debugctl=0)
    assert m.cpus[0].debugctl == 0


# The entry check -------------------------------------------------------------------------------------------


@cases(
    ("event", "grant", "passed"),
    [(ACTIVE_EVENT, 0, True), (ACTIVE_EVENT, GRANT, True), (ACTIVE_EVENT, OLD_GRANT, False), (8, GRANT, False)],
)
def test_the_check_asks_for_the_event_and_the_grant(event: int, grant: int, passed: bool) -> None:
    m = Bench()
    reply = m.enter(Rdmsr(MSR_LBR_TOS), check=checked(event, grant))
    assert isinstance(reply, Ran | Exit)
    assert isinstance(reply, Ran) == passed == reply.event_active


@cases(
    ("grant", "strip", "loaded"),
    [(GRANT, True, LBR | FREEZE), (OLD_GRANT, True, FREEZE), (OLD_GRANT, False, LBR | FREEZE)],
)
def test_a_failed_check_can_turn_the_guests_lbr_off(grant: int, strip: bool, loaded: int) -> None:
    m = Bench()
    m.cpus[0].debugctl = LBR
    m.enter(debugctl=LBR | FREEZE, check=checked(grant=grant, strip=strip))
    assert m.cpus[0].debugctl == loaded
    (entry,) = m.effects.records
    assert isinstance(entry, VmEntry)
    assert (entry.debugctl, entry.host_debugctl) == (loaded, LBR)


def test_what_was_stripped_stays_so_in_the_vmcs() -> None:
    m = Bench()
    assert left(m.enter(Cpuid(), debugctl=LBR | BTF, check=checked(grant=OLD_GRANT, strip=True))).debugctl == BTF


def test_a_check_that_refuses_changes_nothing_and_says_that_it_was_the_check() -> None:
    m = Bench()
    m.cpus[0].debugctl = LBR
    before = picture(m.cpus)
    reply = m.enter(Cpuid(), debugctl=LBR, lbr=LbrImage(), check=checked(grant=OLD_GRANT, refuse=True))
    assert reply == EntryRefused("the entry check", checked=True)
    assert picture(m.cpus) == before
    assert (m.operations, m.vmcs, kinds(m.effects)) == ({}, {}, [VmEntryRefused])


def test_a_check_that_holds_refuses_and_strips_nothing() -> None:
    m = Bench()
    check = checked(grant=GRANT, refuse=True, strip=True)
    assert left(m.enter(Cpuid(), debugctl=LBR, check=check)).debugctl == LBR


def test_the_check_is_made_before_the_guests_state_is_looked_at() -> None:
    """And a state that is invalid is no refusal of the check."""
    m = Bench()
    for grant, by_check in ((OLD_GRANT, True), (GRANT, False)):
        reply = m.enter(debugctl=RESERVED, check=checked(grant=grant, refuse=True))
        assert isinstance(reply, EntryRefused)
        assert reply.checked == by_check


# Host accesses ---------------------------------------------------------------------------------------------

CONDITIONS = cases(
    ("event", "grant", "met"),
    [
        (0, 0, True),
        (0, OLD_GRANT, True),
        (ACTIVE_EVENT, 0, True),
        (ACTIVE_EVENT, GRANT, True),
        (ACTIVE_EVENT, OLD_GRANT, False),
        (8, GRANT, False),
    ],
)
WHOSE = cases("task", ["", "t"])
"""The vCPU's own thread on cpu0, or another one on cpu1."""


def bench() -> Bench:
    m = Bench()
    m.cpus[1].task = "t"
    return m


@WHOSE
@CONDITIONS
def test_a_read_goes_by_the_grant_that_it_names(task: str, event: int, grant: int, met: bool) -> None:
    m = bench()
    m.cpus[1 if task else 0].lbr.select = 3
    reply = m.ask(ReadMsr("v", 0, MSR_LBR_SELECT, event, task, grant))
    assert reply == MsrDone(met, 3 if met else 0)
    assert len(m.effects.records) == met
    assert m.operations == ({"rdmsr": 1} if met else {})


@WHOSE
@CONDITIONS
def test_a_write_goes_by_the_grant_that_it_names(task: str, event: int, grant: int, met: bool) -> None:
    m = bench()
    reply = m.ask(WriteMsr("v", 0, MSR_LBR_SELECT, 6, event, task, grant))
    assert reply == MsrDone(met, 6 if met else 0)
    assert [cpu.lbr.select for cpu in m.cpus] == [6 * (met and not task), 6 * (met and bool(task))]
    assert m.operations == ({"wrmsr": 1} if met else {})


@cases(
    ("event", "grant", "met"),
    [(ACTIVE_EVENT, 0, True), (ACTIVE_EVENT, GRANT, True), (ACTIVE_EVENT, OLD_GRANT, False), (8, 0, False)],
)
@WHOSE
def test_a_look_says_whether_the_event_is_active_and_touches_nothing(
    task: str, event: int, grant: int, met: bool
) -> None:
    m = bench()
    before = picture(m.cpus)
    assert m.ask(Look("v", 0, event, grant, task)) == MsrDone(met)
    assert (picture(m.cpus), m.operations, m.effects.records) == (before, {}, [])


def test_one_can_look_only_where_the_thread_is_and_in_host_mode() -> None:
    m = Bench()
    assert isinstance(m.ask(Look("v", 1, ACTIVE_EVENT)), NotRunning)
    assert isinstance(m.ask(Look("w", 0, ACTIVE_EVENT)), NotRunning)
    m.enter()
    assert isinstance(m.ask(Look("v", 0, ACTIVE_EVENT)), NotRunning)


def test_another_thread_looks_where_it_is_itself() -> None:
    m = bench()
    m.enter()
    assert m.ask(Look("v", 0, ACTIVE_EVENT, task="t")) == MsrDone(True)
    assert isinstance(m.ask(Look("v", 0, ACTIVE_EVENT, task="nobody")), NotRunning)
