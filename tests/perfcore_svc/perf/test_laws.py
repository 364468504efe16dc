"""Laws that hold after every operation, whatever came before it."""

from __future__ import annotations

import copy

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from msgspec.structs import replace

from contract.control import Disable, Enable, Open, RunTask, SetMuxInterval
from contract.design import Design
from contract.errors import RefusedError
from perfcore_svc.perf import sched
from perfcore_svc.perf.event import FLEXIBLE, PerfEvent, State
from tests.cases import cases
from tests.designs import MERGED, REVOKE_GP, V7, V8
from tests.perfcore_svc.hosts import VCPUS, Host, make_host, picture
from tests.perfcore_svc.kvm import Kvm
from tests.perfcore_svc.perf.bookkeeping import CHECKS, check_times
from tests.perfcore_svc.perf.notation import KERNELS

MS = 1_000_000
DESIGNS = (V7, V8, MERGED, REVOKE_GP)
FILTERS: tuple[list[str], ...] = ([], [], ["any"], ["call"], ["call_stack"])
seldom = st.sampled_from([False, False, False, True])
# CPU events of cpu0 and cpu1, task events that follow t or v or are bound to cpu1.
places = st.sampled_from([(0, ""), (0, ""), (1, ""), (-1, "t"), (-1, "v"), (1, "v")])
opens = st.builds(
    lambda place, pinned, exclusive, branch, level, disabled, config: Open(
        "",
        place[0],
        place[1],
        pinned=pinned,
        exclusive=exclusive,
        branch=branch,
        privilege=level,
        disabled=disabled,
        config=config,
    ),
    places,
    st.booleans(),
    seldom,
    st.sampled_from(FILTERS),
    st.sampled_from([["user"], ["user", "kernel"]]),
    seldom,
    st.sampled_from(["general", "general", "cycles"]),
)


def newcomer(cpu: int, *, pinned: bool = True) -> PerfEvent:
    return PerfEvent(0, "nobody", cpu, "", pinned, State.INACTIVE)


