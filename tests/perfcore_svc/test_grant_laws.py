"""Laws of grants after every operation, whatever came before it: what KVM has heard is what is so, and nobody takes the
LBR without waiting where the host waits."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.control import Close, Disable, Enable, FireHostTimer, Open, RunTask
from contract.design import Design, Event, Notifier, StreamDelivery, Takes
from contract.messages import (
    Ack,
    AnyMessage,
    CreateEvent,
    EnableEvent,
    EventCreated,
    EventState,
    ReleaseEvent,
    Renew,
    Revoke,
    SchedIn,
)
from perfcore_svc.perf.event import PerfEvent, State
from tests.cases import cases
from tests.designs import FAIL_ENTRY, FENCED, REVOKE_ACK, REVOKE_GP
from tests.perfcore_svc.hosts import VCPUS, Host, make_host
from tests.perfcore_svc.kvm import Kvm

MS = 1_000_000
DESIGNS = [
    REVOKE_GP,
    replace(REVOKE_GP, name="flexible", event=Event.TASK_FLEXIBLE),
    replace(REVOKE_GP, name="counted", takes=Takes.COUNTER),
    replace(FENCED, name="fenced", delivery=StreamDelivery.AS_IT_COMES),
    FAIL_ENTRY,
    REVOKE_ACK,
    replace(REVOKE_ACK, name="acknowledged-counted", takes=Takes.COUNTER),
]
WAITING = [design for design in DESIGNS if design.notifier is Notifier.ACKNOWLEDGED]

vcpus = st.sampled_from(VCPUS)
places = st.sampled_from([(0, ""), (0, ""), (1, ""), (-1, "v"), (1, "v"), (-1, "t")])
opens = st.tuples(
    st.just("open"),
    places,
    st.sampled_from([True, True, False]),
    st.sampled_from([[], ["any"], ["any"], ["call_stack"]]),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([False, False, True]),
)
numbers = st.integers(0, 9)
actions = st.lists(
    st.one_of(
        opens,
        opens,
        st.tuples(st.sampled_from(["join", "enable", "enable group", "disable", "close"]), numbers),
        st.tuples(st.just("run"), st.sampled_from(["", "t", "v", "v", "w"]), st.integers(0, 1)),
        st.tuples(st.sampled_from(["create", "create", "release", "again"]), vcpus),
        st.tuples(st.sampled_from(["acknowledge", "acknowledge", "renew", "tick", "lease"])),
    ),
    min_size=5,
    max_size=25,
)


class Ear(Kvm):
    """A KVM that believes each message."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, vcpus=tuple(VCPUS))
        self.grants: dict[int, int] = {}
        self.events: dict[str, int] = {}
        self.revoked: list[int] = []
        self.requests = 0

    def hear(self) -> None:
        for message in self.told():
            self.take(message)

    def take(self, message: AnyMessage) -> None:
        if isinstance(message, EventCreated) and message.event:
            self.events[message.vcpu] = message.event
            self.grants[message.event] = message.grant
        elif isinstance(message, EventState):
            self.grants[message.event] = message.grant
        elif isinstance(message, SchedIn) and message.vcpu in self.events:
            self.grants[self.events[message.vcpu]] = message.grant
        elif isinstance(message, Revoke):
            self.revoked.append(message.grant)
            self.grants[message.event] = 0


class Run:
    def __init__(self, design: Design) -> None:
        self.host = make_host(cpus=2, counters=2, design=design, running="v")
        self.ear = Ear(self.host)
        self.acknowledged: set[int] = set()
        self.carry_out(0, "create", "v")

    def carry_out(self, n: int, what: str, *how: Any) -> None:
        host, ear = self.host, self.ear
        names = list(host.perf.named)
        name = names[how[0] % len(names)] if names and how and isinstance(how[0], int) else ""
        vcpu = how[0] if how else ""
        if what == "open":
            (cpu, task), pinned, branch, exclusive, disabled = how
            level = ["user"] if branch == ["call_stack"] else ["user", "kernel"]
            options: dict[str, Any] = dict(pinned=pinned, exclusive=exclusive, disabled=disabled)
            host.command(Open(f"e{n}", cpu, task, branch=branch, privilege=level, **options))
        elif what == "run":
            host.command(RunTask(how[0], how[1]))
        elif what == "join" and name:
            leader = host.perf.named[name]
            host.command(Open(f"e{n}", leader.cpu, leader.task, branch=["any"], group=name))
        elif what in ("enable", "enable group") and name:
            host.command(Enable(name, group=what != "enable"))
        elif what == "disable" and name:
            host.command(Disable(name))
        elif what == "close" and name:
            host.command(Close(name))
        elif what == "create" and vcpu not in ear.events:
            ear.requests += 1
            ear.tell(CreateEvent(vcpu, ear.requests))
        elif what == "release" and vcpu in ear.events:
            ear.tell(ReleaseEvent(ear.events.pop(vcpu)))
        elif what == "again" and vcpu in ear.events:
            ear.requests += 1
            ear.tell(EnableEvent(vcpu, ear.requests, ear.events[vcpu]))
        elif what == "acknowledge" and ear.revoked:
            self.acknowledged.add(ear.revoked[0])
            ear.tell(Ack(ear.revoked.pop(0)))
        elif what == "renew":
            for grant in [grant for grant in ear.grants.values() if grant]:
                ear.tell(Renew(grant))
        elif what == "tick":
            host.tick()
        elif what == "lease" and host.grants.state.due.get("k", -1) >= 0:
            host.advance(max(1, host.grants.state.due["k"] - host.log.now))
            host.command(FireHostTimer("k", "lease"))
        ear.hear()

    def guests(self) -> list[PerfEvent]:
        return [event for event in self.host.perf.events.values() if event.guest]


@cases("design", DESIGNS, ids=lambda d: d.name)
@settings(max_examples=25)
@given(actions=actions)
def test_what_kvm_has_heard_is_what_is_so(design: Design, actions: list[tuple[Any, ...]]) -> None:
    run = Run(design)
    for n, (what, *how) in enumerate(actions, start=1):
        run.carry_out(n, what, *how)
        for event in run.guests():
            grant, _ = run.host.lease(event.id)
            assert run.ear.grants[event.id] == grant
            on = run.host.perf.kernel.cpu_running(event.task) >= 0
            if event.state == State.ACTIVE:
                assert event.id in run.host.grants.state.held, "who is on has a grant, or one that is being ended"
            assert not grant or not on or event.state == State.ACTIVE, "who has a grant is on, or its thread is off"
        told = [grant for grant in run.ear.grants.values() if grant]
        assert len(set(told)) == len(told)


@cases("design", WAITING, ids=lambda d: d.name)
@settings(max_examples=60)
@given(actions=actions)
def test_nobody_takes_the_lbr_before_kvm_has_given_it_up(design: Design, actions: list[tuple[Any, ...]]) -> None:
    run = Run(design)
    kernel, held = run.host.perf.kernel, run.host.grants.state.held
    for n, (what, *how) in enumerate(actions, start=1):
        before = [(e, e.oncpu, held[e.id]) for e in run.guests() if e.state == State.ACTIVE]
        run.carry_out(n, what, *how)
        for event, cpu, grant in before:
            lost = cpu == kernel.cpu_running(event.task) and event.state not in (State.ACTIVE, State.EXIT)
            assert not lost or grant.number in run.acknowledged or grant.expires <= run.host.log.now
        waits = run.host.grants.state.waits
        assert {event for event, grant in held.items() if grant.revoked} == {
            e for w in waits.values() for e in w.losers
        }
        assert (run.host.grants.state.due.get("k", -1) >= 0) == bool(waits)
