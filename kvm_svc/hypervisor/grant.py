"""The guest's grant in KVM's view: its number, its lease, and the check for outdated news of it (R6).

News may come late and in any order. Grant numbers only grow, so KVM remembers the newest number that it has heard of,
and ignores news of an older one. A grant that KVM prolongs in time continues. Otherwise it is over at the end of its
lease, even if the host has said nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import At, Event, Grant
from contract.spec import LEASE_NS

RENEW_LIMIT = 16 * LEASE_NS
"""The longest time after which KVM tries again, in nanoseconds."""


@dataclass(slots=True)
class KnownGrant:
    number: int = 0
    """The current grant: ``newest``, or 0 where that one is over."""
    newest: int = 0
    """The highest number heard of in this epoch; 0: none yet. It never falls."""
    expires: int = 0
    """The nanosecond at which the lease of the current grant ends; 0: it has no end."""
    renew_at: int = 0
    """The nanosecond at which to prolong it; 0: never."""

    def clone(self) -> KnownGrant:
        return KnownGrant(self.number, self.newest, self.expires, self.renew_at)

    def key(self) -> tuple[Hashable, ...]:
        return Grant(self.number), Grant(self.newest), At(self.expires), At(self.renew_at)

    def is_old(self, number: int) -> bool:
        """Whether a grant is older than the newest, or is the newest and over. News of it is then ignored."""
        return number < self.newest or (number == self.newest and self.number != number)

    def hold(self, number: int, until: int) -> bool:
        """The host grants the LBR, or prolongs the lease. True if the grant is new."""
        is_new = number > self.newest
        if is_new:
            self.number = self.newest = number
            self.expires = self.renew_at = 0
        if number == self.number and until > self.expires:
            self.expires, self.renew_at = until, until - LEASE_NS // 2
        return is_new

    def revoke(self, number: int) -> bool:
        """The host ends a grant. False if it is older than the newest: such a Revoke is ignored. A Revoke that overtook
        the news of its grant ends that grant in advance."""
        if number < self.newest:
            return False
        self.newest = number
        return True

    def end(self) -> bool:
        """The current grant is over. Whether there was one."""
        had = self.number != 0
        self.number = self.expires = self.renew_at = 0
        return had

    def is_over(self, now: int) -> bool:
        """Whether the lease of the current grant has run out."""
        return 0 < self.expires <= now

    def renew(self, now: int) -> int:
        """The number of the grant that is to be prolonged now, 0 for none. KVM tries again if it gets no answer; when
        the lease is over, ever more rarely, or a link that is held for seconds fills the inbox of the host."""
        if not 0 < self.renew_at <= now:
            return 0
        self.renew_at = now + min(max(LEASE_NS // 4, now - self.expires), RENEW_LIMIT)
        return self.number


@dataclass(slots=True)
class EarlyRevokes:
    """Revokes that overtook the news of their event."""

    grants: dict[int, int] = field(default_factory=dict)
    """Event to the newest grant of it that was revoked."""

    def clone(self) -> EarlyRevokes:
        return EarlyRevokes(self.grants.copy())

    def key(self) -> Hashable:
        return frozenset([(Event(event), Grant(grant)) for event, grant in self.grants.items()])

    def keep(self, event: int, number: int) -> None:
        self.grants[event] = max(number, self.grants.get(event, 0))

    def end(self, event: int, number: int) -> bool:
        """Whether the grant that the news of an event names was revoked before. That is asked once."""
        return 0 < number <= self.grants.pop(event, 0)
