"""Numbers, places, window and repetition of the messages that one end sends.

If the design repairs the stream, a message has a place in the order of its direction. It is kept until the peer
acknowledges its place, and sent again, with all younger ones, when the timer runs out (go-back-N). To a peer that is
silent only the oldest is sent again: a link that holds all messages back would fill the peer's inbox with repetitions.
At most ``WINDOW`` messages are out at a time; younger ones wait, and the end is paused. At most ``UNSENT`` of them wait
(R26).
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from contract.canonical import At, Place, marked
from contract.messages import AnyMessage

WINDOW = 64
"""Messages that may be out without an acknowledgement."""
UNSENT = 4096
"""Messages that may wait for room in the window, or for the link."""
RESEND_AFTER = 10_000_000
"""Nanoseconds until unacknowledged messages are sent again for the first time."""
SILENT_AFTER = 5
"""Repetitions without an answer after which the peer is silent: 310 ms after the first message."""
RESEND_LIMIT = 160_000_000
"""Nanoseconds that the wait between two repetitions grows to, doubling each time."""

State = tuple[int, bool]
"""When the timer runs out, and whether the end is paused."""


class Numbered(msgspec.Struct, frozen=True, gc=False):
    """A message on its way: ``n`` is its number (R2), ``order`` its place in the order (R9), 0 without one."""

    n: int
    order: int
    body: AnyMessage


class Outgoing:
    __slots__ = ("due", "greets", "most", "n", "order", "paused", "repaired", "repeats", "unacknowledged", "waiting")

    def __init__(self, *, repaired: bool, most: int = UNSENT) -> None:
        self.repaired = repaired
        """Configuration: axis ``delivery``."""
        self.most = most
        """Messages that may wait. Configuration."""
        self.n = 0
        """Number of the last message sent."""
        self.order = 0
        """Place of the last message that has one."""
        self.unacknowledged: list[tuple[int, AnyMessage]] = []
        """Place and message, oldest first; at most WINDOW."""
        self.waiting: list[AnyMessage] = []
        """Messages that have no place in the window yet, oldest first."""
        self.paused = False
        """True from the first message that finds the window full until no message waits."""
        self.repeats = 0
        """Repetitions since the peer last acknowledged anything."""
        self.due = -1
        """Nanosecond of the next repetition; -1: none."""
        self.greets = False
        """True while Resume, or the Welcome that ends an epoch, waits for its answer: the same timer repeats it."""

    @property
    def state(self) -> State:
        """The parts that are recorded."""
        return self.due, self.paused

    def send(self, body: AnyMessage, now: int) -> list[Numbered]:
        """The message with its number; an empty list if it waits for room in the window."""
        if not self.repaired:
            return [self.unplaced(body)]
        if self.waiting or len(self.unacknowledged) >= WINDOW:
            self.waiting.append(body)
            self.paused = True
            return []
        return [self._placed(body, now)]

    def hold(self, body: AnyMessage) -> None:
        """Keep a message until the link is up again."""
        self.waiting.append(body)

    def keeps(self, body: AnyMessage) -> bool:
        """Whether this message waits, or is sent again until the peer has taken it."""
        return body in self.waiting or any(body == kept for _, kept in self.unacknowledged)

    @property
    def overrun(self) -> bool:
        """True if more messages wait than may."""
        return len(self.waiting) > self.most

    def unplaced(self, body: AnyMessage) -> Numbered:
        """A message without a place: it is not repeated."""
        self.n += 1
        return Numbered(self.n, 0, body)

    def _placed(self, body: AnyMessage, now: int) -> Numbered:
        self.order += 1
        self.n += 1
        self.unacknowledged.append((self.order, body))
        if self.due < 0:
            self.due = now + RESEND_AFTER
        return Numbered(self.n, self.order, body)

    def acknowledged(self, upto: int) -> None:
        """The peer took all places up to ``upto``."""
        fresh = False
        while self.unacknowledged and self.unacknowledged[0][0] <= upto:
            del self.unacknowledged[0]
            fresh = True
        if fresh:
            self.repeats = 0
            if not self.unacknowledged and not self.greets:
                self.due = -1

    def fill(self, now: int) -> list[Numbered]:
        """The waiting messages for which the window has room."""
        sent = []
        while self.waiting and len(self.unacknowledged) < WINDOW:
            sent.append(self._placed(self.waiting.pop(0), now))
        self.paused = bool(self.waiting)
        return sent

    def again(self, now: int) -> list[Numbered]:
        """All unacknowledged messages once more, under new numbers; the oldest to a silent peer. The next wait is twice
        as long."""
        again = []
        for place, body in self.unacknowledged[: 1 if self.repeats >= SILENT_AFTER else None]:
            self.n += 1
            again.append(Numbered(self.n, place, body))
        if again:
            self.repeats += 1
            self.postpone(now)
        return again

    def postpone(self, now: int) -> None:
        """Wait for an answer from now on, longer after each repetition."""
        self.due = now + min(RESEND_AFTER << min(self.repeats, 8), RESEND_LIMIT)

    @property
    def unanswered(self) -> bool:
        """True at the repetition with which the peer becomes silent."""
        return self.repeats == SILENT_AFTER

    def settle(self) -> None:
        """The peer has answered again: the count of repetitions returns to 0."""
        self.repeats, self.due, self.greets = 0, -1, False

    def forget(self) -> None:
        """The peer refused the session or is gone: nothing is repeated."""
        self.unacknowledged.clear()
        self.waiting.clear()
        self.paused = self.greets = False
        self.repeats, self.due = 0, -1

    def clone(self) -> Outgoing:
        twin = Outgoing(repaired=self.repaired, most=self.most)
        twin.n, twin.order, twin.repeats, twin.due = self.n, self.order, self.repeats, self.due
        twin.paused, twin.greets = self.paused, self.greets
        twin.unacknowledged = self.unacknowledged.copy()
        twin.waiting = self.waiting.copy()
        return twin

    def key(self, session: str, to_host: bool) -> tuple[Hashable, ...]:
        """Without the number of the last message: the next is above all others."""
        kept = tuple([(Place(session, to_host, place), marked(body)) for place, body in self.unacknowledged])
        waiting = tuple([marked(body) for body in self.waiting])
        place = Place(session, to_host, self.order) if self.repaired else 0
        return place, kept, waiting, self.paused, self.greets, self.repeats, At(self.due)
