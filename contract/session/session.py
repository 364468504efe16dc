"""A session's end: takes a message, a timer or the loss of its link; the messages that it sends are effects.

Rules R1 to R5, R9 and R21 to R26, in the words of ``contract.proto``. What a session promises depends on the design
(axis ``delivery``): if the stream is repaired, no message is lost or overtakes; otherwise a lost message stays lost.
This module decides only when a session ends. Its endpoint decides the consequences for events and grants.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from contract.checksum import is_damaged
from contract.effects import Effects
from contract.errors import RefusedError
from contract.messages import AnyMessage, Drain, Drained, Envelope, Received, Resume, Welcome
from contract.session.incoming import Incoming
from contract.session.outgoing import UNSENT, Numbered, Outgoing, State
from contract.session.phases import DRAINS, SESSION, SessionInput, SessionPhase
from contract.trace import Discard, PeerSilent, Send, SessionChange, Timer, WindowChange

REFUSED, LOST, LEAVING, ENDED = SessionPhase.REFUSED, SessionPhase.LOST, SessionPhase.LEAVING, SessionPhase.ENDED
OVERRUN_REASON = "limit unsent: more than"
RESEND = "resend"
"""Name of the timer that repeats unacknowledged messages."""


class Session:
    __slots__ = ("epoch", "gave_up", "incoming", "is_host", "name", "outgoing", "phase", "repaired")

    def __init__(
        self, name: str, *, is_host: bool, epoch: int = 1, repaired: bool = False, unsent: int = UNSENT
    ) -> None:
        self.name = name
        """Name of the KVM service. Configuration."""
        self.is_host = is_host
        """True at the perf core's end. Configuration."""
        self.repaired = repaired
        """Axis ``delivery``. Configuration."""
        self.epoch = epoch
        """Number of this life of the KVM, from 1 (R5)."""
        self.phase = SessionPhase.CLOSED
        """Where the session stands."""
        self.gave_up = False
        """The epoch is over because too many messages waited (R26)."""
        self.outgoing = Outgoing(repaired=repaired, most=unsent)
        """The messages that this end sends."""
        self.incoming = Incoming(repaired=repaired)
        """The messages that this end takes."""

    def clone(self) -> Session:
        twin = Session(self.name, is_host=self.is_host, epoch=self.epoch, repaired=self.repaired)
        twin.phase, twin.gave_up = self.phase, self.gave_up
        twin.outgoing, twin.incoming = self.outgoing.clone(), self.incoming.clone()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        came, goes = (self.name, self.is_host), (self.name, not self.is_host)
        return self.epoch, str(self.phase), self.gave_up, self.incoming.key(*came), self.outgoing.key(*goes)

    def move(self, given: SessionInput, effects: Effects, why: str = "") -> bool:
        """True if the phase changed. Greeting and opening are not recorded: the messages that cause them are."""
        old, self.phase = self.phase, SESSION.after(self.phase, given)
        if self.phase is old:
            return False
        if given not in _SEEN_IN_MESSAGES:
            effects.add(SessionChange(self.name, not self.is_host, self.epoch, str(old), str(self.phase), why or given))
        return True

    # Messages ----------------------------------------------------------------------------------------------

    def wrap(self, body: AnyMessage, effects: Effects) -> None:
        """Send a message with its number (R2); not now while the window is full or the link is down."""
        if self.phase is REFUSED:
            self.answer(body, effects)  # The peer acknowledges nothing.
            return
        if self.phase is LOST and self.repaired:
            self.outgoing.hold(body)
            return
        if self.phase in _SILENT:
            self._give_up(body, _SILENT[self.phase], effects)
            return
        before = self.outgoing.state
        self._put(self.outgoing.send(body, effects.clock.now), before, effects)

    def accept(self, envelope: Envelope, effects: Effects) -> AnyMessage | None:
        """The message, or None if a rule discards it or if only the session uses it. An acknowledgement makes room for
        waiting messages, which are then sent."""
        if self.phase is ENDED:
            if self.repaired and isinstance(envelope.body, Drained) and envelope.epoch == self.epoch:
                self.incoming.owes = True  # The other end does not know that its last message was taken.
            discard(envelope, effects, "R22", f"epoch {self.epoch} is over")
            return None
        if envelope.epoch != self.epoch:
            discard(envelope, effects, "R5", f"epoch {envelope.epoch}, this session is in {self.epoch}")
            return None
        if self.repaired and isinstance(envelope.body, Received):
            self.hear(envelope.body.acknowledged, effects)
            return None
        if self.repaired and not envelope.order and isinstance(envelope.body, Resume | Welcome):
            return envelope.body  # It names the next place in the order, and may come twice.
        rule, why = self.incoming.take(envelope.seq, envelope.order)
        if rule:
            if self.phase is SessionPhase.GREETING and isinstance(envelope.body, Welcome):
                return envelope.body  # A restarted host numbers its messages from 1 again.
            discard(envelope, effects, rule, why)
            return None
        if isinstance(envelope.body, Drained):
            self.acknowledge(effects)
        return envelope.body

    def answer(self, body: AnyMessage, effects: Effects) -> None:
        """Send a message without a place: it is not repeated, and may come twice."""
        self._put([self.outgoing.unplaced(body)], self.outgoing.state, effects)

    def hear(self, upto: int, effects: Effects) -> None:
        """The other end has taken all places up to ``upto``. That makes room for waiting messages."""
        before = self.outgoing.state
        self.outgoing.acknowledged(upto)
        up = self.phase is not SessionPhase.LOST  # A message that overtakes Resume opens no session.
        self._put(self.outgoing.fill(effects.clock.now) if up else (), before, effects)

    def acknowledge(self, effects: Effects) -> None:
        """Send Received, if the other end waits for it. It has no place in the order, and is not repeated."""
        if not self.incoming.owes or self.phase is LOST:
            return
        self.incoming.owes = False
        self.answer(Received(self.incoming.expected - 1), effects)

    def resend(self, effects: Effects) -> None:
        """The timer ran out: all unacknowledged messages once more."""
        before = self.outgoing.state
        again = self.outgoing.again(effects.clock.now)
        self._put(again, before, effects)
        if again:
            self._note_silence(effects)

    def _give_up(self, body: AnyMessage, reason: tuple[str, str], effects: Effects) -> None:
        """``reason``: a rule, and why."""
        n = self.outgoing.unplaced(body).n
        effects.add(Discard(self.name, not self.is_host, n, type(body).__name__, *reason))

    def _note_silence(self, effects: Effects) -> None:
        if self.outgoing.unanswered:
            effects.add(PeerSilent(self.name, not self.is_host, self.epoch))

    def _put(self, numbered: Iterable[Numbered], before: State, effects: Effects) -> None:
        """Send messages, and put on record how the outgoing side differs from ``before``."""
        to_host = not self.is_host
        for each in numbered:
            effects.add(Send(self.name, to_host, self.epoch, each.n, 0, each.body, each.order))
        due, paused = before
        if self.outgoing.due != due:
            effects.add(Timer(self.name, to_host, RESEND, self.outgoing.due, awaited=True))
        if self.outgoing.paused != paused:
            effects.add(WindowChange(self.name, to_host, self.epoch, self.outgoing.paused))

    # The link ----------------------------------------------------------------------------------------------

    def lose(self, why: str, effects: Effects) -> bool:
        """The link is lost. True if this is news. Nothing is repeated until the session resumes."""
        before, self.outgoing.due, self.outgoing.greets = self.outgoing.state, -1, False
        self._put([], before, effects)
        return self.move(SessionInput.LOSE, effects, why)

    def greet_again(self, protocol: int, effects: Effects) -> None:
        """KVM's end, once the link is up again: Resume names the last place that this end has taken. If the stream is
        repaired, Resume is repeated until its answer comes, also by an end that has taken Drain in the meantime."""
        if self.phase not in (SessionPhase.GREETING, *DRAINS):
            self.move(SessionInput.GREET, effects)
        self.repeat(Resume(self.name, protocol, self.epoch, self.incoming.expected - 1), effects)

    def repeat(self, body: Resume | Welcome, effects: Effects) -> None:
        """Send a message without a place. If the stream is repaired, the timer says when to send it once more, until
        the other end answers."""
        before = self.outgoing.state
        if self.repaired:
            self.outgoing.postpone(effects.clock.now)
            self.outgoing.repeats += 1
            self.outgoing.greets = True
        self._put([self.outgoing.unplaced(body)], before, effects)
        self._note_silence(effects)

    def resume(self, upto: int, effects: Effects) -> None:
        """The other end has taken all places up to ``upto``: send the later messages once more, then the waiting
        ones."""
        before, now = self.outgoing.state, effects.clock.now
        self.outgoing.acknowledged(upto)
        self.outgoing.settle()
        again = self.outgoing.again(now)
        self._put([*again, *self.outgoing.fill(now)], before, effects)

    # The end -----------------------------------------------------------------------------------------------

    def drain(self, reason: str, effects: Effects) -> None:
        """End the session in order (R24). Raises RefusedError where it is not open."""
        if self.phase is not SessionPhase.OPEN:
            raise RefusedError(f"the session is {self.phase}, not open", "EINVAL")
        self.move(SessionInput.DRAIN, effects, reason)
        self.wrap(Drain(reason), effects)

    def leave(self, effects: Effects) -> None:
        """Answer Drain: nothing more comes from this end."""
        self.wrap(Drained(), effects)
        self.move(SessionInput.LEAVE, effects)

    @property
    def left(self) -> bool:
        """True if this end has answered Drain, and does not wait for the acknowledgement of anything. While the link is
        up, messages wait only behind a window of unacknowledged ones."""
        return self.phase is LEAVING and not self.outgoing.unacknowledged

    def refuse(self, effects: Effects) -> None:
        """The other end has refused the session: nothing is sent again, now or later."""
        self.move(SessionInput.REFUSE, effects)
        self._forget(("R1", "the host refuses the session"), effects)

    def end(self, why: str, effects: Effects) -> None:
        """The epoch is over."""
        self.move(SessionInput.END, effects, why)
        self._forget(_SILENT[SessionPhase.ENDED], effects)

    def give_up(self, effects: Effects) -> None:
        """The epoch is over, because more messages wait than may (R26)."""
        self.gave_up = True
        self._forget(("R26", "too many messages wait"), effects)
        self.move(SessionInput.END, effects, f"{OVERRUN_REASON} {self.outgoing.most} messages wait")

    def _forget(self, reason: tuple[str, str], effects: Effects) -> None:
        """Give up all messages. Those that were never sent are discarded, so that the trace names them."""
        before = self.outgoing.state
        self.incoming.owes = False
        for body in self.outgoing.waiting:
            self._give_up(body, reason, effects)
        self.outgoing.forget()
        self._put([], before, effects)


_SILENT = {
    SessionPhase.LOST: ("R4", "the link is down"),
    SessionPhase.LEAVING: ("R24", "this end has drained"),
    SessionPhase.ENDED: ("R22", "the session is over"),
}
"""The phases in which an end says nothing, each with the rule."""
_SEEN_IN_MESSAGES = (SessionInput.GREET, SessionInput.GREETED, SessionInput.WELCOMED, SessionInput.REFUSE)


def refuse_damaged(envelope: Envelope, effects: Effects) -> bool:
    """Discard a damaged message (R25). True if it is one: then nothing in it may be read."""
    if not is_damaged(envelope):
        return False
    discard(envelope, effects, "R25", "it does not fit its checksum")
    return True


def discard(envelope: Envelope, effects: Effects, rule: str, why: str) -> None:
    effects.add(Discard(envelope.session, envelope.to_host, envelope.seq, envelope.kind, rule, why))


def is_overrun(record: SessionChange) -> bool:
    """Whether an end has given the epoch up because too many messages waited (R26)."""
    return record.new == ENDED and record.reason.startswith(OVERRUN_REASON)
