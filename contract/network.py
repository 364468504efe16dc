"""The messages in flight between the two ends of the contract, as a value outside both cores.

There is one queue for each direction of each session, in the order in which its messages were sent. Between queues
there is no order. The schedule decides the fate of each message. The simulated wire has one network. On the gRPC wire
each service has the messages that have arrived there.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum

from msgspec import UNSET

from contract.canonical import marked
from contract.checksum import changeable, damaged
from contract.errors import PeerContractError, RefusedError
from contract.messages import Envelope
from contract.trace import Delivery, Recorder

CAPACITY = 1024
"""The usual capacity of a queue, and the credits that Welcome tells. A peer that sends more without waiting breaks the
contract. A service may have room for more, never for less (``--max-inbox``)."""


class Fate(StrEnum):
    TAKE = "take"
    DROP = "drop"
    DUPLICATE = "duplicate"
    OVERTAKE = "overtake"
    CORRUPT = "corrupt"
    HOLD = "hold"
    RELEASE = "release"
    LOSE = "lose"
    """The message is lost with its way, which is cut. No tape names this fate: the cut decides it."""


TAKE, OVERTAKE, CORRUPT = Fate.TAKE, Fate.OVERTAKE, Fate.CORRUPT
HOLD, RELEASE, LOSE = Fate.HOLD, Fate.RELEASE, Fate.LOSE
"""Fates as constants of the module: Python 3.11 takes ten times longer to read a member of an enumeration."""
UNMOVED = frozenset({Fate.DUPLICATE, Fate.HOLD, Fate.RELEASE})
"""The fates that leave a message in flight."""
UNTAKEN = frozenset({Fate.DROP, Fate.HOLD, Fate.RELEASE, Fate.LOSE})
"""The fates after which the receiver has nothing."""


Way = tuple[str, bool]
"""A session, and whether the direction is from KVM to the host."""


class Network:
    __slots__ = ("capacity", "held", "queues")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        """The most messages in one queue. Configuration."""
        self.queues: dict[Way, list[Envelope]] = {}
        """Messages by direction, oldest first."""
        self.held: set[Way] = set()
        """The directions in which nothing is delivered for now."""

    def clone(self) -> Network:
        twin = Network(self.capacity)
        twin.queues = {way: queue[:] for way, queue in self.queues.items()}
        twin.held = self.held.copy()
        return twin

    def key(self) -> tuple[tuple[Way, Hashable], ...]:
        """For ``contract.canonical``; the numbers in each queue are those of its session."""
        ways = [(way, queue) for way, queue in sorted(self.queues.items()) if queue]
        return tuple([(way, (way in self.held, marked(queue))) for way, queue in ways])

    def waiting(self, session: str, to_host: bool) -> list[Envelope]:
        """The messages of one direction, oldest first."""
        return self.queues.get((session, to_host), [])

    def has(self, session: str, to_host: bool, n: int) -> bool:
        """True if message ``n`` of one direction is in flight."""
        return any(envelope.seq == n for envelope in self.waiting(session, to_host))

    def cut(self, session: str, to_host: bool) -> None:
        """All messages of one direction are lost."""
        self.queues.pop((session, to_host), None)
        self.held.discard((session, to_host))

    def heads(self) -> list[Envelope]:
        """The oldest message of each direction that has one."""
        return [queue[0] for queue in self.queues.values() if queue]

    def put(self, envelope: Envelope) -> None:
        """Add a message to its queue. Raises PeerContractError if the queue is full."""
        queue = self.queues.setdefault((envelope.session, envelope.to_host), [])
        if len(queue) >= self.capacity:
            raise PeerContractError(f"{envelope.sender} has more than {self.capacity} messages waiting")
        queue.append(envelope)

    def decide(
        self, fate: Fate, session: str, to_host: bool, n: int, log: Recorder, fault: str = "", field: str = ""
    ) -> Envelope | None:
        """Carry out one decision, and record it with the fault that it belongs to. ``field``: as in
        ``contract.checksum.damaged``, for ``corrupt``. Gives the message to be taken, or None if there is none.

        Raises RefusedError, with nothing changed, if message ``n`` is not in flight, or cannot meet that fate at its
        place: only a younger message can overtake, and only the oldest can meet any other fate. Where the direction is
        held, it can only be released, or lost with the direction.
        """
        way = session, to_host
        queue = self.queues.get(way, [])
        place = 0
        if not queue or queue[0].seq != n:
            place = next((i for i, e in enumerate(queue) if e.seq == n), -1)
            if place < 0:
                raise RefusedError(f"no message {n} of session {session!r} is in this inbox", "ENOENT")
        if (place > 0) != (fate is OVERTAKE):
            why = "is the oldest" if place == 0 else f"is behind message {queue[0].seq}"
            raise RefusedError(f"cannot {fate} message {n} of session {session!r}: it {why}")
        if (way in self.held) != (fate is RELEASE) and fate is not LOSE:
            why = "is held" if way in self.held else "is not held"
            raise RefusedError(f"cannot {fate} message {n} of session {session!r}: its direction {why}")
        envelope = queue[place]
        if field and (fate is not CORRUPT or field not in changeable(type(envelope.body))):
            raise RefusedError(f"cannot {fate} field {field!r} of message {n} of session {session!r}", "EINVAL")
        log.add(Delivery(str(fate), session, to_host, n, envelope.kind, fault or UNSET, field or UNSET))
        if fate not in UNMOVED:
            del queue[place]
        if fate is TAKE or fate is OVERTAKE:
            return envelope
        if fate is HOLD:
            self.held.add(way)
        elif fate is RELEASE or fate is LOSE:
            self.held.discard(way)
        if fate in UNTAKEN:
            return None
        return damaged(envelope, field) if fate is CORRUPT else envelope
