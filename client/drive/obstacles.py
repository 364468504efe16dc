"""Why a thread of a scenario cannot step now: it waits for a message, a mutex, a service, or another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.drive.commands import needs_its_thread
from client.drive.state import Thread
from client.litmus.ast import (
    AdvanceTime,
    AnyStmt,
    AnyUser,
    EventOp,
    GuestStmt,
    LitmusStep,
    MsrIoctl,
    OpenEvent,
    UserMigrate,
    UserReset,
    UserSetCpuid,
    UserStmt,
)
from client.schedule.flight import IOCTL

if TYPE_CHECKING:
    from client.drive.play import Player


class Obstacles:
    """The part of a player that looks at its threads."""

    __slots__ = ("flight", "places", "player", "threads")

    def __init__(self, player: Player) -> None:
        self.player = player
        self.flight, self.places, self.threads = player.flight, player.places, player.threads

    def of(self, name: str) -> str:
        """Why a thread cannot step now; "" if it can."""
        thread = self.threads[name]
        step = thread.program.current
        if step is None:
            return "finished"
        flight, stmt = self.flight, step.stmt
        outages = flight.outages
        if outages.stalled and (why := self._stalled(step)):
            return why
        if isinstance(stmt, GuestStmt):
            return flight.blocked(step.actor)
        if outages.down or outages.adrift or outages.ended:
            if why := self.player.lives.obstacle(thread):
                return why
            if isinstance(stmt, UserStmt) and stmt.vcpu in outages.ended:
                return ""  # The ioctl fails.
        if isinstance(stmt, UserStmt):
            return self._of_user(thread, step.actor, stmt)
        return self._asleep(step) if thread.running else ""

    def _asleep(self, step: LitmusStep) -> str:
        """A call of the host about an event, which has begun, sleeps until guests have given up the LBR."""
        stmt = step.stmt
        if not isinstance(stmt, (OpenEvent, EventOp)):
            return ""
        event = stmt.register if isinstance(stmt, OpenEvent) else stmt.event
        return f"{event} waits for Ack" if self.player.names.of(step.actor, event) in self.flight.sleeping else ""

    def _of_user(self, thread: Thread, actor: str, stmt: AnyUser) -> str:
        if isinstance(stmt, UserSetCpuid):
            return self._vm_busy(stmt) or self._vm_waits(stmt)
        if isinstance(stmt, MsrIoctl):
            if thread.running and (why := self._vm_waits(stmt)):
                return why
            by_its_thread = thread.running or needs_its_thread(stmt, self.player.execution(actor))
        else:
            by_its_thread = isinstance(stmt, (UserMigrate, UserReset))
        return self._of_ioctl(thread, stmt) if by_its_thread else ""

    def _stalled(self, step: LitmusStep) -> str:
        """The service that a statement needs, and that is stalled. A vCPU needs its KVM and the silicon, a statement of
        the host all hosts. Time goes on by itself."""
        if isinstance(step.stmt, AdvanceTime):
            return ""
        kvms = [self.places[step.actor]] if isinstance(step.stmt, GuestStmt) else []
        if isinstance(step.stmt, UserStmt):
            kvms = [self.places[step.stmt.vcpu]]
            kvms += [step.stmt.kvm] if isinstance(step.stmt, UserMigrate) else []
        outages = self.flight.outages
        hosts = [outages.service(kvm, host=True) for kvm in kvms] or outages.hosts
        return next((f"{service} is stalled" for service in (*hosts, *kvms) if service in outages.stalled), "")

    def _vm_busy(self, stmt: UserSetCpuid) -> str:
        """An ioctl that changes a whole VM waits for the statements of its vCPUs that are under way."""
        busy = (vcpu_of(other) for other in self.threads.values() if other.running)
        return next((f"{vcpu} is busy" for vcpu in busy if _vm_of(vcpu) == _vm_of(stmt.vcpu)), "")

    def _vm_waits(self, stmt: AnyUser) -> str:
        """The message that a vCPU of the VM waits for, other than the end of an ioctl."""
        waiting = ((vcpu, why) for vcpu, why in self.flight.waiting.items() if why != IOCTL)
        return next((f"{vcpu} waits for {why}" for vcpu, why in waiting if _vm_of(vcpu) == _vm_of(stmt.vcpu)), "")

    def _of_ioctl(self, thread: Thread, stmt: AnyStmt) -> str:
        """``vcpu->mutex``: an ioctl waits for the guest's statement under way, and for an earlier ioctl. One that has
        begun has the mutex."""
        assert isinstance(stmt, UserStmt)
        if not thread.running and any(t.running and vcpu_of(t) == stmt.vcpu for t in self.threads.values()):
            return f"{stmt.vcpu} is busy"
        by = stmt.thread if isinstance(stmt, MsrIoctl) else ""
        if by in ("", stmt.vcpu):
            return self.flight.blocked(stmt.vcpu, by_ioctl=thread.running)
        if self.flight.waiting.get(stmt.vcpu) == "EventCreated":
            return "waits for EventCreated"
        at = self.flight.places.get(stmt.vcpu, 0), by
        return "" if at in self.flight.running else f"{by} is on no CPU"


def _vm_of(vcpu: str) -> str:
    return vcpu.split("/")[0]


def vcpu_of(thread: Thread) -> str:
    """The vCPU that the statement under way keeps busy."""
    step = thread.current
    return "" if step is None else getattr(step.stmt, "vcpu", step.actor)
