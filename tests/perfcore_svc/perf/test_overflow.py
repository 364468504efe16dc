"""Counters that overflow: where in an op the interrupt falls, what the guest's exit says, and throttling."""

from __future__ import annotations

from typing import Any

from contract.machine import Branch, Check, Controls, Enter, Exit, GuestValue, Nop
from contract.provenance import branch_at
from contract.trace import Pmi, SampleTaken, Throttle, VmExit
from perfcore_svc.perf.pmi import SAMPLES_PER_TICK
from perfcore_svc.perf.state import JIFFY
from tests.cases import cases
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.machine.bench import left


def overflows(host: Host) -> int:
    return sum(isinstance(r, SampleTaken) and r.overflow for r in host.log.records)


def throttles(host: Host) -> list[bool]:
    return [r.throttled for r in host.log.records if isinstance(r, Throttle)]


def periodic(period: int, **options: Any) -> Host:
    host = make_host(running="v")
    host.open("P", "any", period=period, **options)
    return host


def enter(*counts: int) -> Enter:
    return Enter("v", 0, Controls(0, False), [Branch(count) for count in counts])


def test_the_interrupt_falls_within_a_burst_and_exactly_at_its_end() -> None:
    host = periodic(3)
    host.retire(5)
    assert overflows(host) == 1
    host.retire(1)
    assert overflows(host) == 2
    host.retire(6)
    assert overflows(host) == 4
    assert [r.from_ip == sorted(r.from_ip, reverse=True) for r in host.news() if isinstance(r, SampleTaken)] == [
        True
    ] * 4


def test_an_nmi_in_the_middle_of_an_op_tells_how_far_it_got() -> None:
    host = periodic(3)
    exit_ = left(host.request(enter(1, 5)))
    assert (exit_.reason, exit_.values, exit_.partial) == ("nmi", [GuestValue()], 2)
    assert host.machine.cpus[0].guest_kernel == 3
    assert overflows(host) == 1
    assert host.machine.cpus[0].guest == ""


def test_an_nmi_at_the_end_of_an_op_finds_it_done() -> None:
    host = periodic(3)
    exit_ = left(host.request(enter(3)))
    assert (exit_.reason, exit_.values, exit_.partial) == ("nmi", [GuestValue()], 0)
    assert overflows(host) == 1
    assert left(host.request(enter(3))).reason == "nmi", "the next period began there"


def test_an_nmi_says_what_the_entry_check_saw() -> None:
    host = periodic(3)
    event = host.guest()
    for number, active in ((event.id, True), (99, False)):
        check = Check(number, when_active=False, otherwise=False)
        request = Enter("v", 0, Controls(0, False, check=check), [Nop(), Branch(3)])
        assert left(host.request(request)).event_active is active


def test_guest_branches_do_not_count_for_exclude_guest() -> None:
    host = periodic(3, exclude_guest=True)
    host.request(enter(50))
    assert host.machine.cpus[0].guest == "v"
    host.retire(2)
    assert overflows(host) == 0
    host.retire(1)
    assert overflows(host) == 1


def test_an_event_is_throttled_after_so_many_samples_in_a_jiffy() -> None:
    host = periodic(1)
    host.retire(SAMPLES_PER_TICK - 1)
    assert (overflows(host), throttles(host)) == (SAMPLES_PER_TICK - 1, [])
    host.retire(100)
    assert (overflows(host), throttles(host)) == (SAMPLES_PER_TICK, [True])


def test_a_new_jiffy_lets_it_overflow_again_and_throttles_it_again() -> None:
    host = periodic(2)
    host.retire(3 * SAMPLES_PER_TICK)
    assert overflows(host) == SAMPLES_PER_TICK
    host.advance(JIFFY - 1)
    host.retire(2)
    assert overflows(host) == SAMPLES_PER_TICK, "still the same jiffy"

    host.advance(1)
    assert throttles(host) == [True, False]
    host.retire(1)
    assert overflows(host) == SAMPLES_PER_TICK, "a new period has begun"
    host.retire(1)
    assert overflows(host) == SAMPLES_PER_TICK + 1
    host.retire(3 * SAMPLES_PER_TICK)
    assert overflows(host) == 2 * SAMPLES_PER_TICK
    assert throttles(host) == [True, False, True]


def test_a_new_jiffy_forgives_samples_short_of_the_limit() -> None:
    host = periodic(1)
    host.retire(SAMPLES_PER_TICK - 1)
    host.advance(JIFFY)
    host.retire(SAMPLES_PER_TICK - 1)
    assert (overflows(host), throttles(host)) == (2 * SAMPLES_PER_TICK - 2, [])


def test_a_throttled_event_that_is_put_on_anew_begins_its_period_anew() -> None:
    host = periodic(2)
    host.retire(3 * SAMPLES_PER_TICK)
    host.disable("P")
    host.enable("P")
    host.retire(1)
    assert overflows(host) == SAMPLES_PER_TICK
    host.retire(1)
    assert overflows(host) == SAMPLES_PER_TICK + 1
    host.retire(2)
    assert overflows(host) == SAMPLES_PER_TICK + 2
    assert sum(isinstance(r, Pmi) for r in host.news()) == SAMPLES_PER_TICK + 2


