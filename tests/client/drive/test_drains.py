"""Both real cores end their session in order (R24), whichever of them wants to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from client.litmus import parse
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.decisions import Step, parse_decision
from client.schedule.incidents import Shutdown
from client.schedule.schedule import Schedule, Tape
from contract.control import (
    DrainSession,
    FireHostTimer,
    FireKvmTimer,
    KvmDrain,
    KvmLoseLink,
    KvmMendLink,
    LoseLink,
    VmSpec,
)
from contract.design import Design
from contract.errors import DivergedError, RefusedError
from contract.machine import Branch, Wrmsr
from contract.messages import CreateCounter, CreateEvent, Drain, Drained, EventCreated, Received, Resume, Welcome
from contract.network import Fate
from contract.session import RESEND, SessionPhase
from contract.trace import CounterEvent, EventFailed, GuestEvent, Send, SessionChange, TaskExit, VcpuWait, VcpuWake
from contract.x86 import IA32_DEBUGCTL, MSR_EVENTSEL, MSR_GLOBAL_CTRL, MSR_PMC
from tests.cases import cases
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.kvm_svc.rig import KVM, VCPU, Rig

every = cases("design", [MERGED, REVOKE_GP, FENCED], ids=lambda design: design.name)


def by_kvm(rig: Rig) -> None:
    rig.kvm(KvmDrain("stops"))


def by_host(rig: Rig) -> None:
    rig.wire.perf(DrainSession(KVM, "stops"))


either = cases("drain", [by_kvm, by_host])


def used(design: Design) -> Rig:
    """The guest uses its LBR."""
    rig = Rig(design)
    assert rig.debugctl(1)
    rig.guest(Branch(3))
    return rig


def ask(rig: Rig) -> None:
    """The guest turns its LBR on, and KVM asks for an event; no message is taken."""
    rig.step(Wrmsr(IA32_DEBUGCTL, 1))
    while not rig.records(VcpuWait):
        rig.step()


def phases(rig: Rig) -> tuple[SessionPhase, SessionPhase]:
    return rig.wire.host.endpoint.sessions[KVM].phase, rig.core.endpoint.session.phase


def take(rig: Rig, *, to_host: bool, fate: Fate = Fate.TAKE) -> type:
    """The oldest message of one direction meets its fate. Returns the message."""
    head = rig.wire.network.waiting(KVM, to_host)[0]
    rig.wire.decide(head.receiver, fate, KVM, head.seq)
    return type(head.body)


@either
@every
def test_a_session_that_drains_is_over_at_both_ends_and_leaves_nothing(
    design: Design, drain: Callable[[Rig], None]
) -> None:
    rig = used(design)
    drain(rig)
    rig.settle()
    assert phases(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)
    host = rig.wire.host
    assert (host.endpoint.vcpus, host.perf.events, host.machine.cpus[0].task) == ({}, {}, "")
    assert [r.task for r in rig.records(TaskExit)] == [VCPU]
    assert (rig.vcpu().cpu, rig.vcpu().lbr_desc.event, rig.vcpu().grant.number) == (-1, 0, 0)
    words = [type(r.body) for r in rig.records(Send) if isinstance(r.body, Drain | Drained)]
    assert words == [Drain, Drained]
    for end in (False, True):
        moves = [r.new for r in rig.records(SessionChange) if r.to_host == end]
        assert moves in (["draining", "ended"], ["draining", "leaving", "ended"])
    assert [r.reason for r in rig.records(SessionChange)][:2] == ["stops", "stops"]
    assert {s.outgoing.due for s in (host.endpoint.sessions[KVM], rig.core.endpoint.session)} == {-1}


@every
def test_both_may_want_to(design: Design) -> None:
    rig = used(design)
    by_kvm(rig)
    by_host(rig)
    rig.settle()
    assert phases(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)


@every
def test_a_request_that_is_open_is_answered_before_kvm_leaves(design: Design) -> None:
    rig = Rig(design)
    ask(rig)
    by_host(rig)
    while not rig.core.endpoint.state.leaving:
        take(rig, to_host=False)
    assert phases(rig)[1] is SessionPhase.DRAINING
    assert CreateEvent in [type(e.body) for e in rig.wire.network.waiting(KVM, True)]
    rig.settle()
    assert phases(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)
    sent = [type(r.body) for r in rig.records(Send) if isinstance(r.body, EventCreated | Drained)]
    assert sent == [EventCreated, Drained]
    assert len(rig.records(VcpuWake)) == 1


def test_a_counter_that_is_asked_for_is_there_before_kvm_leaves() -> None:
    rig = Rig(MERGED, vms=[VmSpec("vm0", pmu=2)])
    for msr, value in ((MSR_GLOBAL_CTRL, 1), (MSR_PMC, 0), (MSR_EVENTSEL, 0x5300C4)):
        assert rig.wrmsr(msr, value)
    rig.step(Branch(3))
    assert CreateCounter in [type(e.body) for e in rig.wire.network.waiting(KVM, True)]
    by_host(rig)
    while take(rig, to_host=False) is not Drain:
        pass
    assert (phases(rig)[1], rig.sent(Drained)) == (SessionPhase.DRAINING, 0)
    rig.settle()
    assert phases(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)
    sent = [type(r.body) for r in rig.records(Send) if isinstance(r.body, EventCreated | Drained)]
    assert sent == [EventCreated, Drained]


@either
@every
def test_no_request_begins_while_it_drains(design: Design, drain: Callable[[Rig], None]) -> None:
    rig = Rig(design)
    drain(rig)
    if drain is by_host:
        take(rig, to_host=False)
        if design is not FENCED:
            assert phases(rig)[1] is SessionPhase.ENDED
            return
    ask(rig)
    assert rig.sent(CreateEvent) == 0
    assert [(r.change, r.reason) for r in rig.records(GuestEvent)] == [("failed", "ESHUTDOWN")]
    assert not rig.records(EventFailed)
    assert not rig.vcpu().waiting


@cases("lost", [Drain, Drained, Received], ids=lambda kind: kind.__name__)
@either
def test_a_word_that_is_lost_is_said_again_where_the_stream_is_repaired(
    drain: Callable[[Rig], None], lost: type
) -> None:
    rig = used(FENCED)
    drain(rig)
    kvm_first = drain is by_kvm
    if lost is not Drain:
        assert take(rig, to_host=kvm_first) is Drain
    if lost is Received:
        while take(rig, to_host=not kvm_first) is not Drained:
            pass
    rig.wire.network.queues.clear()
    for _ in range(3):
        for command in (FireHostTimer(KVM, RESEND), FireKvmTimer(RESEND)):
            if isinstance(command, FireHostTimer):
                rig.wire.perf(command)
            else:
                rig.wire.kvm(KVM, command)
        rig.settle()
    assert phases(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)
    assert {s.outgoing.due for s in (rig.wire.host.endpoint.sessions[KVM], rig.core.endpoint.session)} == {-1}


@cases(
    ("asks", "rounds"), [(False, 0), (False, 2), (True, 2)], ids=["Drained is not lost", "Drained is lost", "draining"]
)
def test_a_host_that_stops_gets_what_it_lacks_though_its_answer_to_resume_was_lost(asks: bool, rounds: int) -> None:
    """KVM takes Drain before it knows where the host is in the stream. It asks until it knows."""
    rig = Rig(FENCED)
    if asks:
        ask(rig)
    rig.wire.perf(LoseLink(KVM))
    rig.kvm(KvmLoseLink())
    rig.wire.network.queues.clear()
    rig.kvm(KvmMendLink())
    assert take(rig, to_host=True) is Resume
    assert take(rig, to_host=False, fate=Fate.DROP) is Welcome
    by_host(rig)
    assert take(rig, to_host=False) is Drain
    assert phases(rig)[1] is (SessionPhase.DRAINING if asks else SessionPhase.LEAVING)
    for _ in range(rounds):
        rig.wire.network.queues.clear()
        rig.kvm(FireKvmTimer(RESEND))
        assert [message.kind for message in rig.wire.network.waiting(KVM, True)] == ["Resume"]
    rig.settle()
    assert phases(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)
    assert (rig.sent(EventCreated), rig.core.endpoint.state.resuming) == (asks, False)


@either
@every
def test_a_link_that_is_lost_meanwhile_ends_it(design: Design, drain: Callable[[Rig], None]) -> None:
    rig = used(design)
    drain(rig)
    drained = phases(rig).index(SessionPhase.DRAINING)
    rig.wire.network.queues.clear()
    if drained:
        rig.kvm(KvmLoseLink())
    else:
        rig.wire.perf(LoseLink(KVM))
    assert phases(rig)[drained] is SessionPhase.ENDED
    with pytest.raises(RefusedError, match="the session is ended"):
        rig.kvm(KvmMendLink()) if drained else rig.wire.perf(DrainSession(KVM, "again"))
    assert [r.new for r in rig.records(SessionChange)] == ["draining", "lost", "ended"]
    gone = rig.vcpu().cpu if drained else len(rig.wire.host.perf.events)
    assert gone == (-1 if drained else 0)


@every
def test_kvm_greets_a_host_that_has_drained_under_a_new_epoch(design: Design) -> None:
    rig = used(design)
    by_host(rig)
    rig.settle()
    rig.kvm(KvmMendLink())
    said = [(m.kind, m.epoch) for m in rig.wire.network.queues[KVM, True]]
    assert said[-2:] == [("Hello", 2), ("RegisterVcpu", 2)]
    assert rig.core.endpoint.session.phase is SessionPhase.GREETING


COUNTER_STORY = parse(
    "LBR counts\nmachine { cpus = 1; lbr = skylake; }\nvm vm0 { lbr = on; }\nhost { run vm0/0 on cpu0; }\n"
    "vm0/0 { wrmsr PMC0, 0xfffffff0; wrmsr PERFEVTSEL0, USR | OS | INT | EN | 0xc4; branch 16; n3 = pmis; }\n",
    "counts",
)


def test_a_counter_that_cannot_be_resumed_while_the_session_drains_has_no_event_any_more() -> None:
    """It overflows, and is programmed again after KVM has taken the host's Drain."""
    first = run(Inputs(COUNTER_STORY, FENCED)).tape
    at = next(n for n, decision in enumerate(first) if "Overflow" in str(decision))
    tape = [*first[: at + 2], Shutdown("perfcore"), *map(parse_decision, ("take host>kvm0 8 Drain", "step vm0/0"))]
    done = run(Inputs(COUNTER_STORY, FENCED, Schedule(tape=Tape(tape), then_default=True))).finished()
    assert ("released", "ESHUTDOWN") in [(r.change, r.reason) for r in done.of(CounterEvent)]
    assert (done.broken(), done.verdict.unfinished) == ([], {})


