"""The LBR driver on one CPU: add and del with their quirks, enable and disable, and what a sample carries."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import LosingAdd, SaveSelect
from contract.provenance import branch_at
from contract.trace import HostLbr, LbrReset, SampleTaken
from contract.x86 import SELECT_CALL_STACK
from perfcore_svc.perf import sched
from perfcore_svc.perf.lbr import lbr_reset
from tests.cases import cases
from tests.designs import MERGED, V8
from tests.perfcore_svc.hosts import Host, make_host

LBR, FREEZE, BTF = 1, 1 << 11, 2


def resets(host: Host) -> int:
    return sum(isinstance(r, LbrReset) for r in host.news())


def stack(host: Host, name: str) -> list[int]:
    sample = host.sample(name)
    assert sample.sampled
    return [value for value in sample.from_ip if value]


# Reset in add ----------------------------------------------------------------------------------------------


def test_a_second_user_does_not_reset() -> None:
    host = make_host()
    host.open("P", "any")
    host.retire(2)
    host.news()
    host.open("Q", "any")
    assert resets(host) == 0
    assert len(stack(host, "Q")) == 2


def test_a_fresh_event_of_a_higher_class_goes_on_first_and_resets() -> None:
    host = make_host()
    host.open("P", "any")
    host.retire(2)
    host.news()
    host.open("Q", "any", pinned=True)
    assert resets(host) == 1
    assert stack(host, "P") == []


def test_a_re_added_event_keeps_what_the_ring_holds() -> None:
    host = make_host()
    host.open("P", "any")
    host.retire(2)
    host.news()
    host.disable("P")
    host.retire(1)
    host.enable("P")
    assert resets(host) == 0
    assert len(stack(host, "P")) == 2, "the one in between was not recorded"


def test_reset_spares_tos_and_the_hosts_select() -> None:
    host = make_host()
    silicon = host.machine.cpus[0].lbr
    silicon.tos, silicon.select = 3, 6
    host.open("D", "any", disabled=True)
    host.machine.cpus[0].lbr.from_ip[0] = 9
    host.perf.kernel.cpus[0].save_select = False
    host.enable("D")
    assert (silicon.tos, silicon.from_ip[0]) == (3, 0)
    assert [r.select for r in host.news() if isinstance(r, LbrReset)] == [False]


@cases(
    ("kernel", "save_select", "select"),
    [
        ("v6.16", SaveSelect.YES, 0),
        ("v6.16", SaveSelect.SINCE_V5_16, 0),
        ("v6.16", SaveSelect.NO, 6),
        ("v5.12", SaveSelect.YES, 6),
        ("v5.12", SaveSelect.SINCE_V5_16, 6),
    ],
)
def test_the_reset_for_a_guest_clears_select_where_the_design_saves_it(
    kernel: str, save_select: SaveSelect, select: int
) -> None:
    host = make_host(kernel=kernel, design=replace(MERGED, save_select=save_select), running="v")
    host.machine.cpus[0].lbr.select = 6
    host.guest()
    assert host.machine.cpus[0].lbr.select == select


# Quirks of a losing add ------------------------------------------------------------------------------------


def test_a_losing_add_leaves_its_software_filter() -> None:
    host = make_host()
    host.open("P", "any", pinned=True)
    host.retire(2, "jmp")
    assert len(stack(host, "P")) == 2
    host.open("Q", "cond", pinned=True)
    assert host.states() == {"P": "A", "Q": "ERR"}
    assert stack(host, "P") == [], "P's samples are filtered by the loser's filter"


def test_a_losing_add_can_be_undone_by_design() -> None:
    host = make_host(design=replace(MERGED, losing_add=LosingAdd.UNDONE))
    host.open("P", "any", pinned=True)
    host.retire(2, "jmp")
    host.open("Q", "cond", pinned=True)
    assert len(stack(host, "P")) == 2


def test_a_losing_add_may_reset_the_ring_nobody_used() -> None:
    host = make_host(counters=1)
    host.open("plain", pinned=True)
    host.machine.cpus[0].lbr.from_ip[:] = [1, 2, 3, 4]
    host.open("L", "any", pinned=True)
    assert host.states() == {"plain": "A", "L": "ERR"}
    assert host.machine.cpus[0].lbr.from_ip == [0] * 4


def test_a_losing_add_leaves_the_user_counts_as_they_were() -> None:
    host = make_host(running="t")
    host.open("P", "any", pinned=True)
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    pc, saved = host.perf.kernel.cpus[0], host.perf.kernel.tasks["t"].lbr
    assert saved is not None
    assert (pc.lbr_users, pc.host_users, pc.slot_users, saved.callstack_users) == (1, 1, 1, 0)


def test_a_losing_guest_does_not_leave_the_host_shut_out() -> None:
    host = make_host(design=V8, running="v")
    host.open("P", "any", pinned=True)
    host.guest()
    pc = host.perf.kernel.cpus[0]
    assert (pc.shut_out, pc.save_select, pc.lbr_users) == (False, False, 1)
    assert host.machine.cpus[0].debugctl & LBR


def test_del_goes_by_the_filter_added_last_not_by_the_events_own() -> None:
    host = make_host(running="v")
    host.guest()
    saved = host.perf.kernel.tasks["v"].lbr
    assert saved is not None
    assert saved.callstack_users == 1
    host.open("F", "any", task="v")
    sched.remove(host.perf.kernel, next(e for e in host.perf.events.values() if e.guest))
    assert saved.callstack_users == 1, "the filter is that of F, which is no call stack"


# Enable and disable ----------------------------------------------------------------------------------------


@cases(
    ("names", "level", "select"),
    [(["any"], ["user"], 1), (["any_call"], ["user", "kernel"], 0x0E4), (["cond"], ["kernel"], 0x1FA)],
)
def test_enable_writes_select_and_freezes_on_pmi(names: list[str], level: list[str], select: int) -> None:
    host = make_host()
    host.open("P", *names, privilege=level)
    assert host.machine.cpus[0].lbr.select == select
    assert host.machine.cpus[0].debugctl == LBR | FREEZE
    (record,) = [r for r in host.news() if isinstance(r, HostLbr)]
    assert (record.enabled, record.debugctl, record.select) == (True, LBR | FREEZE, select)


def test_call_stack_mode_does_not_freeze() -> None:
    host = make_host()
    host.machine.cpus[0].debugctl = FREEZE | BTF
    host.open("P", "call_stack", privilege=["user"])
    assert host.machine.cpus[0].lbr.select == 0x3C5
    assert host.machine.cpus[0].lbr.select & SELECT_CALL_STACK
    assert host.machine.cpus[0].debugctl == LBR | BTF


def test_a_part_without_select_is_only_turned_on() -> None:
    host = make_host(lbr="core2")
    host.open("P", "any_call", privilege=["user"])
    assert host.machine.cpus[0].debugctl == LBR | FREEZE
    assert host.machine.cpus[0].lbr.select == 0


def test_disable_clears_its_bits_and_keeps_select_and_entries() -> None:
    host = make_host()
    host.machine.cpus[0].debugctl = BTF
    host.open("P", "cond", privilege=["user"])
    host.retire(2, "jcc")
    before = host.machine.cpus[0].lbr.store()
    host.close("P")
    assert host.machine.cpus[0].debugctl == BTF
    assert host.machine.cpus[0].lbr.store() == before


def test_the_lbr_is_off_while_no_branch_event_is_on() -> None:
    host = make_host(running="t")
    host.open("plain")
    assert host.machine.cpus[0].debugctl == 0
    host.open("T", "any", task="t")
    assert host.machine.cpus[0].debugctl & LBR
    host.run("u")
    assert host.machine.cpus[0].debugctl == 0


def test_a_guests_event_never_turns_the_lbr_on_in_the_host() -> None:
    host = make_host(running="v")
    host.guest()
    assert host.machine.cpus[0].debugctl == 0
    host.retire(2)
    assert host.machine.cpus[0].lbr.from_ip == [0] * 4


# Shut out --------------------------------------------------------------------------------------------------


def shut_out() -> Host:
    host = make_host(running="v")
    host.open("P", "any", pinned=True)
    host.retire(1)
    host.sample("P")
    host.guest()
    return host


def test_while_the_guests_event_is_on_the_host_lbr_stays_off() -> None:
    host = shut_out()
    assert host.states() == {"P": "A", "vlbr:v": "A"}
    assert not host.machine.cpus[0].debugctl & LBR
    host.open("Q", "any", pinned=True)
    assert not host.machine.cpus[0].debugctl & LBR
    host.run("u")
    assert host.machine.cpus[0].debugctl & LBR, "it is on again once the vCPU thread is off"


def test_a_shut_out_sample_is_stale() -> None:
    host = shut_out()
    stale = stack(host, "P")
    assert len(stale) == 1
    host.machine.cpus[0].lbr.from_ip[:] = [1, 2, 3, 4]
    assert stack(host, "P") == stale


def test_no_entries_come_from_a_buffer_that_was_never_filled() -> None:
    host = make_host(running="v")
    host.open("P", "any", pinned=True)
    host.retire(3)
    host.guest()
    sample = host.sample("P")
    assert (sample.sampled, sample.from_ip, sample.to_ip) == (True, [], [])


def test_a_shut_out_sample_has_what_another_event_of_another_task_read_after_that_filter() -> None:
    host = make_host(running="t")
    host.open("T", "any_call", task="t", privilege=["user"])
    host.retire(2, "call")
    host.retire(1, "jmp")
    read = host.sample("T")
    assert [branch_at(value) for value in read.from_ip] == [("call", "user")] * 2

    host.run("v")
    host.open("P", "any", pinned=True, privilege=["kernel"])
    host.retire(3, "jmp", "kernel")
    host.guest()
    stale = host.sample("P")
    assert (stale.from_ip, stale.to_ip) == (read.from_ip, read.to_ip), "the filter of P wants none of these"


def test_a_reset_does_not_clear_the_buffer() -> None:
    host = shut_out()
    stale = stack(host, "P")
    lbr_reset(host.machine, host.perf.kernel.cpus[0], "a test")
    assert host.machine.cpus[0].lbr.from_ip == [0] * 4
    assert stack(host, "P") == stale != []


def test_a_successful_read_of_no_entries_is_the_last_one() -> None:
    host = make_host(running="t")
    host.open("P", "any", pinned=True)
    host.retire(1)
    assert stack(host, "P")
    lbr_reset(host.machine, host.perf.kernel.cpus[0], "a test")
    assert stack(host, "P") == []
    host.retire(2)
    host.run("v")
    host.guest()
    assert stack(host, "P") == []


def test_the_buffer_is_the_cpus() -> None:
    host = make_host(cpus=2, running="t")
    host.open("P", "any", cpu=0, pinned=True)
    host.retire(2)
    assert stack(host, "P")
    host.run("v", 1)
    host.open("Q", "any", cpu=1, pinned=True)
    host.retire(2, cpu=1)
    host.guest()
    assert stack(host, "Q") == []


def test_an_overflow_while_shut_out_carries_the_same_buffer() -> None:
    host = make_host(running="v")
    host.open("P", "any", pinned=True, period=4)
    host.retire(1)
    read = stack(host, "P")
    host.guest()
    host.news()
    host.retire(3)
    (sample,) = [r for r in host.news() if isinstance(r, SampleTaken)]
    assert [value for value in sample.from_ip if value] == read
    assert (sample.shut_out, sample.overflow) == (True, True)


def test_the_pmi_of_a_counter_fills_the_buffer_too() -> None:
    """The handler reads the LBR whichever event overflowed (``intel_pmu_lbr_read``)."""
    host = make_host(running="v")
    host.open("P", "any", pinned=True)
    host.open("C", period=2)
    host.retire(2)
    host.close("C")
    host.guest()
    assert len(stack(host, "P")) == 2


def test_a_stale_debugctl_is_left_alone_while_shut_out() -> None:
    host = shut_out()
    host.machine.cpus[0].debugctl = LBR
    host.open("Q", "any", pinned=True)
    assert host.machine.cpus[0].debugctl == LBR, "disable_all returns at once"
