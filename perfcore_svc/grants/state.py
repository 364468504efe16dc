"""The host's state of grants. Events are named by id, so that a copy needs no event."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from contract.canonical import At, Event, EventName, Grant


@dataclass(slots=True)
class HeldGrant:
    """A grant that has not ended, or whose end others still wait for."""

    number: int
    """Its number on this host, from 1."""
    session: str
    """The name of the KVM that has it."""
    expires: int
    """The nanosecond at which its lease ends; 0: it has no end."""
    revoked: bool = False
    """The host has revoked it and waits for KVM: it is not current any more."""
    given_up: bool = False
    """KVM has given it up, or its lease is over; others are still waited for."""

    def clone(self) -> HeldGrant:
        return HeldGrant(self.number, self.session, self.expires, self.revoked, self.given_up)

    def key(self) -> tuple[Hashable, ...]:
        return Grant(self.number), self.session, At(self.expires), self.revoked, self.given_up


@dataclass(slots=True)
class Wait:
    """Host events that wait until guests have given the LBR up."""

    events: list[int]
    """Events to be enabled then."""
    losers: list[int] = field(default_factory=list)
    """Guests' events whose grants have to end first. Each is in ``GrantState.held``."""

    def clone(self) -> Wait:
        return Wait(self.events[:], self.losers[:])

    def key(self) -> tuple[Hashable, ...]:
        return tuple(map(Event, self.events)), tuple(map(Event, self.losers))


@dataclass(slots=True)
class GrantState:
    newest: int = 0
    """The number of the newest grant, 0: none yet. It never falls."""
    held: dict[int, HeldGrant] = field(default_factory=dict)
    """Guest's event to the grant that it has. A grant that has ended is not here."""
    lost: dict[int, int] = field(default_factory=dict)
    """Guest's event in ERROR to the CPU on which it lost the LBR, until KVM is told that it could have it again."""
    waits: dict[str, Wait] = field(default_factory=dict)
    """By name of the event that was opened or enabled."""
    due: dict[str, int] = field(default_factory=dict)
    """When the lease timer of a session runs out, nanoseconds; -1: it does not run."""

    def clone(self) -> GrantState:
        held = {event: grant.clone() for event, grant in self.held.items()}
        waits = {name: wait.clone() for name, wait in self.waits.items()}
        return GrantState(self.newest, held, self.lost.copy(), waits, self.due.copy())

    def key(self) -> tuple[Hashable, ...]:
        """Without the newest number: the next is above all others."""
        return (
            tuple([(Event(event), grant.key()) for event, grant in sorted(self.held.items())]),
            tuple([(Event(event), cpu) for event, cpu in sorted(self.lost.items())]),
            tuple([(EventName(name), wait.key()) for name, wait in self.waits.items()]),
            tuple([(session, At(at)) for session, at in self.due.items() if at >= 0]),
        )

    def numbered(self, number: int) -> tuple[int, HeldGrant] | None:
        """The grant of this number, with its event."""
        return next(((event, grant) for event, grant in self.held.items() if grant.number == number), None)

    def awaited(self, wait: Wait) -> Iterator[HeldGrant]:
        """The grants that have yet to end for a wait, in the order in which they were revoked."""
        for event in wait.losers:
            grant = self.held[event]
            if not grant.given_up:
                yield grant
