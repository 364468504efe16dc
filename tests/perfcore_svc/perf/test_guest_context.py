"""Host events making way while a guest runs that owns the PMU (host-events = switched-out)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.control import ConfigurePerf, MachineSpec
from contract.machine import AnyOp, Branch, Controls, Cpuid, Enter, EntryRefused, Ran
from contract.messages import CreateCounter, EventCreated, LbrImage
from contract.results import Counted
from contract.trace import EventChange, EventFailed, HostLbr, Pmi, VmEntry, VmEntryRefused
from perfcore_svc.core import HostCore
from tests.cases import cases
from tests.designs import MEDIATED, VMX_TRANSITION
from tests.perfcore_svc.hosts import Host
from tests.perfcore_svc.kvm import Kvm
from tests.perfcore_svc.machine.bench import FREEZE, LBR, left
from tests.perfcore_svc.perf.bookkeeping import CHECKS
from tests.perfcore_svc.perf.notation import FILTERS, Stage, every_kernel, stage


def mediated(kernel: str = "v6.16", **machine: Any) -> Stage:
    return stage(kernel, design=MEDIATED, **machine)


def put(host: Stage, name: str, what: str, **options: Any) -> None:
    host.put(name, what, exclude_guest=True, **options)


def enter(host: Host, *ops: AnyOp, debugctl: int = 0) -> Any:
    return host.request(Enter("v", 0, Controls(debugctl, True, lbr=LbrImage()), list(ops)))


def leave(host: Host) -> None:
    host.machine.interrupt(host.machine.cpus[0])


def test_the_hosts_lbr_is_off_before_the_guest_is_entered() -> None:
    host = mediated()
    put(host, "P", "CP any")
    assert host.machine.cpus[0].debugctl == LBR | FREEZE
    enter(host)
    (entry,) = (record for record in host.news() if isinstance(record, VmEntry))
    assert entry.host_debugctl == 0


@every_kernel
def test_the_hosts_events_are_off_while_the_guest_runs(kernel: str) -> None:
    host = mediated(kernel)
    for name, what in (("P", "CP any"), ("T", "TP any"), ("F", "CF any"), ("G", "TF any")):
        put(host, name, what)
    assert host.now() == "A A A A"
    enter(host)
    assert host.now() == "I I I I"
    leave(host)
    assert host.now() == "A A A A"
    for check in CHECKS:
        check(host)


def test_every_event_goes_and_one_of_another_pmu_stays() -> None:
    host = mediated()
    put(host, "plain", "CP plain")
    put(host, "F", "CF plain")
    host.put("trace", "CP plain", config="pt")
    enter(host)
    assert host.now() == "I I A"
    leave(host)
    assert host.now() == "A A A"


def test_a_guests_own_counter_stays() -> None:
    host = mediated()
    counter = host.perf.open_counter("pmc0:v", CreateCounter("v", 1, 0, ["user"], 0))
    enter(host)
    assert counter.state.name == "ACTIVE"


def test_a_group_goes_and_comes_as_one() -> None:
    host = mediated()
    put(host, "L", "CF plain")
    put(host, "S", "CF any", group="L")
    enter(host)
    assert host.now() == "I I"
    leave(host)
    assert host.now() == "A A"


def test_they_go_and_come_back_in_the_order_of_classes() -> None:
    host = mediated()
    for name, what in (("F", "CF any"), ("T", "TP any"), ("P", "CP any"), ("G", "TF any")):
        put(host, name, what)
    host.news()
    enter(host)
    leave(host)
    changes = [(r.name, r.new) for r in host.news() if isinstance(r, EventChange)]
    assert changes == [(name, state) for state in ("INACTIVE", "ACTIVE") for name in "PTFG"]


def test_a_pinned_event_does_not_go_to_error_for_it() -> None:
    host = mediated()
    put(host, "P", "CP any")
    for _ in range(3):
        enter(host, Cpuid())
    assert host.now() == "A"
    assert not [r for r in host.log.records if isinstance(r, EventChange) and "ERROR" in (r.old, r.new)]


def test_who_waited_before_waits_after() -> None:
    host = mediated()
    put(host, "A", "CF any")
    put(host, "B", "CF call")
    put(host, "off", "CP any", disabled=True)
    enter(host, Cpuid())
    assert host.now() == "A I OFF"


def test_who_went_for_an_earlier_guest_does_not_come_back_with_a_later_one() -> None:
    host = mediated()
    put(host, "F", "CF any")
    enter(host, Cpuid())
    put(host, "X", "CP plain", exclusive=True)
    enter(host, Cpuid())
    assert host.now() == "I A"


def test_an_exclusive_group_is_exclusive_again() -> None:
    host = mediated()
    put(host, "X", "CP any", exclusive=True)
    put(host, "plain", "CF plain")
    enter(host)
    assert host.now() == "I I"
    leave(host)
    assert host.now() == "A I"
    assert host.perf.kernel.cpus[0].exclusive


def test_their_ring_and_filter_survive() -> None:
    host = mediated()
    put(host, "P", "CP any", privilege=["user"])
    host.retire(3)
    before = host.machine.cpus[0].lbr.store()
    left(enter(host, Branch(9, "jcc", "user"), Cpuid(), debugctl=LBR))
    assert host.machine.cpus[0].lbr.store() == before
    assert host.machine.cpus[0].debugctl == LBR | FREEZE
    host.retire(1)
    assert len(host.sample("P").from_ip) == 4


def test_a_new_event_that_comes_while_the_guest_is_in_finds_them_back() -> None:
    host = mediated()
    put(host, "F", "CF any")
    enter(host)
    put(host, "P", "CP call")
    assert host.now() == "I A"
    assert host.machine.cpus[0].guest == ""


def test_the_lbr_is_off_when_the_guest_is_entered_and_on_again_after_the_exit() -> None:
    host = mediated()
    put(host, "P", "CP any")
    host.news()
    enter(host, Cpuid())
    records = host.news()
    assert [r.host_debugctl for r in records if isinstance(r, VmEntry)] == [0]
    assert [(r.enabled, r.debugctl) for r in records if isinstance(r, HostLbr)] == [(False, 0), (True, LBR | FREEZE)]


def test_the_guests_time_is_none_of_theirs() -> None:
    host = mediated()
    put(host, "P", "CP any")
    host.advance(1_000_000)
    enter(host)
    host.advance(500_000)
    leave(host)
    host.advance(1_000_000)
    assert host.times("P") == (2_000_000, 2_000_000)


def test_a_period_goes_on_where_it_was() -> None:
    host = mediated()
    put(host, "P", "CP any", period=5)
    host.retire(3)
    enter(host, Branch(20), Cpuid())
    host.retire(1)
    assert not [r for r in host.log.records if isinstance(r, Pmi)]
    host.retire(1)
    assert len([r for r in host.log.records if isinstance(r, Pmi)]) == 1


def test_an_entry_that_is_refused_moves_nobody() -> None:
    host = mediated()
    put(host, "P", "CP any")
    host.news()
    bad = Enter("v", 0, Controls(0, True, lbr=LbrImage(0, 9)), [])
    assert isinstance(host.request(bad), EntryRefused)
    assert host.now() == "A"
    assert host.machine.cpus[0].debugctl == LBR | FREEZE
    assert [type(r) for r in host.news()] == [VmEntryRefused]


def test_other_designs_leave_them_on() -> None:
    host = stage(design=VMX_TRANSITION)
    host.put("P", "CP any")
    assert isinstance(enter(host), Ran)
    assert host.now() == "A"


def test_only_the_cpu_that_the_guest_runs_on_makes_way() -> None:
    host = mediated(cpus=2)
    put(host, "here", "CP any")
    host.open("there", "any", cpu=1, pinned=True, exclude_guest=True)
    enter(host)
    assert host.now() == "I A"


events = st.lists(
    st.tuples(
        st.sampled_from(["CP", "TP", "CF", "TF"]),
        st.sampled_from(sorted(FILTERS)),
        st.booleans(),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=6,
)


def furnished(wanted: list[tuple[str, str, bool, bool, int]], counters: int, kernel: str) -> Stage:
    host = mediated(kernel, counters=counters)
    for n, (what, branch, disabled, exclusive, branches) in enumerate(wanted):
        put(host, f"e{n}", f"{what} {branch}", disabled=disabled, exclusive=exclusive)
        host.advance(100_000)
        if branches:
            host.retire(branches, "call")
    return host


@settings(max_examples=60)
@given(events, st.integers(1, 4), st.sampled_from(["v5.3", "v6.16"]))
def test_an_entry_and_an_exit_leave_the_host_as_it_was(
    wanted: list[tuple[str, str, bool, bool, int]], counters: int, kernel: str
) -> None:
    host = furnished(wanted, counters, kernel)
    cpu = host.machine.cpus[0]
    before = host.states(), cpu.lbr.store() if cpu.debugctl & LBR else None, cpu.debugctl
    enter(host, Branch(2, "call", "user"))
    assert "A" not in host.states().values()
    leave(host)
    assert (host.states(), cpu.lbr.store() if before[1] else None, cpu.debugctl) == before
    for check in CHECKS:
        check(host)


# While the guest runs ------------------------------------------------------------------------------------


def in_guest_mode() -> Stage:
    """The group of L and S has made way for v."""
    host = mediated()
    put(host, "L", "CP any")
    put(host, "S", "CP plain", group="L")
    enter(host)
    return host


def test_a_group_that_is_disabled_while_the_guest_runs_stays_off() -> None:
    host = in_guest_mode()
    host.disable("L")
    leave(host)
    assert host.now() == "OFF I"


def test_an_event_that_is_closed_while_the_guest_runs_leaves_nothing_behind() -> None:
    host = in_guest_mode()
    host.close("L")
    leave(host)
    assert host.now() == "A", "the sibling was on, and is its own leader now"
    for check in CHECKS:
        check(host)


def test_an_event_that_is_off_is_opened_without_a_clock_starting() -> None:
    host = mediated()
    put(host, "P", "CP any")
    enter(host)
    put(host, "off", "CP plain", disabled=True)
    assert host.machine.cpus[0].guest == "v"
    host.advance(500_000)
    leave(host)
    assert host.times("P") == (0, 0)


operations = st.one_of(
    st.tuples(
        st.just("open"),
        st.sampled_from(["CP", "TP", "CF", "TF"]),
        st.sampled_from(sorted(FILTERS)),
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.sampled_from(["join", "enable", "disable", "close"]), st.integers(0, 5)),
)


def act(host: Stage, what: str, *how: Any) -> None:
    if what == "open":
        put(host, "new", f"{how[0]} {how[1]}", exclusive=how[2], disabled=how[3])
    elif host.perf.named:
        name = list(host.perf.named)[how[0] % len(host.perf.named)]
        of = host.perf.named[name]
        if what == "join":
            host.open("new", group=name, task=of.task, cpu=of.cpu, exclude_guest=True)
        else:
            {"enable": host.enable, "disable": host.disable, "close": host.close}[what](name)


def seen(host: Stage) -> list[tuple[str, Counted]]:
    return [(host.states()[name], host.read(name)) for name in host.perf.named]


@settings(max_examples=60)
@given(events, operations, st.integers(1, 4), st.sampled_from(["v5.3", "v6.16"]))
def test_what_happens_while_the_guest_runs_is_as_if_it_had_come_out_before(
    wanted: list[tuple[str, str, bool, bool, int]], operation: tuple[Any, ...], counters: int, kernel: str
) -> None:
    outcomes = []
    for comes_out in (False, True):
        host = furnished(wanted, counters, kernel)
        enter(host)
        if comes_out:
            leave(host)
        act(host, *operation)
        if not host.machine.cpus[0].guest:
            enter(host)
        host.advance(500_000)
        leave(host)
        outcomes.append(seen(host))
    assert outcomes[0] == outcomes[1]


# Who may be open beside such guests ------------------------------------------------------------------------


def failures(host: Host) -> list[tuple[str, str]]:
    return [(r.errno, r.holder) for r in host.log.records if isinstance(r, EventFailed)]


@cases("branch", [["any"], []])
def test_an_event_that_counts_guests_is_refused(branch: list[str]) -> None:
    host = mediated()
    assert host.open("P", *branch) == "EOPNOTSUPP"
    assert failures(host) == [("EOPNOTSUPP", "a mediated VM")]
    assert host.open("P", *branch, exclude_guest=True) == ""


def test_without_guests_it_is_not() -> None:
    host = Host(HostCore.configured(ConfigurePerf(MachineSpec(depth=4), MEDIATED, ["t"], [])))
    assert host.open("P", "any") == ""


def test_nor_where_guests_do_not_own_the_lbr() -> None:
    assert stage(design=VMX_TRANSITION).open("P", "any") == ""


@cases("counters", [1, 4])
def test_a_guests_counters_are_its_own_and_work(counters: int) -> None:
    host = mediated(counters=counters, fixed=0)
    kvm = Kvm(host)
    put(host, "P", "CP any")
    kvm.tell(CreateCounter("v", 4, 0, ["user", "kernel"], 100))
    (created,) = kvm.told()
    assert isinstance(created, EventCreated)
    assert created.errno == ""
    enter(host, Branch(5), Branch(2, "jmp", "user"))
    assert host.perf.guest_count(created.event, "v") == 7
    leave(host)
    assert host.states() == {"pmc0:v": "A", "P": "A"}
