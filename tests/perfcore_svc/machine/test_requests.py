"""Requests of the machine stream: their conditions, and where the vCPU's thread has to be for them."""

from __future__ import annotations

from collections.abc import Callable

from contract.machine import (
    Check,
    Continue,
    Controls,
    Cpuid,
    Enter,
    EntryRefused,
    Exit,
    LbrLoaded,
    LbrStored,
    LoadLbr,
    Look,
    MsrDone,
    NotRunning,
    Ran,
    Rdmsr,
    ReadMsr,
    Request,
    StoreLbr,
    WriteMsr,
)
from contract.messages import LbrImage
from contract.trace import VmEntry, VmEntryRefused
from contract.x86 import MSR_LBR_SELECT, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.perfcore_svc.hosts import make_host, picture
from tests.perfcore_svc.kvm import Kvm
from tests.perfcore_svc.machine.bench import ACTIVE_EVENT, FREEZE, LBR, Bench, left

# Conditions ------------------------------------------------------------------------------------------------


@cases("event", [ACTIVE_EVENT, 8])
@cases("when_active", [True, False])
def test_the_entry_check_chooses_passthrough(event: int, when_active: bool) -> None:
    m = Bench()
    reply = m.enter(Rdmsr(MSR_LBR_TOS), check=Check(event, when_active=when_active, otherwise=not when_active))
    active = event == ACTIVE_EVENT
    assert isinstance(reply, Ran | Exit)
    assert isinstance(reply, Ran) == (active == when_active)
    assert reply.event_active == active


def test_without_a_check_nothing_is_said_of_an_event() -> None:
    assert left(Bench().enter(Cpuid())).event_active is None


def test_a_check_can_refuse_the_entry() -> None:
    m = Bench()
    check = Check(8, when_active=True, otherwise=False, refuse=True)
    assert m.enter(Cpuid(), check=check) == EntryRefused("the entry check", checked=True)
    assert m.cpus[0].guest == ""
    assert [(r.vcpu, r.reason) for r in m.effects.records if isinstance(r, VmEntryRefused)] == [
        ("v", "the entry check")
    ]
    assert isinstance(m.enter(Cpuid(), check=Check(ACTIVE_EVENT, True, False, refuse=True)), Exit)


@cases(("event", "debugctl"), [(ACTIVE_EVENT, LBR | FREEZE), (8, FREEZE)])
def test_a_check_can_strip_the_guests_lbr_bit(event: int, debugctl: int) -> None:
    m = Bench()
    check = Check(event, when_active=True, otherwise=False, strip=True)
    assert left(m.enter(Cpuid(), debugctl=LBR | FREEZE, check=check)).debugctl == debugctl
    assert [r.debugctl for r in m.effects.records if isinstance(r, VmEntry)] == [debugctl]


def test_a_check_on_a_grant_fails_once_that_grant_is_over() -> None:
    host = make_host(design=REVOKE_GP, running="v")
    Kvm(host)
    event = host.guest()
    old, _ = host.lease(event.id)
    host.open("P", "any", pinned=True)
    host.close("P")
    host.enable(event.name)
    new, _ = host.lease(event.id)
    assert new > old > 0
    for grant, passed in ((0, True), (new, True), (old, False)):
        check = Check(event.id, when_active=True, otherwise=False, grant=grant)
        reply = host.request(Enter("v", 0, Controls(0, False, check=check), [Rdmsr(MSR_LBR_TOS)]))
        assert isinstance(reply, Ran) == passed
        host.machine.interrupt(host.machine.cpus[0])


@cases(("event", "met"), [(0, True), (ACTIVE_EVENT, True), (8, False)])
def test_host_accesses_are_conditional(event: int, met: bool) -> None:
    m = Bench()
    assert m.ask(WriteMsr("v", 0, MSR_LBR_SELECT, 6, event)) == MsrDone(met, 6 if met else 0)
    assert m.cpus[0].lbr.select == (6 if met else 0)
    m.cpus[0].lbr.select = 3
    assert m.ask(ReadMsr("v", 0, MSR_LBR_SELECT, event)) == MsrDone(met, 3 if met else 0)


@cases(("grant", "met"), [(0, True), (1, True), (2, False)])
def test_a_condition_can_name_the_grant(grant: int, met: bool) -> None:
    m = Bench()
    assert m.ask(WriteMsr("v", 0, MSR_LBR_SELECT, 6, ACTIVE_EVENT, grant=grant)) == MsrDone(met, 6 if met else 0)
    assert m.cpus[0].lbr.select == (6 if met else 0)
    m.cpus[0].lbr.select = 3
    assert m.ask(ReadMsr("v", 0, MSR_LBR_SELECT, ACTIVE_EVENT, grant=grant)) == MsrDone(met, 3 if met else 0)


@cases(
    ("event", "grant", "met"),
    [(ACTIVE_EVENT, 0, True), (ACTIVE_EVENT, 1, True), (ACTIVE_EVENT, 2, False), (8, 0, False)],
)
def test_a_look_tells_the_condition_and_touches_nothing(event: int, grant: int, met: bool) -> None:
    m = Bench()
    before = picture(m.cpus)
    assert m.ask(Look("v", 0, event, grant)) == MsrDone(met)
    assert picture(m.cpus) == before
    assert (m.effects.records, m.operations) == ([], {})


def test_a_host_access_that_faults_says_so() -> None:
    m = Bench()
    assert m.ask(ReadMsr("v", 0, 0x684)) == MsrDone(met=True, fault=True)
    assert m.ask(WriteMsr("v", 0, MSR_LBR_SELECT, 1 << 10)) == MsrDone(met=True, value=1 << 10, fault=True)


# The thread has to be there --------------------------------------------------------------------------------

Make = Callable[[str, int], Request]
REQUESTS: list[Make] = [
    lambda v, c: Enter(v, c, Controls(0, False), []),
    lambda v, c: Continue(v, c, []),
    lambda v, c: ReadMsr(v, c, MSR_LBR_TOS),
    lambda v, c: WriteMsr(v, c, MSR_LBR_TOS, 1),
    lambda v, c: Look(v, c, ACTIVE_EVENT),
    lambda v, c: StoreLbr(v, c),
    lambda v, c: LoadLbr(v, c, LbrImage(1, 1)),
]


@cases("make", REQUESTS)
@cases(("vcpu", "cpu"), [("v", 1), ("w", 0), ("v", 2), ("v", -1), ("nobody", 0)])
def test_requests_for_a_thread_that_is_elsewhere(make: Make, vcpu: str, cpu: int) -> None:
    m = Bench()
    assert isinstance(m.ask(make(vcpu, cpu)), NotRunning)
    assert (m.cpus[0].lbr.tos, m.effects.records, m.operations) == (0, [], {})


@cases("make", [r for i, r in enumerate(REQUESTS) if i != 1])
def test_the_host_side_is_not_there_while_the_guest_runs(make: Make) -> None:
    m = Bench()
    m.enter()
    assert isinstance(m.ask(make("v", 0)), NotRunning)
    assert m.cpus[0].guest == "v"


def test_whole_ring_requests() -> None:
    m = Bench()
    image = LbrImage(5, 2, [1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9])
    assert m.ask(LoadLbr("v", 0, image)) == LbrLoaded()
    assert m.ask(StoreLbr("v", 0)) == LbrStored(image)
    m.ask(LoadLbr("v", 0, LbrImage(), select=False))
    assert m.ask(StoreLbr("v", 0)) == LbrStored(LbrImage(5, 0, [0] * 4, [0] * 4, [0] * 4))
