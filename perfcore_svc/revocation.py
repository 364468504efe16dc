"""Taking the LBR back from guests where the host waits for KVM to say that it is done (notifier = acknowledged).

Theory of operation. A host event that would push a guest's event off is opened or enabled in two steps. First the
guest's grant is revoked and the event stays OFF, its opener asleep. When KVM has acknowledged the end of the grant the
event is enabled, and perf's order does the rest; unless that would push off yet another guest's event, which came on
meanwhile and is waited for as well. KVM may be deaf: but a grant is a lease, KVM stops by itself when it runs out, so
the host waits no longer than that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.messages import Revoke
from contract.trace import HostWait, HostWake, Timer, TraceLog
from perfcore_svc.perf import sched
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


@dataclass(slots=True)
class Revocations:
    """``sessions``: vCPU to session. ``waits`` by name of the event that was opened or enabled. ``ended``: grants that
    KVM has given up, of events that are still waited for. ``due``: of each session's lease timer, as it was last put
    on record. What is to be told piles up: ``revokes`` with the session of each, and ``let_go``, events whose grant was
    ended and that may have another one now."""

    perf: Perf
    log: TraceLog
    sessions: dict[str, str]
    waits: dict[str, Wait] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    due: dict[str, int] = field(default_factory=dict)
    revokes: list[tuple[str, Revoke]] = field(default_factory=list)
    let_go: list[PerfEvent] = field(default_factory=list)

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
        self.log.add(HostWait(name, list(wait.grants)))
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
            if of == session and until <= self.log.now
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
            sched.enable(self.perf.state, event)

    def _end(self, name: str, wait: Wait, why: str) -> None:
        del self.waits[name]
        for loser in wait.losing:
            if not any(loser in other.losing for other in self.waits.values()):
                self.ended.discard(loser.ending)
                loser.ending = 0
                if loser.state != State.EXIT:
                    self.let_go.append(loser)
        self.log.add(HostWake(name, why))

    def _arm(self) -> None:
        due: dict[str, int] = {}
        for wait in self.waits.values():
            for session, until in wait.grants.values():
                due[session] = min(until, due.get(session, until))
        for session in [*due, *(old for old in self.due if old not in due)]:
            at = due.get(session, -1)
            if at != self.due.get(session):
                self.due[session] = at
                self.log.add(Timer(session, False, LEASE, at, awaited=True))
