"""All orders of what can happen to one session, up to a number of steps, on two real cores.

From each state the session comes to rest: both ends are open in one epoch, or both have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from client.drive.sim import SimWire
from contract.control import (
    DrainSession,
    EndSession,
    FireHostTimer,
    FireKvmTimer,
    KvmDrain,
    KvmLoseLink,
    KvmMendLink,
    LoseLink,
    RunTask,
    StepVcpu,
)
from contract.design import Design
from contract.machine import Wrmsr
from contract.network import Fate
from contract.session import RESEND, Session, SessionPhase
from contract.session.outgoing import UNSENT
from contract.x86 import IA32_DEBUGCTL
from tests.cases import cases
from tests.client.drive.fork import fork, give, key
from tests.designs import FENCED, REVOKE_ACK, REVOKE_GP
from tests.kvm_svc.rig import KVM, VCPU, Rig

Act = Callable[[SimWire], object]
ROUNDS = 40
"""Rounds of deliveries and timers after which a session is at rest."""


def ends(wire: SimWire) -> tuple[Session, Session]:
    """The host's, and KVM's."""
    return wire.host.endpoint.session(KVM), wire.kvms[KVM].endpoint.session


# Events -----------------------------------------------------------------------------------------


def lose(wire: SimWire) -> None:
    for to_host in (True, False):
        wire.network.cut(KVM, to_host)
    wire.perf(LoseLink(KVM))
    wire.kvm(KVM, KvmLoseLink())


def mend(wire: SimWire) -> None:
    wire.kvm(KVM, KvmMendLink())


def kvm_stops(wire: SimWire) -> None:
    wire.kvm(KVM, KvmDrain("stops"))


def host_stops(wire: SimWire) -> None:
    wire.perf(DrainSession(KVM, "stops"))


def guest(wire: SimWire) -> None:
    """The guest turns its LBR on, so that KVM asks for an event."""
    under_way = wire.kvms[KVM].hv.vcpus[VCPU].ops
    wire.kvm(KVM, StepVcpu(VCPU, [] if under_way else [Wrmsr(IA32_DEBUGCTL, 1)]))


def switch(wire: SimWire) -> None:
    wire.perf(RunTask("t0" if wire.host.machine.cpus[0].task == VCPU else VCPU, 0))


def meets(fate: Fate, to_host: bool, at: int = 0) -> Act:
    def act(wire: SimWire) -> None:
        message = wire.network.waiting(KVM, to_host)[at]
        wire.decide(message.receiver, fate, KVM, message.seq)

    return act


def host_timer(wire: SimWire) -> None:
    wire.perf(FireHostTimer(KVM, RESEND))


def kvm_timer(wire: SimWire) -> None:
    wire.kvm(KVM, FireKvmTimer(RESEND))


def timers(wire: SimWire) -> Iterator[tuple[str, Act]]:
    host, kvm = ends(wire)
    if host.outgoing.due >= 0:
        yield "host's timer", host_timer
    if kvm.outgoing.due >= 0:
        yield "KVM's timer", kvm_timer


def acts(wire: SimWire) -> Iterator[tuple[str, Act]]:
    for to_host in (True, False):
        waiting = wire.network.waiting(KVM, to_host)
        for fate in (Fate.TAKE, Fate.DROP, Fate.DUPLICATE):
            if waiting:
                yield f"{fate} {waiting[0].kind}", meets(fate, to_host)
        if len(waiting) > 1:
            yield f"overtake {waiting[1].kind}", meets(Fate.OVERTAKE, to_host, 1)
    yield from timers(wire)
    for act in (lose, mend, kvm_stops, host_stops, guest, switch):
        yield act.__name__, act


# All orders ----------------------------------------------------------------------------------------------

Way = tuple[str, ...]


def explore(begin: SimWire, steps: int) -> Iterator[tuple[SimWire, Way]]:
    """Each state that can be reached in so many steps, with a shortest way to it."""
    known, edge = {key(begin)}, [(begin, Way())]
    for _ in range(steps):
        beyond: list[tuple[SimWire, Way]] = []
        for wire, way in edge:
            for name, act in acts(wire):
                twin, onward = fork(wire), (*way, name)
                try:
                    give(twin, act)
                except Exception as error:
                    raise AssertionError(f"{type(error).__name__}: {error}, after {', '.join(onward)}") from error
                if (state := key(twin)) not in known:
                    known.add(state)
                    beyond.append((twin, onward))
                    yield twin, onward
        edge = beyond


def settle(wire: SimWire) -> None:
    """Mend the link, take every message and let every timer run out, until nothing more comes. The process of a KVM
    that stops ends."""
    kvm = wire.kvms[KVM].endpoint
    for _ in range(ROUNDS):
        if kvm.session.phase in (SessionPhase.LOST, SessionPhase.ENDED):
            give(wire, mend)
        while heads := wire.network.heads():
            for head in heads:
                wire.decide(head.receiver, Fate.TAKE, KVM, head.seq)
        if not (due := list(timers(wire))):
            break
        for _, act in due:
            give(wire, act)
    if kvm.state.stopping and kvm.session.phase is SessionPhase.ENDED:
        wire.perf(EndSession(KVM))


def unsettled(wire: SimWire) -> str:
    """Why a session is not at rest; "" if it is."""
    host, kvm = ends(wire)
    if (host.phase, kvm.phase) not in [(phase, phase) for phase in (SessionPhase.OPEN, SessionPhase.ENDED)]:
        return f"the host's end is {host.phase}, KVM's is {kvm.phase}"
    if host.epoch != kvm.epoch:
        return f"the host is in epoch {host.epoch}, KVM in {kvm.epoch}"
    if any(end.outgoing.unacknowledged or end.outgoing.waiting or end.outgoing.due >= 0 for end in (host, kvm)):
        return "messages wait"
    return "KVM resumes" if wire.kvms[KVM].endpoint.state.resuming else ""


def begun(design: Design, *acts: Act, unsent: int = UNSENT) -> SimWire:
    """The session is open, and the guest's thread is on its CPU; then these acts. ``unsent``: messages that may wait
    (R26)."""
    wire = Rig(design).wire
    wire.host.endpoint.unsent = unsent
    for end in ends(wire):
        end.outgoing.most = unsent
    for act in acts:
        act(wire)
    return wire


@cases(
    ("acts", "unsent", "least"),
    [((), UNSENT, 800), ((lose, mend), UNSENT, 250), ((lose,), 0, 120)],
    ids=["open", "resuming", "nothing may wait"],
)
def test_a_session_comes_to_rest_whatever_happens_to_it(acts: tuple[Act, ...], unsent: int, least: int) -> None:
    states = 0
    for wire, way in explore(begun(FENCED, *acts, unsent=unsent), 4):
        states += 1
        settle(wire := fork(wire))
        assert not unsettled(wire), f"{unsettled(wire)}, after {', '.join(way)}"
    assert states > least


@cases("design", [REVOKE_GP, REVOKE_ACK], ids=lambda design: design.name)
def test_a_stream_that_nobody_repairs_breaks_no_end(design: Design) -> None:
    assert sum(1 for _ in explore(begun(design), 3)) > 100
