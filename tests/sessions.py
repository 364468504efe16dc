"""A session's end for tests: one message at a time, the window never full."""

from __future__ import annotations

from collections.abc import Callable

from contract.effects import Effects, StepResult
from contract.messages import AnyMessage, Envelope
from contract.session import Session


def said(act: Callable[[Effects], object], effects: Effects) -> list[Envelope]:
    """The messages that a session sends where it does this."""
    begun = len(effects.records)
    act(effects)
    return StepResult(None, effects.records[begun:], 0).messages


class End(Session):
    __slots__ = ()

    def one(self, body: AnyMessage, effects: Effects) -> Envelope:
        """The envelope of a message that goes at once."""
        (envelope,) = said(lambda effects: self.wrap(body, effects), effects)
        return envelope

    def taken(self, envelope: Envelope, effects: Effects) -> AnyMessage | None:
        """The message that ``accept`` gives, where no message waits for room."""
        bodies: list[AnyMessage | None] = []
        assert said(lambda effects: bodies.append(self.accept(envelope, effects)), effects) == []
        return bodies[0]
