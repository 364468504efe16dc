"""The clock by which a KVM judges leases. It may run at another rate than the host's clock, which is virtual time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from contract.canonical import At
from contract.spec import NORMAL_RATE


@dataclass(slots=True)
class OwnClock:
    rate: int = NORMAL_RATE
    """Its rate in millionths of virtual time."""
    rate_set_at: int = 0
    """The virtual nanosecond from which it has this rate."""
    shown: int = 0
    """The time that it showed then, nanoseconds."""

    def clone(self) -> OwnClock:
        return OwnClock(self.rate, self.rate_set_at, self.shown)

    def key(self) -> tuple[Hashable, ...]:
        if self.rate == NORMAL_RATE:
            return self.rate, self.shown - self.rate_set_at
        return self.rate, At(self.rate_set_at), At(self.shown)

    def at(self, now: int) -> int:
        """The time that it shows at the virtual nanosecond ``now``."""
        return self.shown + (now - self.rate_set_at) * self.rate // NORMAL_RATE

    def when(self, shown: int) -> int:
        """The first virtual nanosecond at which it shows ``shown`` or more."""
        return self.rate_set_at + -(-(shown - self.shown) * NORMAL_RATE // self.rate)

    def set(self, rate: int, now: int) -> None:
        """It goes on with another rate."""
        self.shown, self.rate_set_at, self.rate = self.at(now), now, rate