@cases("away", ["", "host: run t0 on cpu0; "], ids=["on its CPU", "off its CPU"])
def test_a_thread_that_has_exited_does_not_step_before_kvm_has_loaded_the_next(away: str) -> None:
    """KVM stops. The host's thread has exited, and SchedOut is under way, when the host runs one of this name again."""
    steps = f"host: run vm0/0 on cpu0; vm0/0: branch 1; {away}host: run vm0/0 on cpu0; vm0/0: branch 1;"
    head = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
    story = parse(f"LBR back\n{head}\nhost, vm0/0 {{ {steps} }}\n", "back")
    first = run(Inputs(story, FENCED)).tape
    at = [n for n, decision in enumerate(first) if isinstance(decision, Step)][1 + bool(away)]
    stops = [Shutdown("kvm0"), parse_decision("take kvm0>host 5 Drain"), Step("host+vm0/0")]
    with pytest.raises(DivergedError, match=r"'step host.vm0/0' is not possible here"):
        run(Inputs(story, FENCED, Schedule(tape=Tape([*first[: at + 1], *stops, Step("host+vm0/0")]))))


def test_nor_where_kvm_takes_news_of_a_thread_that_has_exited_since() -> None:
    """SchedIn is about the thread that the host has ended."""
    steps = (
        "host: run vm0/0 on cpu1; vm0/0: branch 1; host: run vm0/0 on cpu0; host: run vm0/0 on cpu0; vm0/0: branch 1;"
    )
    story = parse(f"LBR late\nmachine {{ cpus = 2; }}\nvm vm0 {{ lbr = on; }}\nhost, vm0/0 {{ {steps} }}\n", "late")
    first = run(Inputs(story, FENCED)).tape
    at = [n for n, decision in enumerate(first) if isinstance(decision, Step)][2]
    words = ("take host>kvm0 5 SchedOut", "take kvm0>host 5 Drain", "step host+vm0/0", "take host>kvm0 6 SchedIn")
    tape = [*first[: at + 1], Shutdown("kvm0"), *map(parse_decision, words)]
    with pytest.raises(DivergedError, match=r"'step host.vm0/0' is not possible here"):
        run(Inputs(story, FENCED, Schedule(tape=Tape([*tape, Step("host+vm0/0")]))))


def test_a_kvm_that_stops_greets_no_more() -> None:
    rig = used(FENCED)
    by_kvm(rig)
    rig.settle()
    twin = rig.core.endpoint.state.clone()
    assert twin.key() == rig.core.endpoint.state.key()
    with pytest.raises(RefusedError, match="the session is ended"):
        rig.kvm(KvmMendLink())


def test_only_an_open_session_drains() -> None:
    rig = Rig(FENCED)
    rig.kvm(KvmLoseLink())
    with pytest.raises(RefusedError, match="the session is lost, not open"):
        by_kvm(rig)
    with pytest.raises(RefusedError, match="no session"):
        rig.wire.perf(DrainSession("kvm9", "stops"))