def test_an_event_off_and_on_keeps_what_is_left_of_its_period() -> None:
    host = periodic(5)
    host.retire(3)
    host.disable("P")
    host.retire(10)
    host.enable("P")
    host.retire(1)
    assert overflows(host) == 0
    host.retire(1)
    assert overflows(host) == 1


# Branches of the handler itself ----------------------------------------------------------------------------


def newest(host: Host) -> list[tuple[str, str]]:
    """Kind and level of the branches of the newest sample, newest first."""
    (sample,) = [r for r in host.news() if isinstance(r, SampleTaken)]
    return [found for value in sample.from_ip if (found := branch_at(value)) is not None]


def test_a_frozen_lbr_has_none_of_the_handlers_branches() -> None:
    """FREEZE_LBRS_ON_PMI: without it the handler's two calls push two of the eight out."""
    host = make_host(running="v", depth=8)
    host.open("P", "any", period=8)
    host.retire(8)
    assert newest(host) == [("jmp", "user")] * 8


def test_a_call_stack_is_not_frozen() -> None:
    host = make_host(running="v", depth=8)
    host.open("P", "call_stack", period=8, privilege=["user", "kernel"])
    host.retire(8, "call", "kernel")
    pmi = next(r for r in host.log.records if isinstance(r, Pmi))
    assert (pmi.frozen, pmi.recorded) == (False, True)


@cases(("nmi_first", "handlers"), [(False, 2), (True, 0)])
def test_a_handler_that_runs_before_debugctl_is_restored_leaves_no_branches(nmi_first: bool, handlers: int) -> None:
    """v6.3 on: the exit has left DEBUGCTL 0 and the handler finds the LBR off."""
    host = make_host(running="v", depth=8)
    host.open("P", "call_stack", period=8, privilege=["kernel"])
    host.retire(3, "call", "kernel")
    before = host.machine.cpus[0].debugctl
    controls = Controls(0, False, nmi_first=nmi_first)
    assert left(host.request(Enter("v", 0, controls, [Branch(6)]))).reason == "nmi"
    assert newest(host) == [("call", "kernel")] * (3 + handlers)
    assert host.machine.cpus[0].debugctl == before != 0


# Freeze in guest mode --------------------------------------------------------------------------------------

LBR, FREEZE = 1, 1 << 11


def freeze(lbr: str, debugctl: int) -> tuple[Host, Exit]:
    """A counter of the host overflows in guest mode while a host event has the host's LBR on."""
    host = make_host(running="v", lbr=lbr, depth=8)
    host.open("S", "any", privilege=["kernel"])
    host.open("P", period=3)
    return host, left(host.request(Enter("v", 0, Controls(debugctl, False), [Branch(3)])))


@cases("lbr", ["nehalem", "sandybridge", "haswell"])
def test_an_overflow_clears_the_guests_lbr_bit_before_the_exit_saves_it(lbr: str) -> None:
    host, exit_ = freeze(lbr, LBR | FREEZE)
    assert (exit_.debugctl, exit_.frozen) == (FREEZE, True)
    (record,) = [r for r in host.log.records if isinstance(r, VmExit)]
    assert record.frozen
    assert host.machine.cpus[0].debugctl == LBR | FREEZE, "what the host has is put back"


@cases(("lbr", "debugctl"), [("skylake", 0x801), ("haswell", 1), ("haswell", 0x800), ("haswell", 0)])
def test_otherwise_the_exit_saves_debugctl_as_the_guest_left_it(lbr: str, debugctl: int) -> None:
    host, exit_ = freeze(lbr, debugctl)
    assert (exit_.reason, exit_.debugctl, exit_.frozen) == ("nmi", debugctl, False)
    assert not any(r.frozen for r in host.log.records if isinstance(r, VmExit))


@cases(
    ("lbr", "debugctl", "frozen"),
    [("skylake", 0x801, True), ("skylake", 1, False), ("skylake", 0x800, False), ("haswell", 0x801, False)],
)
def test_the_guests_bit_and_not_the_hosts_holds_the_lbr_still_for_the_handler(
    lbr: str, debugctl: int, frozen: bool
) -> None:
    """The host's DEBUGCTL has LBR and bit 11 and is back before the handler runs. LBRS_FROZEN outlasts the exit, a
    cleared DEBUGCTL.LBR does not."""
    host, _ = freeze(lbr, debugctl)
    pmi = next(r for r in host.log.records if isinstance(r, Pmi))
    assert (pmi.frozen, pmi.recorded) == (frozen, not frozen)


def test_a_streamlined_freeze_is_over_at_the_next_entry() -> None:
    host, exit_ = freeze("skylake", LBR | FREEZE)
    tos = host.machine.cpus[0].lbr.tos
    host.request(Enter("v", 0, Controls(exit_.debugctl, False), [Branch(2)]))
    assert host.machine.cpus[0].lbr.tos == (tos + 2) & 7
