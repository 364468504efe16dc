"""Taking the LBR back from guests where the host waits for KVM to say that it is done (notifier = acknowledged).

Theory of operation. A host event that would push a guest's event off is opened or enabled in two steps. First the
guest's grant is revoked and the event stays OFF, its opener asleep. When KVM has acknowledged the end of the grant the
event is enabled, and perf's order does the rest; unless that would push off yet another guest's event, which came on
meanwhile and is waited for as well. KVM may be deaf: but a grant is a lease, KVM stops by itself when it runs out, so
the host waits no longer than that.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import At, EventName, Grant
from contract.messages import Revoke
from contract.trace import HostWait, HostWake, Timer
from perfcore_svc.perf import sched
from perfcore_svc.perf.context import ids
from perfcore_svc.perf.core import Perf
from perfcore_svc.perf.event import PerfEvent, State

LEASE = "lease"


@dataclass(slots=True)
class Wait:
    """``events`` are to be enabled once the grants of ``losing`` have ended. ``grants``: those that have not, with the
    session of the KVM that has each, and the nanosecond at which its lease is over."""

    events: list[PerfEvent]
    losing: list[PerfEvent] = field(default_factory=list)
    grants: dict[int, tuple[str, int]] = field(default_factory=dict)

    def clone(self, events: dict[int, PerfEvent]) -> Wait:
        """With the copies of events by id."""
        waiting, losing = [[events[event.id] for event in each] for each in (self.events, self.losing)]
        return Wait(waiting, losing, self.grants.copy())

    def key(self) -> tuple[Hashable, ...]:
        grants = tuple([(Grant(grant), session, At(until)) for grant, (session, until) in self.grants.items()])
        return ids(self.events), ids(self.losing), grants


@dataclass(slots=True)
class Waits:
    """``waits`` by name of the event that was opened or enabled. ``ended``: grants that KVM has given up, of events
    that are still waited for. ``due``: when the lease timer of a session runs out, nanoseconds; -1: it does not run."""

    waits: dict[str, Wait] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    due: dict[str, int] = field(default_factory=dict)

    def clone(self, events: dict[int, PerfEvent]) -> Waits:
        waits = {name: wait.clone(events) for name, wait in self.waits.items()}
        return Waits(waits, self.ended.copy(), self.due.copy())

    def key(self) -> tuple[Hashable, ...]:
        waits = tuple([(EventName(name), wait.key()) for name, wait in self.waits.items()])
        due = tuple([(session, At(at)) for session, at in self.due.items() if at >= 0])
        return waits, frozenset([Grant(grant) for grant in self.ended]), due


class Revocations:
    """``state`` is all that is remembered, of which ``waits``, ``ended`` and ``due`` are parts. ``sessions``: vCPU to
    session. Of the step under way, what is to be told: ``revokes`` with the session of each, and ``let_go``, events
    whose grant was ended and that may have another one now."""

    __slots__ = ("due", "effects", "ended", "let_go", "perf", "revokes", "sessions", "state", "waits")

    def __init__(self, perf: Perf, sessions: dict[str, str], state: Waits) -> None:
        self.perf = perf
        self.effects = perf.effects
        self.sessions = sessions
        self.state = state
        self.waits, self.ended, self.due = state.waits, state.ended, state.due
        self.revokes: list[tuple[str, Revoke]] = []
        self.let_go: list[PerfEvent] = []

    def begin(self, events: list[PerfEvent], losing: list[PerfEvent]) -> None:
        wait = self.waits[events[0].name] = Wait(events)
        self._wait_for(events[0].name, wait, losing)

    def _wait_for(self, name: str, wait: Wait, losing: list[PerfEvent]) -> None:
        for loser in losing:
            session = self.sessions[loser.guest]
            if not loser.ending:
                loser.ending, loser.grant = loser.grant, 0
                self.revokes.append(
                    (session, Revoke(loser.id, loser.ending, f"{name} waits for the LBR of cpu{loser.oncpu}"))
                )
            if loser.ending not in self.ended:
                wait.grants[loser.ending] = (session, loser.until)
        wait.losing += losing
        self.effects.add(HostWait(name, list(wait.grants)))
        self._arm()
        if not wait.grants:
            self._go_on(name, wait, "acknowledged before")

    def give_up(self, session: str, grant: int, why: str = "acknowledged") -> None:
        """This session's grant has ended: KVM says so, its event has gone, or the lease is over."""
        for name, wait in list(self.waits.items()):
            if wait.grants.get(grant, ("", 0))[0] == session:
                self.ended.add(grant)
                del wait.grants[grant]
                if not wait.grants:
                    self._go_on(name, wait, why)
        self._arm()

    def lease_over(self, session: str) -> None:
        over = {
            grant
            for wait in self.waits.values()
            for grant, (of, until) in wait.grants.items()
            if of == session and until <= self.effects.clock.now
        }
        for grant in sorted(over):
            self.give_up(session, grant, "the lease is over")

    def closed(self, event: PerfEvent) -> None:
        """Nobody waits for this one any more."""
        for name, wait in list(self.waits.items()):
            if event in wait.events:
                wait.events.remove(event)
                if not wait.events:
                    self._end(name, wait, "closed")
        self._arm()

    def _go_on(self, name: str, wait: Wait, why: str) -> None:
        losing = [loser for loser in self.perf.losers(wait.events) if loser not in wait.losing]
        if losing:
            self._wait_for(name, wait, losing)
            return
        self._end(name, wait, why)
        for event in wait.events:
            sched.enable(self.perf.kernel, event)

    def _end(self, name: str, wait: Wait, why: str) -> None:
        del self.waits[name]
        for loser in wait.losing:
            if not any(loser in other.losing for other in self.waits.values()):
                self.ended.discard(loser.ending)
                loser.ending = 0
                if loser.state != State.EXIT:
                    self.let_go.append(loser)
        self.effects.add(HostWake(name, why))

    def _arm(self) -> None:
        due: dict[str, int] = {}
        for wait in self.waits.values():
            for session, until in wait.grants.values():
                due[session] = min(until, due.get(session, until))
        for session in [*due, *(old for old in self.due if old not in due)]:
            at = due.get(session, -1)
            if at != self.due.get(session):
                self.due[session] = at
                self.effects.add(Timer(session, False, LEASE, at, awaited=True))
