"""The effect of a crash, and of the end of a vCPU, on each invariant: no more than its excuses say.

Each test judges a short trace twice: with the crash, and without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from client.check.judge import MONITORS
from contract.messages import EventState, Revoke
from contract.provenance import branch_base
from contract.results import KvmView, PerfView, VcpuView
from contract.trace import (
    Access,
    CounterEvent,
    Crash,
    Delivery,
    EventChange,
    EventClose,
    EventFailed,
    EventOpen,
    GuestEvent,
    GuestMsr,
    GuestPmi,
    HostLbr,
    HostWait,
    Killed,
    Rest,
    Retired,
    SampleTaken,
    Send,
    Setup,
    Switch,
    UserMsr,
    VcpuWait,
    VmEntry,
    VmExit,
)
from contract.x86 import DEBUGCTL_LBR, IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_LBR_FROM, MSR_LBR_TOS
from tests.client.check import runs
from tests.client.check.runs import HELD, IDLE, OPEN, VIOLATED, renumbered
from tests.designs import FENCED

V = "vm0/0"
SETUP = Setup("test", "fenced", FENCED.axes(), "skylake", 8, 1, ["", V, "t0"], [V])
KVM = Crash("kvm0", -1, ["kvm0"], [V])
HOST = Crash("perfcore", 0, ["kvm0"], [V])


def judged(invariant: str, *records: Any) -> str:
    return runs.finding(renumbered([SETUP, *records]), invariant).verdict


def both(invariant: str, before: Sequence[Any], crash: Crash | Killed, after: Sequence[Any]) -> tuple[str, str]:
    """The verdicts without and with the crash."""
    return judged(invariant, *before, *after), judged(invariant, *before, crash, *after)


def opened(event: int, name: str, state: str = "INACTIVE", **more: Any) -> EventOpen:
    given: dict[str, Any] = {"guest": "", "cpu": 0, "task": "", "pinned": True, "select": 0, "branch": ["jmp"]}
    given |= {"privilege": ["kernel"], "leader": ""} | more
    return EventOpen(event=event, name=name, state=state, **given)


def active(event: int, name: str) -> EventChange:
    return EventChange(event, name, "INACTIVE", "ACTIVE", 0)


def entry(debugctl: int = 0, *, passthrough: bool = False) -> VmEntry:
    return VmEntry(0, V, debugctl, passthrough, 0)


def denied() -> Access:
    return Access(V, 0, False, MSR_LBR_TOS, 0, "gp", denied=True)


def served(value: int = 0, msr: int = MSR_LBR_TOS) -> GuestMsr:
    return GuestMsr(0, V, False, msr, value, False)


def rest(grant: int = 0, *, running: bool = False, event: int = 0) -> Rest:
    views = [VcpuView(V, 0 if running else -1, event, "", grant, False, 0)]
    return Rest(PerfView([], {}, {0: V} if running else {}, {}), [KvmView(views)])


TURNS_ON = Access(V, 0, True, IA32_DEBUGCTL, DEBUGCTL_LBR, "done", written=DEBUGCTL_LBR)
GUEST_EVENT = opened(1, f"vlbr:{V}", guest=V, cpu=-1, task=V)
HOST_EVENT = opened(2, "h0")


def test_a_host_without_power_has_no_lbr_on() -> None:
    found = both("one-owner", [HostLbr(0, True, 1, 0)], HOST, [entry(DEBUGCTL_LBR)])
    assert found == (VIOLATED, IDLE)


def test_a_sample_of_a_restarted_host_needs_no_old_branches() -> None:
    before = [HOST_EVENT, active(2, "h0"), Retired(0, 0, False, "jmp", "kernel", 4, 2, True)]
    again = [opened(2, "h0", "ACTIVE"), SampleTaken(2, "h0", 0, [], [], False)]
    assert judged("host-served", *before, EventClose(2, "h0"), *again) == VIOLATED
    assert judged("host-served", *before, HOST, *again) == HELD


def test_a_new_kvm_has_no_guest_that_no_event_could_be_made_for() -> None:
    """A KVM that lives through the crash of its host still has no event for the guest."""
    before = [GuestEvent(V, 0, "failed", "EBUSY"), denied()]
    assert both("no-silent-denial", before, KVM, [served()]) == (VIOLATED, HELD)
    assert both("no-silent-denial", before, HOST, [served()]) == (VIOLATED, VIOLATED)


def test_a_guest_whose_kvm_or_host_crashed_may_be_denied() -> None:
    before = [GUEST_EVENT, active(1, f"vlbr:{V}"), served()]
    for crash in (KVM, HOST):
        assert both("msr-legality", before, crash, [denied()]) == (VIOLATED, HELD)


def test_promises_and_failures_end_with_the_kvm() -> None:
    failed = EventFailed(f"vlbr:{V}", "EOPNOTSUPP", guest=V, lbr=True)
    promise = UserMsr(V, IA32_PERF_CAPABILITIES, 5, True)
    gp = Access(V, 0, False, MSR_LBR_TOS, 0, "gp")
    assert both("capability-kept", [promise], KVM, [gp]) == (VIOLATED, IDLE)
    assert both("capability-kept", [promise], HOST, [gp]) == (VIOLATED, VIOLATED)
    assert both("capability-kept", [promise, failed], KVM, [promise, denied()]) == (VIOLATED, HELD)


def test_a_revoke_says_nothing_about_the_next_life() -> None:
    revoke: list[Any] = [
        GUEST_EVENT,
        Send("kvm0", False, 1, 1, 0, Revoke(1, 3, "a host event")),
        Delivery("take", "kvm0", False, 1, "Revoke"),
    ]
    use = entry(DEBUGCTL_LBR, passthrough=True)
    for crash in (KVM, HOST):
        assert both("revoked-means-revoked", revoke, crash, [use]) == (VIOLATED, IDLE)


def test_a_restarted_host_gives_grants_from_1_again() -> None:
    """News of grant 1 counts, although grant 3 was revoked before the crash."""

    def taken(n: int, body: Revoke | EventState) -> list[Any]:
        return [Send("kvm0", False, 1, n, 0, body), Delivery("take", "kvm0", False, n, type(body).__name__)]

    before = [GUEST_EVENT, *taken(1, Revoke(1, 3, "a host event"))]
    after = [GUEST_EVENT, *taken(2, EventState(1, "ACTIVE", 0, 1)), *taken(3, Revoke(1, 1, "again"))]
    assert judged("revoked-means-revoked", *before, HOST, *after, served()) == VIOLATED


def test_an_open_that_slept_ends_with_its_host() -> None:
    before = [
        Switch(0, "", V),
        GUEST_EVENT,
        active(1, f"vlbr:{V}"),
        opened(2, "h0", "OFF"),
        HostWait("h0", [1]),
    ]
    after = [Switch(0, "", V), GUEST_EVENT, active(1, f"vlbr:{V}"), opened(2, "h0", "OFF"), rest()]
    again = [EventClose(1, f"vlbr:{V}"), EventClose(2, "h0"), *after]
    assert judged("precedence", *before, rest()) == VIOLATED
    assert judged("precedence", *before, *again) == VIOLATED
    assert judged("precedence", *before, HOST, *after) in (IDLE, HELD)


def test_a_guest_at_reset_has_programmed_no_counter() -> None:
    found = both("no-counter", [entry(DEBUGCTL_LBR), CounterEvent(V, 0, 3, "created")], KVM, [GuestPmi(V, 0, 1, False)])
    assert found == (HELD, VIOLATED)


def test_debugctl_is_not_restored_by_a_host_without_power() -> None:
    found = both("debugctl-restored", [VmEntry(0, V, 0, False, 7)], HOST, [VmExit(0, V, "hlt", 0)])
    assert found == (VIOLATED, IDLE)


def test_the_view_of_a_kvm_goes_with_it() -> None:
    before: list[Any] = [CounterEvent(V, 0, 3, "created")]
    assert both("agreement", before, KVM, [rest()]) == (VIOLATED, HELD)
    assert both("agreement", before, HOST, [rest()]) == (VIOLATED, VIOLATED)


def test_nobody_gives_up_a_grant_of_an_earlier_life() -> None:
    revoke = [GUEST_EVENT, Send("kvm0", False, 1, 1, 0, Revoke(1, 3, "a host event"))]
    assert both("revoke-completes", revoke, HOST, [rest(1)]) == (VIOLATED, HELD)
    assert both("revoke-completes", revoke, KVM, [rest(1)]) == (VIOLATED, VIOLATED)
    wait = [opened(2, "h0", "OFF"), HostWait("h0", [1])]
    assert both("revoke-completes", wait, HOST, [rest()]) == (VIOLATED, IDLE)
    assert both("revoke-completes", wait, KVM, [rest()]) == (VIOLATED, VIOLATED)


def test_a_thread_that_is_gone_does_not_starve() -> None:
    before = [entry(), Switch(0, "", V), VcpuWait(V, "EventCreated")]
    for end in (KVM, Killed("thread", [V])):
        assert both("no-starvation", before, end, [rest(running=True)]) == (VIOLATED, HELD)
    assert both("no-starvation", before, HOST, [rest(running=True)]) == (VIOLATED, VIOLATED)


def test_a_guest_may_be_denied_once_more_after_a_crash() -> None:
    for crash in (KVM, HOST):
        assert both("recovers", [denied()], crash, [denied()]) == (VIOLATED, OPEN)
        assert judged("recovers", denied(), crash, denied(), denied()) == VIOLATED


# The LBR of a guest --------------------------------------------------------------------------------------

FROM = branch_base(1, True, "jmp", "kernel")
RAN = [TURNS_ON, Retired(0, 1, True, "jmp", "kernel", 4, 2, True)]
"""The guest records branches 4 and 5. TOS begins at 0, so they are entries 1 and 2."""


def at(index: int, serial: int) -> GuestMsr:
    """The guest reads FROM of an entry; serial 0: it is empty."""
    return served(FROM + 2 * serial if serial else 0, MSR_LBR_FROM + index)


def test_after_a_crash_of_its_host_a_guest_finds_its_lbr_whole_or_empty() -> None:
    assert both("no-loss", RAN, HOST, [at(1, 4), at(2, 5)]) == (HELD, HELD)
    assert both("no-loss", RAN, HOST, [at(1, 0), at(2, 0)]) == (VIOLATED, IDLE)


def test_it_does_not_find_some_of_its_branches_and_lack_others() -> None:
    assert judged("no-loss", *RAN, HOST, at(2, 5), at(1, 0)) == VIOLATED
    assert judged("no-loss", *RAN, HOST, at(1, 0), at(2, 5)) == VIOLATED
    assert judged("no-loss", *RAN, HOST, at(1, 5)) == VIOLATED


def test_what_it_runs_afterwards_counts_again() -> None:
    later = [TURNS_ON, Retired(0, 1, True, "jmp", "kernel", 8, 1, True)]
    assert judged("no-loss", *RAN, HOST, at(1, 0), *later, at(1, 8)) == HELD
    assert judged("no-loss", *RAN, HOST, at(1, 0), *later, at(1, 0)) == VIOLATED
    assert judged("no-loss", *RAN, HOST, denied(), *later, at(1, 8), at(2, 5)) == HELD


def test_a_guest_whose_kvm_crashed_begins_at_reset() -> None:
    assert both("no-loss", RAN, KVM, [at(1, 0)]) == (VIOLATED, IDLE)


# The excuses ---------------------------------------------------------------------------------------------


def test_each_excuse_names_a_fault_and_gives_a_reason() -> None:
    for monitor in MONITORS:
        for kind, reason in monitor.definition.excuses:
            assert kind in ("crash kvm", "crash perfcore", "end thread", "end vm")
            assert reason.endswith(".")
