"""Laws that hold after every operation, whatever came before it."""

from __future__ import annotations

import copy
from dataclasses import replace as changed

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

from contract.control import Open, RunTask
from contract.design import Design
from contract.designs import MERGED, REVOKE_GP, V7, V8
from contract.errors import RefusedError
from perfcore_svc.perf.event import PerfEvent, State
from tests.perfcore_svc.hosts import VCPUS, Host, make_host, picture
from tests.perfcore_svc.kvm import Kvm

DESIGNS = (V7, V8, MERGED, REVOKE_GP)
FILTERS: tuple[list[str], ...] = ([], ["any"], ["call"], ["call_stack"], ["cond", "any_return"])
# CPU events of cpu0 and cpu1, task events that follow t or v or are bound to cpu1.
places = st.sampled_from([(0, ""), (1, ""), (-1, "t"), (-1, "v"), (1, "v")])
opens = st.builds(
    lambda place, pinned, branch, level, disabled: Open(
        "", place[0], place[1], pinned=pinned, branch=branch, privilege=level, disabled=disabled
    ),
    places,
    st.booleans(),
    st.sampled_from(FILTERS),
    st.sampled_from([["user"], ["user", "kernel"]]),
    st.sampled_from([False, False, False, True]),
)
NEWCOMER = PerfEvent(0, "nobody", 0, "", True, State.INACTIVE)


class Laws(RuleBasedStateMachine):
    names = Bundle("names")

    @initialize(
        target=names,
        design=st.sampled_from(DESIGNS),
        cpus=st.integers(1, 2),
        counters=st.integers(2, 4),
        kernel=st.sampled_from(["v5.3", "v5.12"]),
        running=st.sampled_from(["v", "t"]),
        first=st.lists(opens, min_size=2, max_size=6),
    )
    def begin(
        self, design: Design, cpus: int, counters: int, kernel: str, running: str, first: list[Open]
    ) -> MultipleResults[str]:
        self.host = make_host(cpus=cpus, counters=counters, kernel=kernel, design=design, running=running)
        Kvm(self.host, vcpus=("v", "w"))
        self.cpus, self.counters = cpus, counters
        self.opened = 0
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
        self.host.do(replace(wanted, event=name, cpu=min(wanted.cpu, self.cpus - 1)))
        return name

    @rule(vcpu=st.sampled_from(VCPUS))
    def open_or_close_guest(self, vcpu: str) -> None:
        """One event for each vCPU, as a KVM does."""
        event = self.guests.pop(vcpu, None)
        if event is None:
            self.guests[vcpu] = self.host.guest(vcpu)
        else:
            self.failed.discard(event.id)
            self.host.perf.close(event)
            self.host.endpoint.notify()

    @rule(name=names)
    def enable(self, name: str) -> None:
        self.failed.discard(self.host.perf.named[name].id)
        self.host.enable(name)

    @rule(vcpu=st.sampled_from(VCPUS))
    def enable_guest(self, vcpu: str) -> None:
        if vcpu in self.guests:
            self.failed.discard(self.guests[vcpu].id)
            self.host.enable(f"vlbr:{vcpu}")

    @rule(name=names)
    def disable(self, name: str) -> None:
        others = {n: s for n, s in self.host.states().items() if n != name}
        self.host.disable(name)
        assert {n: s for n, s in self.host.states().items() if n != name} == others

    @rule(name=consumes(names))
    def close(self, name: str) -> None:
        others = {n: s for n, s in self.host.states().items() if n != name}
        self.failed.discard(self.host.perf.named[name].id)
        self.host.close(name)
        assert self.host.states() == others

    @rule(task=st.sampled_from(["", "t", "v", "w"]), cpu=st.integers(0, 1))
    def run(self, task: str, cpu: int) -> None:
        self.host.run(task, min(cpu, self.cpus - 1))

    @rule(name=names, count=st.integers(1, 9), kind=st.sampled_from(["call", "jmp", "return"]))
    def sample(self, name: str, count: int, kind: str) -> None:
        self.host.retire(count, kind)
        event = self.host.perf.named[name]
        assert self.host.sample(name).taken == (event.state == State.ACTIVE and event.filter is not None)

    @rule(command=st.sampled_from([RunTask("nobody", 0), RunTask("t", 7), Open("x", 9), Open("x", -1, "nobody")]))
    def refused(self, command: RunTask | Open) -> None:
        before = picture(self.host)
        with pytest.raises(RefusedError):
            self.host.command(command)
        assert picture(self.host) == before

    # Laws ------------------------------------------------------------------------------------------------

    def active(self, cpu: int) -> list[PerfEvent]:
        return [e for e in self.host.perf.events.values() if e.state == State.ACTIVE and e.oncpu == cpu]

    @invariant()
    def one_filter_value_among_the_users_of_the_slot(self) -> None:
        for cpu in range(self.cpus):
            values = {e.slot for e in self.active(cpu) if e.slot is not None}
            assert len(values) <= 1
            assert not values or values == {self.host.perf.sched.cpus[cpu].slot}

    @invariant()
    def counters_are_not_exceeded_and_counts_are_true(self) -> None:
        for pc in self.host.perf.sched.cpus:
            on = self.active(pc.index)
            assert pc.counters_used == sum(e.counter for e in on) <= self.counters
            assert pc.slot_users == sum(e.slot is not None for e in on)
            assert pc.lbr_users == sum(e.filter is not None for e in on)
            assert pc.host_users == sum(e.filter is not None and not e.guest for e in on)
            assert sum(e.pseudo for e in on) == pc.pseudo_used
            assert pc.shut_out == any(e.guest for e in on)

    @invariant()
    def the_lbr_is_on_for_the_host_just_when_it_may_use_it(self) -> None:
        for pc in self.host.perf.sched.cpus:
            may = pc.host_users > 0 and not pc.shut_out
            assert bool(self.host.machine.cpus[pc.index].debugctl & 1) == may

    @invariant()
    def error_is_left_by_enable_alone(self) -> None:
        now = {e.id for e in self.host.perf.events.values() if e.state == State.ERROR}
        assert self.failed <= now
        self.failed = now

    @invariant()
    def only_pinned_events_fail_and_no_live_one_waits(self) -> None:
        for event in self.host.perf.events.values():
            assert (event.oncpu >= 0) == (event.state == State.ACTIVE)
            if not event.pinned:
                assert event.state != State.ERROR
            elif event.state == State.INACTIVE:
                assert not self.eligible(event)
            if event.state == State.ACTIVE:
                assert self.eligible(event)

    def eligible(self, event: PerfEvent) -> bool:
        cpu = self.host.perf.sched.cpu_running(event.task) if event.task else event.cpu
        return cpu >= 0 and event.cpu in (-1, cpu)

    @invariant()
    def a_reschedule_with_nothing_changed_changes_nothing(self) -> None:
        """Whoever waited for a freed place gets its chance in the first one, nobody in the second."""
        self.host.log.records.clear()
        self.host.drain()
        host: Host = copy.deepcopy(self.host)
        for cpu in range(self.cpus):
            host.perf.sched._resched(cpu, changed(NEWCOMER, cpu=cpu))
            once = host.states()
            host.perf.sched._resched(cpu, changed(NEWCOMER, cpu=cpu))
            assert host.states() == once


Laws.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, phases=set(Phase) - {Phase.explain}
)
TestLaws = Laws.TestCase
