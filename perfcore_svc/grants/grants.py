"""Giving grants, prolonging them and ending them, and the news of this for the KVMs."""

from __future__ import annotations

from contract.design import Notifier, Recovery
from contract.messages import AnyMessage, Available, EventState, Revoke
from contract.spec import LEASE_NS
from perfcore_svc.grants.revocations import Revocations
from perfcore_svc.grants.state import GrantState, HeldGrant
from perfcore_svc.perf.core import Perf
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.kernel import Doings
from perfcore_svc.perf.what_if import would_go_on

Notice = tuple[str, AnyMessage]
"""A session, and a message for its KVM."""


class Grants:
    """``state`` is all that is remembered. ``sessions``: vCPU to session, those that are registered."""

    __slots__ = ("design", "perf", "revocations", "sessions", "state")

    def __init__(self, perf: Perf, state: GrantState, sessions: dict[str, str]) -> None:
        self.perf = perf
        self.design = perf.design
        self.state = state
        self.sessions = sessions
        self.revocations = Revocations(perf, state)

    # One event ---------------------------------------------------------------------------------------------

    def is_current(self, event: int, number: int) -> bool:
        """Whether the event has this grant and may keep it. 0 names no grant."""
        grant = self.state.held.get(event)
        return number == 0 or (grant is not None and grant.number == number and not grant.revoked)

    def current(self, event: PerfEvent) -> tuple[int, int]:
        """Number and end of the lease of an event's current grant; 0 and 0 if it has none."""
        grant = self.state.held.get(event.id)
        return (0, 0) if grant is None or grant.revoked else (grant.number, grant.expires)

    def give(self, event: PerfEvent) -> bool:
        """A guest's event that is on gets a grant, unless it has one. Whether it got one."""
        if event.state != State.ACTIVE or event.id in self.state.held:
            return False
        self.state.newest += 1
        until = self.perf.kernel.now + LEASE_NS if self.revocations.needed else 0
        self.state.held[event.id] = HeldGrant(self.state.newest, self.sessions[event.guest], until)
        return True

    def _granted(self, event: PerfEvent) -> EventState:
        return EventState(event.id, event.state.name, event.oncpu, *self.current(event))

    def renew(self, session: str, number: int) -> AnyMessage | None:
        """The answer to a KVM that wants to prolong a grant; None if it has no such grant. A grant that is being ended
        is not prolonged: its Revoke is sent once more."""
        event, grant = self.state.numbered(number) or (0, None)
        if grant is None or grant.session != session or event not in self.perf.events:
            return None
        if grant.revoked:
            return Revoke(event, number, "said before")
        grant.expires = self.perf.kernel.now + LEASE_NS
        return self._granted(self.perf.events[event])

    def released(self, event: PerfEvent) -> None:
        """An event is gone, and its guest no longer uses the LBR. So no host task waits for it any more."""
        if (grant := self.state.held.get(event.id)) is not None:
            self.revocations.give_up(grant.session, grant.number)

    def _forget(self, event: int) -> None:
        """An event is gone, and its grant with it. A grant that is being ended stays until KVM has given it up."""
        self.state.lost.pop(event, None)
        if event in self.state.held and not self.state.held[event].revoked:
            del self.state.held[event]

    # Changes of the perf core -------------------------------------------------------------------------------

    def follow(self, done: Doings | None, besides: PerfEvent | None = None) -> list[Notice]:
        """Take over what the perf core did: give grants and end them. Return the news for KVMs, as far as the design
        tells them anything, without those of ``besides``."""
        if done is None:
            return self._revoked() if self.revocations.revokes or self.revocations.freed else []
        for event in done.closed:
            self._forget(event.id)
        self._note_losses(done)
        notices: list[Notice] = []
        for event, old_cpu in done.changes:
            session = self.sessions.get(event.guest)
            if session is None or event is besides or not self.design.grants:
                continue
            told = self._moved(event, old_cpu)
            if told is not None and self.design.notifier is not Notifier.NONE:
                notices.append((session, told))
        notices += self._revoked()
        if done.changes or done.closed:
            notices += self._available()
        return notices

    def _note_losses(self, done: Doings) -> None:
        for event, cpu in done.failed:
            if event.guest and event.state == State.ERROR:
                self.state.lost[event.id] = cpu
        for event, _ in done.changes:
            if event.state != State.ERROR:
                self.state.lost.pop(event.id, None)

    def _moved(self, event: PerfEvent, old_cpu: int) -> AnyMessage | None:
        """The message for KVM about an event that went on or off; None if only its thread was switched."""
        if event.state == State.ACTIVE:
            return self._granted(event) if self.give(event) else None
        if event.state == State.INACTIVE and self.perf.kernel.cpu_running(event.task) < 0:
            return None
        grant = self.state.held.get(event.id)
        if grant is None:
            return EventState(event.id, event.state.name, event.oncpu)
        if grant.revoked:
            return None
        where = old_cpu if old_cpu >= 0 else self.state.lost.get(event.id, -1)
        return self._end(event, f"the event is {event.state.name} on cpu{where}")

    def _end(self, event: PerfEvent, why: str) -> Revoke:
        return Revoke(event.id, self.state.held.pop(event.id).number, why)

    def _revoked(self) -> list[Notice]:
        """The news of grants that are being ended, and of events that keep the LBR after all."""
        revokes, freed = self.revocations.revokes, self.revocations.freed
        if not (revokes or freed):
            return []
        notices: list[Notice] = [*revokes]
        notices += [(self.sessions[event.guest], self._granted(event)) for event in freed if self.give(event)]
        revokes.clear()
        freed.clear()
        return notices

    def _available(self) -> list[Notice]:
        """The news that an event would be on where its thread runs now, or where it lost the LBR. It is told once for
        each loss."""
        if self.design.recovery is not Recovery.AVAILABLE:
            return []
        notices: list[Notice] = []
        for event in [self.perf.events[number] for number in sorted(self.state.lost)]:
            session, cpu = self.sessions.get(event.guest), self.perf.kernel.cpu_running(event.task)
            if cpu < 0:
                cpu = self.state.lost[event.id]
            if session is not None and would_go_on(self.perf.kernel, event, cpu):
                notices.append((session, Available(event.id, cpu)))
                del self.state.lost[event.id]
        return notices

    def switched_in(self, task: str, cpu: int) -> list[Notice]:
        """A task is on a CPU. A grant outlives the switches of its thread, unless somebody else has the LBR when the
        thread comes back, or when the vCPU does and its event is another thread's."""
        notices: list[Notice] = []
        for event in self.perf.events.values():
            concerned = event.guest and task in (event.task, event.guest)
            if concerned and event.state == State.INACTIVE and self.current(event)[0]:
                revoke = self._end(event, f"the LBR of cpu{cpu} is not free")
                if self.design.notifier is not Notifier.NONE:
                    notices.append((self.sessions[event.guest], revoke))
        return notices + self._available()
