"""One direction of a session, as a trace shows it: how far its sender and its receiver are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import Message, Missing, Place
from contract.messages import Drain, Drained

REMEMBERED = 1024
"""An end remembers this many missing messages, where the stream is not repaired (R3)."""


@dataclass(slots=True)
class TracedWay:
    session: str
    """The session."""
    to_host: bool
    """Whether messages travel from KVM to the host."""
    epoch: int = 0
    """Epoch of the last message that was sent; 0: none was."""
    n: int = 0
    """Number of the last message."""
    newest: int = 0
    """Place of the newest message that has one."""
    acknowledged: int = 0
    """The sender knows that all places up to this one were taken."""
    again: int = 0
    """Place that was last sent once more, while the acknowledged place is the same."""
    unanswered: bool = False
    """The sender takes the other end for silent, and has had no answer since."""
    silent: bool = False
    """The sender's session is lost, refused or over."""
    closing: type[Drain | Drained] | None = None
    """The sender has said Drain, or Drained."""
    accepted: int = 0
    """Epoch whose messages the receiver takes; 0: none."""
    taken: int = 0
    """Place up to which the receiver has taken all."""
    highest: int = 0
    """The highest number that was taken, where the stream is not repaired."""
    missing: set[int] = field(default_factory=set)
    """Lower numbers that were not taken."""

    def begin_sending(self, epoch: int) -> None:
        """A new epoch, or no sender (0)."""
        self.epoch = epoch
        self.n = self.newest = self.acknowledged = self.again = 0
        self.unanswered = self.silent = False
        self.closing = None

    def begin_taking(self, epoch: int) -> None:
        """A new epoch, or no receiver (0)."""
        self.accepted = epoch
        self.taken = self.highest = 0
        self.missing = set()

    def acknowledge(self, upto: int) -> None:
        """The sender has learnt that all places up to ``upto`` were taken."""
        if upto > self.acknowledged:
            self.acknowledged, self.again = upto, 0
            self.unanswered = False

    def take_number(self, n: int) -> bool:
        """Take a message of a stream that is not repaired. False if it was taken before."""
        if n > self.highest:
            self.missing.update(range(self.highest + 1, n))
            self.highest = n
        elif n in self.missing:
            self.missing.remove(n)
        else:
            return False
        return True

    def lacks(self, n: int) -> bool:
        """Whether a message of a stream that is not repaired was not taken, and is not so old that it is forgotten."""
        return n > self.highest or (n in self.missing and n > self.highest - REMEMBERED)

    def clone(self) -> TracedWay:
        return TracedWay(
            self.session, self.to_host, self.epoch, self.n, self.newest, self.acknowledged, self.again,
            self.unanswered, self.silent, self.closing, self.accepted, self.taken, self.highest, self.missing.copy(),
        )  # fmt: skip

    def key(self) -> tuple[Hashable, ...]:
        at = self.session, self.to_host
        places = [Place(*at, place) for place in (self.newest, self.acknowledged, self.taken)]
        again = self.again and Place(*at, self.again)
        numbers = Message(*at, self.n), Message(*at, self.highest)
        missing = frozenset([Missing(*at, n) for n in self.missing])
        return (
            at,
            self.epoch,
            self.accepted,
            *places,
            again,
            *numbers,
            missing,
            self.unanswered,
            self.silent,
            self.closing,
        )
