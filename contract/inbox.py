"""Messages that have arrived and wait until the schedule names what becomes of them.

The same inbox stands in front of both cores on both wires. Each session's messages lie in the order they
were sent; between sessions there is no order.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum

from contract.canonical import marked
from contract.effects import Effects
from contract.errors import PeerContractError, RefusedError
from contract.messages import Envelope
from contract.trace import Delivery

CAPACITY = 1024
"""Messages that may lie here from one session. A peer that sends more without waiting breaks the contract (credits)."""


class Fate(StrEnum):
    TAKE = "take"
    DROP = "drop"
    DOUBLE = "double"
    OVERTAKE = "overtake"


class Inbox:
    __slots__ = ("queues",)

    def __init__(self) -> None:
        self.queues: dict[str, list[Envelope]] = {}

    def clone(self) -> Inbox:
        twin = Inbox()
        twin.queues = {session: queue[:] for session, queue in self.queues.items()}
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return tuple([(session, marked(queue)) for session, queue in sorted(self.queues.items()) if queue])

    def put(self, envelope: Envelope) -> None:
        queue = self.queues.setdefault(envelope.session, [])
        if len(queue) >= CAPACITY:
            raise PeerContractError(f"{envelope.sender} has more than {CAPACITY} messages waiting")
        queue.append(envelope)

    def decide(self, fate: Fate, session: str, n: int, effects: Effects) -> Envelope | None:
        """Carry out one decision; the message to be taken, or None when it is lost.

        Raises RefusedError, with nothing changed, if message ``n`` is not there or not in a place where it can meet
        that fate: only the oldest can be taken, dropped or doubled, only a younger one can overtake.
        """
        queue = self.queues.get(session, [])
        place = next((i for i, e in enumerate(queue) if e.seq == n), None)
        if place is None:
            raise RefusedError(f"no message {n} of session {session!r} is in this inbox", "ENOENT")
        if (place > 0) != (fate is Fate.OVERTAKE):
            why = "is the oldest" if place == 0 else f"is behind message {queue[0].seq}"
            raise RefusedError(f"cannot {fate} message {n} of session {session!r}: it {why}")
        envelope = queue[place]
        if fate is not Fate.DOUBLE:
            del queue[place]
        effects.add(Delivery(str(fate), session, envelope.to_host, n, envelope.kind))
        return None if fate is Fate.DROP else envelope
