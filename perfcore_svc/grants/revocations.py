"""Taking the LBR back from guests if the host waits for KVM's acknowledgement (notifier = acknowledged).

Theory of operation. A host event that would push a guest's event off is opened or enabled in two steps. First the
guest's grant is revoked and the event stays OFF, its opener asleep. When KVM has acknowledged the end of the grant, the
event is enabled, and perf's order decides. If that would push off another guest's event that went on meanwhile, the
host waits for that one as well. KVM may not answer. But a grant has a lease, and KVM stops its use when the lease runs
out, so the host waits at most until then.
"""

from __future__ import annotations

from contract.design import Notifier
from contract.messages import Revoke
from contract.trace import HostWait, HostWake, Timer
from perfcore_svc.grants.state import GrantState, HeldGrant, Wait
from perfcore_svc.perf import sched, what_if
from perfcore_svc.perf.core import Perf
from perfcore_svc.perf.event import PerfEvent

LEASE_TIMER = "lease"


class Revocations:
    """``waits``, ``held`` and ``due`` are parts of the state. Of the step under way, what is to be told: ``revokes``
    with the session of each, and ``freed``, events whose grant was ended and that may have another one now."""

    __slots__ = ("due", "effects", "freed", "held", "perf", "revokes", "state", "waits")

    def __init__(self, perf: Perf, state: GrantState) -> None:
        self.perf = perf
        self.effects = perf.effects
        self.state = state
        self.waits, self.held, self.due = state.waits, state.held, state.due
        self.revokes: list[tuple[str, Revoke]] = []
        self.freed: list[PerfEvent] = []

    @property
    def needed(self) -> bool:
        """Whether host events wait until guests have given the LBR up."""
        return self.perf.design.notifier is Notifier.ACKNOWLEDGED

    def unmoved(self) -> list[PerfEvent]:
        """Guests' events that no host event may push off before their grants have ended."""
        return [event for event in self.perf.events.values() if event.id in self.held] if self.needed else []

    def losers(self, events: list[PerfEvent]) -> list[PerfEvent]:
        """The guests' events that go off if these host events are enabled now."""
        return what_if.put_off(self.perf.kernel, self.unmoved(), events, sched.enable)

    def begin(self, events: list[PerfEvent], losing: list[PerfEvent]) -> None:
        """``events`` wait until the grants of ``losing`` have ended."""
        wait = self.waits[events[0].name] = Wait([event.id for event in events])
        self._wait_for(events[0].name, wait, losing)

    def _wait_for(self, name: str, wait: Wait, losing: list[PerfEvent]) -> None:
        for loser in losing:
            grant = self.held[loser.id]
            if not grant.revoked:
                grant.revoked = True
                why = f"{name} waits for the LBR of cpu{loser.oncpu}"
                self.revokes.append((grant.session, Revoke(loser.id, grant.number, why)))
            wait.losers.append(loser.id)
        awaited = [grant.number for grant in self.state.awaited(wait)]
        self.effects.add(HostWait(name, awaited))
        self._arm()
        if not awaited:
            self._go_on(name, wait, "acknowledged before")

    def give_up(self, session: str, number: int, why: str = "acknowledged") -> None:
        """This session's grant has ended: KVM says so, its event is gone, or the lease is over."""
        found = self.state.numbered(number)
        if found is None or not _awaited_from(session, found[1]):
            return
        event, grant = found
        grant.given_up = True
        for name, wait in list(self.waits.items()):
            if event in wait.losers and not any(self.state.awaited(wait)):
                self._go_on(name, wait, why)
        self._arm()

    def lease_over(self, session: str) -> None:
        now = self.effects.clock.now
        over = [g.number for g in self.held.values() if _awaited_from(session, g) and g.expires <= now]
        for number in sorted(over):
            self.give_up(session, number, "the lease is over")

    def closed(self, event: PerfEvent) -> None:
        """Nobody waits for this one any more."""
        for name, wait in list(self.waits.items()):
            if event.id in wait.events:
                wait.events.remove(event.id)
                if not wait.events:
                    self._end(name, wait, "closed")
        self._arm()

    def _go_on(self, name: str, wait: Wait, why: str) -> None:
        events = [self.perf.events[event] for event in wait.events]
        losing = [loser for loser in self.losers(events) if loser.id not in wait.losers]
        if losing:
            self._wait_for(name, wait, losing)
            return
        self._end(name, wait, why)
        for event in events:
            sched.enable(self.perf.kernel, event)

    def _end(self, name: str, wait: Wait, why: str) -> None:
        del self.waits[name]
        for loser in wait.losers:
            if not any(loser in other.losers for other in self.waits.values()):
                del self.held[loser]
                if loser in self.perf.events:
                    self.freed.append(self.perf.events[loser])
        self.effects.add(HostWake(name, why))

    def _arm(self) -> None:
        due: dict[str, int] = {}
        for wait in self.waits.values():
            for grant in self.state.awaited(wait):
                due[grant.session] = min(grant.expires, due.get(grant.session, grant.expires))
        for session in [*due, *(old for old in self.due if old not in due)]:
            at = due.get(session, -1)
            if at != self.due.get(session):
                self.due[session] = at
                self.effects.add(Timer(session, False, LEASE_TIMER, at, awaited=True))


def _awaited_from(session: str, grant: HeldGrant) -> bool:
    """Whether somebody waits until this session has given the grant up."""
    return grant.session == session and grant.revoked and not grant.given_up