class Laws(RuleBasedStateMachine):
    names = Bundle("names")

    @initialize(
        target=names,
        design=st.sampled_from(DESIGNS),
        cpus=st.integers(1, 2),
        counters=st.integers(1, 4),
        fixed=st.sampled_from([0, 3]),
        pmu=st.sampled_from(["intel", "intel", "armv8"]),
        kernel=st.sampled_from(KERNELS),
        running=st.sampled_from(["v", "t"]),
        first=st.lists(opens, min_size=2, max_size=6),
    )
    def begin(
        self,
        design: Design,
        cpus: int,
        counters: int,
        fixed: int,
        pmu: str,
        kernel: str,
        running: str,
        first: list[Open],
    ) -> MultipleResults[str]:
        self.host = make_host(
            cpus=cpus, counters=counters, fixed=fixed, pmu=pmu, kernel=kernel, design=design, running=running
        )
        Kvm(self.host, vcpus=("v", "w"))
        self.cpus = cpus
        self.opened = 0
        self.gone = 0
        self.guests: dict[str, PerfEvent] = {"v": self.host.guest()} if running == "v" else {}
        self.failed: set[int] = set()
        return multiple(*map(self.open, first))

    # Operations ------------------------------------------------------------------------------------------

    @rule(target=names, wanted=opens)
    def open_one(self, wanted: Open) -> str:
        return self.open(wanted)

    def open(self, wanted: Open) -> str:
        self.opened += 1
        name = f"e{self.opened}"
        assert self.host.do(replace(wanted, event=name, cpu=min(wanted.cpu, self.cpus - 1))) == ""
        return name

    @rule(target=names, leader=names, wanted=opens, wrong=seldom)
    def open_member(self, leader: str, wanted: Open, wrong: bool) -> str | MultipleResults[str]:
        """A refused one has changed nothing."""
        self.opened += 1
        name, of = f"e{self.opened}", self.host.perf.named[leader]
        flags = (wanted.pinned, wanted.exclusive) if wrong else (False, False)
        asked = replace(wanted, event=name, group=leader, cpu=of.cpu, task=of.task, pinned=flags[0], exclusive=flags[1])
        self.host.log.records.clear()
        self.host.drain()
        before, clock = picture(self.host), self.host.log.clock
        errno = self.host.do(asked)
        assert errno in ("", "EINVAL")
        if any(flags) or of.leader is not of:
            assert errno == "EINVAL"
        if not errno:
            return name
        self.host.log.records.clear()
        self.host.log.clock = clock
        assert picture(self.host) == before
        return multiple()

    @rule(vcpu=st.sampled_from(VCPUS))
    def open_or_close_guest(self, vcpu: str) -> None:
        """One event for each vCPU, as a KVM does."""
        event = self.guests.pop(vcpu, None)
        if event is None:
            self.guests[vcpu] = self.host.guest(vcpu)
        else:
            self.failed.discard(event.id)
            self.host.perf.close(event)
            self.host.settle()

    @rule(name=names, group=st.booleans())
    def enable(self, name: str, group: bool) -> None:
        event = self.host.perf.named[name]
        self.failed -= {e.id for e in (event.leader.group if group else [event])}
        self.host.do(Enable(name, group))

    @rule(vcpu=st.sampled_from(VCPUS))
    def enable_guest(self, vcpu: str) -> None:
        if vcpu in self.guests:
            self.failed.discard(self.guests[vcpu].id)
            self.host.enable(f"vlbr:{vcpu}")

    def others(self, name: str) -> dict[str, str]:
        """The states of all that are not in this event's group."""
        group = self.host.perf.named[name].leader.group
        return {e.name: e.state.name for e in self.host.perf.events.values() if e not in group}

    @rule(name=names, group=st.booleans())
    def disable(self, name: str, group: bool) -> None:
        others = self.others(name)
        self.host.do(Disable(name, group))
        assert self.others(name) == others

    @rule(name=consumes(names))
    def close(self, name: str) -> None:
        event = self.host.perf.named[name]
        before = {n: s for n, s in self.host.states().items() if n != name}
        self.failed.discard(event.id)
        self.host.close(name)
        assert self.host.states() == before, "members of a leader stay as they are"
        self.gone += event.running if event.counters else 0

    @rule(task=st.sampled_from(["", "t", "v", "w"]), cpu=st.integers(0, 1))
    def run(self, task: str, cpu: int) -> None:
        self.host.run(task, min(cpu, self.cpus - 1))

    @rule(ns=st.sampled_from([1, MS, 4 * MS, 4 * MS, 9 * MS, 50 * MS]))
    def advance(self, ns: int) -> None:
        self.host.advance(ns)

    @rule(ns=st.sampled_from([MS // 2, MS, 4 * MS, 6 * MS]), cpu=st.integers(-1, 1), phase=st.integers(0, 2))
    def set_interval(self, ns: int, cpu: int, phase: int) -> None:
        errno = self.host.do(SetMuxInterval(ns, min(cpu, self.cpus - 1), phase * MS // 2))
        assert errno == ("EINVAL" if ns < MS else "")

    @rule(name=names, count=st.integers(1, 9), kind=st.sampled_from(["call", "jmp", "return"]))
    def sample(self, name: str, count: int, kind: str) -> None:
        self.host.retire(count, kind)
        event = self.host.perf.named[name]
        assert self.host.sample(name).sampled == (event.state == State.ACTIVE and event.filter is not None)

    @rule(command=st.sampled_from([RunTask("nobody", 0), RunTask("t", 7), Open("x", 9), Open("x", -1, "nobody")]))
    def refused(self, command: RunTask | Open) -> None:
        self.host.log.records.clear()
        self.host.drain()
        before = picture(self.host)
        with pytest.raises(RefusedError):
            self.host.command(command)
        assert picture(self.host) == before

    @rule(pinned=st.booleans())
    def a_reschedule_with_nothing_changed_changes_nothing(self, pinned: bool) -> None:
        """An event that waited for a freed place gets it in the first fork, and no event in the second."""
        for cpu in range(self.cpus):
            seen = []
            for _ in range(2):
                sched._resched(self.host.perf.kernel, cpu, newcomer(cpu, pinned=pinned))
                seen.append(self.host.states())
            assert seen[0] == seen[1]
        self.host.settle()

    def fork(self) -> Host:
        self.host.log.records.clear()
        self.host.drain()
        return copy.deepcopy(self.host)

    @rule()
    def cpu_flexible_events_do_not_depend_on_task_flexible_ones(self) -> None:
        """Disable these in one of two forks: the other events that are on stay the same, also after ticks."""
        with_them, without = self.fork(), self.fork()
        theirs = [e for e in without.perf.events.values() if e.task and e.event_class == FLEXIBLE]
        for event in theirs:
            sched.disable(without.perf.kernel, event)
        names = {e.name for e in theirs}
        for _ in range(3):
            sets = []
            for host in (with_them, without):
                for cpu in range(self.cpus):
                    sched._resched(host.perf.kernel, cpu, newcomer(cpu, pinned=False))
                sets.append({n: s for n, s in host.states().items() if n not in names})
                host.tick()
            assert sets[0] == sets[1]

    # Laws ------------------------------------------------------------------------------------------------

    @invariant()
    def counts_and_lists_are_what_the_events_say(self) -> None:
        for check in CHECKS:
            check(self.host)
        check_times(self.host, self.gone)

    @invariant()
    def error_is_left_by_enable_alone(self) -> None:
        now = {e.id for e in self.host.perf.events.values() if e.state == State.ERROR}
        assert self.failed <= now
        self.failed = now


Laws.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, phases=set(Phase) - {Phase.explain}
)
TestLaws = Laws.TestCase


@cases("kernel", KERNELS)
@cases("design", DESIGNS, ids=lambda d: d.name)
def test_a_context_that_comes_back_after_its_last_event_waited_and_closed(design: Design, kernel: str) -> None:
    """In v5.3 it is still marked for rotation, though nobody waits and no timer is armed."""
    host = make_host(cpus=1, counters=2, fixed=0, kernel=kernel, design=design, running="v")
    Kvm(host, vcpus=("v", "w"))
    guest = host.guest()
    for name, task in (("e1", ""), ("e2", ""), ("e3", "v")):
        assert host.open(name, task=task) == ""
    assert host.states()["e3"] == "I"
    host.perf.close(guest)
    host.endpoint.tell()
    host.close("e3")
    host.run("")
    host.run("v")
    host.advance(4 * MS)
    host.guest()

    for check in CHECKS:
        check(host)
    assert host.perf.kernel.tasks["v"].rotate_necessary == (kernel == "v5.3")
