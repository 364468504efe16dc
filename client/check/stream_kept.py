from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.way import TracedWay
from client.check.world import World
from contract.canonical import marked
from contract.messages import (
    REQUESTS,
    UNKNOWN_EPOCH,
    Drain,
    Drained,
    Hello,
    Received,
    Resume,
    Welcome,
)
from contract.trace import Crash, Delivery, Discard, PeerSilent, Rest, Send, SessionChange

WINDOW = 64
"""Messages that may be out without an acknowledgement (R9)."""
_DELIVERY = ("delivery",)
_SILENT = frozenset({"lost", "ended"})
"""The phases in which an end repeats nothing. That a session is refused is no record: Welcome says it."""
_GREETINGS = (Resume, Welcome)
_ENDS = (Drain, Drained)
_UNPLACED = Received, Resume, Welcome
"""Messages that have no place, and are no news."""
_UNTAKEN = frozenset({"R3", "R4", "R5", "R9", "R22", "R25"})
"""The rules by which a session does not take a message. Other rules discard one that it has taken."""


class StreamKept(Monitor):
    __slots__ = ("coming", "damaged", "repaired", "ways")

    name = "stream-kept"
    definition = Definition(
        rules=("R1", "R2", "R3", "R4", "R5", "R9", "R21", "R24", "R25"),
        text=(
            "Both ends of a session keep the rules of its stream. Messages are numbered 1, 2, "
            "3, ... in each epoch. Each is taken once, undamaged, in its epoch, and by the host after a Hello. If the "
            "design repairs the stream, messages also have places 1, 2, 3, ... and are taken in that order. A "
            "repetition begins with the oldest place that is not acknowledged, and continues in order; to an end that "
            "is silent it is the oldest alone. At most 64 places are out without an acknowledgement, and no end "
            "acknowledges a place that it has not taken. At rest no place is left behind. KVM asks for nothing after "
            "Drain, and no end says anything after its Drained."
        ),
        broken_by=(
            "A message that is sent, taken, discarded or acknowledged against one of these rules; or a place that is "
            "not taken at rest, while its sender has the link."
        ),
        evidence=(
            "A message that did not come once and in order: it was lost, doubled, damaged, overtaken or sent again."
        ),
        reads={
            Send: "numbers, places, epochs and acknowledgements",
            Delivery: "which message comes, and its fate",
            Discard: "messages that were not taken, and numbers of messages that were not sent",
            SessionChange: "ends that do not repeat anything any more",
            PeerSilent: "ends that get only the oldest place again",
            Crash: "ends that are gone",
            Rest: "that nothing comes any more",
        },
        unseen=(
            "How long an end waits before it repeats. A stream that gets no message through, however often it repeats: "
            "the run does not come to rest, and is undecided. What a message says: the other invariants judge that. A "
            "loss in a design that does not repair the stream. What KVM asks for after the host's Drain if 64 places "
            "were out when that came: it can be older."
        ),
        excuses=(
            ("crash kvm", "The places of the old epoch are over with its KVM (R22)."),
            ("crash perfcore", "The places of the old epoch are over with its host (R21)."),
        ),
    )

    repaired: bool
    """Whether the design repairs the stream."""
    ways: dict[tuple[str, bool], TracedWay]
    """By session and direction."""
    coming: Send | None
    """The message of the last Delivery, until a record shows whether it was taken."""
    damaged: bool
    """It was damaged on its way."""

    CONFIGURATION: ClassVar = Monitor.CONFIGURATION | {"repaired": "given by Setup"}

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.ways = {(kvm, to_host): TracedWay(kvm, to_host) for kvm in world.kvms for to_host in (True, False)}
        self.repaired = world.axes.get("delivery") == "repaired"
        self.coming, self.damaged = None, False

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.ways = {at: way.clone() for at, way in self.ways.items()}
        twin.repaired, twin.coming, twin.damaged = self.repaired, self.coming, self.damaged
        return twin

    def key(self) -> tuple[Hashable, ...]:
        ways = tuple([way.key() for way in self.ways.values()])
        return *super().key(), ways, None if self.coming is None else marked(self.coming.envelope), self.damaged

    # The sender --------------------------------------------------------------------------------------------

    def _send(self, r: Send) -> None:
        if self.coming is not None:
            self._take()
        way, place = self.ways[r.session, r.to_host], r.order
        if r.epoch != way.epoch or r.n != way.n + 1:
            if isinstance(r.body, Welcome) and r.body.reason == UNKNOWN_EPOCH:
                return  # The host has no session that could count.
            self._begin(way, r)
        way.n = r.n
        if way.closing is not None and place in (0, way.newest + 1):
            self._after_its_end(way, r)
        if not place:
            self._unplaced(way, r)
        elif place == way.newest + 1:
            way.newest = place
            if place - way.acknowledged > WINDOW:
                self._sent(r, "R9", f"is one of {place - way.acknowledged} that are not acknowledged")
            if isinstance(r.body, _ENDS):
                way.closing = type(r.body)
        else:
            self._again(way, r)

    def _unplaced(self, way: TracedWay, r: Send) -> None:
        """A message without a place: each one, if the stream is not repaired."""
        body = r.body
        if isinstance(body, Received):
            self._acknowledges(r, body.acknowledged)
        elif isinstance(body, _GREETINGS):
            way.silent = isinstance(body, Welcome) and not body.accepted
            self._acknowledges(r, body.last_seq if isinstance(body, Resume) else body.acknowledged)
        elif isinstance(body, _ENDS):
            way.closing = type(body)

    def _begin(self, way: TracedWay, r: Send) -> None:
        """A new epoch, or a number that is left out."""
        if r.epoch != way.epoch:
            if r.epoch < way.epoch:
                self._sent(r, "R5", f"is of epoch {r.epoch}, and epoch {way.epoch} has begun")
            way.begin_sending(r.epoch)
            if r.to_host:
                self.ways[r.session, False].begin_taking(r.epoch)
        if r.n != way.n + 1:
            self._sent(r, "R2", f"has number {r.n} after {way.n}")

    def _after_its_end(self, way: TracedWay, r: Send) -> None:
        """A message that is not one more of before, from an end that has said Drain or Drained."""
        if way.closing is Drain and isinstance(r.body, REQUESTS):
            self._sent(r, "R24", "asks for something after Drain")
        elif way.closing is Drained and not isinstance(r.body, _UNPLACED):
            self._sent(r, "R24", "comes after Drained")

    def _again(self, way: TracedWay, r: Send) -> None:
        """A place that was sent before, or one too high."""
        self.exercised = True
        oldest = way.acknowledged + 1
        if r.order > way.newest:
            self._sent(r, "R9", f"has place {r.order} after {way.newest}")
            way.newest = r.order
        elif r.order < oldest:
            self._sent(r, "R9", "is sent again, and was acknowledged")
        elif r.order != oldest and r.order != way.again + 1:
            self._sent(r, "R9", f"is sent again, and place {way.again + 1 if way.again else oldest} is not before it")
        elif r.order != oldest and way.unanswered:
            self._sent(r, "R9", f"is sent again to an end that is silent, and place {oldest} is older")
        way.again = r.order

    def _unanswered(self, r: PeerSilent) -> None:
        if self.coming is not None:
            self._take()
        self.ways[r.session, r.to_host].unanswered = True

    def _acknowledges(self, r: Send, upto: int) -> None:
        taken = self.ways[r.session, not r.to_host].taken
        if upto > taken:
            self._sent(r, "R9", f"acknowledges place {upto}, and {taken} is the last that was taken")

    def _sent(self, r: Send, rule: str, what: str) -> None:
        self._broken(r.seq, rule, r, what)

    # The receiver ------------------------------------------------------------------------------------------

    def _delivery(self, r: Delivery) -> None:
        if self.coming is not None:
            self._take()
        self.coming = self.world.delivered
        if self.evidence is not None:
            self.evidence.notes[_DELIVERY] = r.seq
        if r.fate != "take":
            self.exercised, self.damaged = True, r.fate == "corrupt"

    def _take(self) -> None:
        """The last message was not discarded."""
        message, damaged = self.coming, self.damaged
        assert message is not None
        self.coming, self.damaged = None, False
        way, body = self.ways[message.session, message.to_host], message.body
        if damaged:
            self._taken(message, "R25", "is damaged")
        elif message.epoch != way.accepted:
            self._of_another_epoch(way, message)
        elif isinstance(body, Received):
            self.ways[message.session, not message.to_host].acknowledge(body.acknowledged)
        elif isinstance(body, Resume | Welcome):
            self._greeting(way, message, body)
        else:
            self._in_order(way, message)
            if isinstance(body, Drain) and not message.to_host:
                self._ends(self.ways[message.session, True])

    def _ends(self, way: TracedWay) -> None:
        """The host ends the session. What KVM asks for from now on may have waited behind a full window."""
        if way.closing is None and way.newest - way.acknowledged < WINDOW:
            way.closing = Drain

    def _in_order(self, way: TracedWay, message: Send) -> None:
        if not self.repaired:
            if not way.take_number(message.n):
                self._taken(message, "R3", "was taken before")
        elif message.order == way.taken + 1:
            way.taken += 1
        elif message.order <= way.taken:
            self._taken(message, "R3", "was taken before" if message.order else "has no place")
        else:
            self._taken(message, "R9", f"has place {message.order}, and {way.taken + 1} has not come")
            way.taken = message.order

    def _of_another_epoch(self, way: TracedWay, message: Send) -> None:
        body = message.body
        if message.to_host and isinstance(body, Hello) and message.epoch > way.accepted:
            way.begin_taking(message.epoch)
            self._in_order(way, message)
        elif way.accepted == 0 and message.to_host:
            if not isinstance(body, Received | Resume):
                self._taken(message, "R1", "comes before Hello")
        elif not isinstance(body, Resume):
            self._taken(message, "R5", f"is of epoch {message.epoch}, and epoch {way.accepted} has begun")

    def _greeting(self, way: TracedWay, message: Send, body: Resume | Welcome) -> None:
        """It may come twice, and has a place only in the answer to Hello. Each one acknowledges, also if another one
        has opened the session before it."""
        back = self.ways[message.session, not message.to_host]
        back.unanswered = False
        if isinstance(body, Resume):
            back.acknowledge(body.last_seq)
        elif body.accepted:
            back.acknowledge(body.acknowledged)
        else:
            back.silent = True
        if not self.repaired:
            way.take_number(message.n)
        elif message.order == way.taken + 1:
            way.taken += 1

    def _discard(self, r: Discard) -> None:
        way, message = self.ways[r.session, r.to_host], self.coming
        if message is None or (message.session, message.to_host, message.n) != (r.session, r.to_host, r.n):
            if r.n == way.n + 1:
                way.n = r.n  # It was given up before it was sent.
            return
        if r.rule not in _UNTAKEN and not (r.rule == "R1" and way.accepted == 0):
            return
        self.coming, damaged, self.damaged = None, self.damaged, False
        if damaged or message.epoch != way.accepted:
            return
        fresh = message.order > way.taken if self.repaired else way.lacks(message.n)
        is_next = message.order == way.taken + 1 if self.repaired else fresh
        if r.rule == "R5" or (r.rule == "R3" and fresh) or (r.rule in ("R4", "R9") and is_next):
            self._broken(r.seq, r.rule, message, "is discarded, and could be taken")

    def _taken(self, message: Send, rule: str, what: str) -> None:
        self._broken(self.noted(*_DELIVERY) or 0, rule, message, f"is taken and {what}")

    # Ends --------------------------------------------------------------------------------------------------

    def _session(self, r: SessionChange) -> None:
        if self.coming is not None:
            self._take()
        if r.new in _SILENT:
            self.ways[r.session, r.to_host].silent = True

    def _crash(self, r: Crash) -> None:
        if self.coming is not None:
            self._take()
        for session in r.sessions:
            gone = r.host < 0
            self.ways[session, gone].begin_sending(0)
            self.ways[session, not gone].begin_taking(0)

    def _rest(self, r: Rest) -> None:
        if self.coming is not None:
            self._take()
        if not self.repaired:
            return
        for way in self.ways.values():
            if way.newest > way.taken and way.epoch == way.accepted and not way.silent:
                sender = way.session if way.to_host else "the host"
                text = f"R9: place {way.taken + 1} of {sender} is not taken at rest"
                self.violated(r.seq, text)

    def _broken(self, seq: int, rule: str, message: Send, what: str) -> None:
        place = f"place {message.order}" if message.order else f"number {message.n}"
        sender = message.session if message.to_host else "the host"
        self.violated(seq, f"{rule}: {type(message.body).__name__} of {sender}, {place}, {what}")

    HANDLERS: ClassVar = {
        Send: _send,
        Delivery: _delivery,
        Discard: _discard,
        SessionChange: _session,
        PeerSilent: _unanswered,
        Crash: _crash,
        Rest: _rest,
    }
