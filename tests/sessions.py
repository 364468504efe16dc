"""A session's end for tests: one message at a time, the window never full."""

from __future__ import annotations

from contract.effects import Effects
from contract.messages import AnyMessage, Envelope
from contract.session import Session


class End(Session):
    __slots__ = ()

    def one(self, body: AnyMessage, effects: Effects) -> Envelope:
        """The envelope of a message that goes at once."""
        (envelope,) = self.wrap(body, effects)
        return envelope

    def taken(self, envelope: Envelope, effects: Effects) -> AnyMessage | None:
        """The message that ``accept`` gives, where no message waits for room."""
        body, freed = self.accept(envelope, effects)
        assert not freed
        return body
