"""R9: a repaired session delivers everything once and in order, whatever the wire does meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.effects import Clock, Effects
from contract.messages import AnyMessage, Envelope, Received, RegisterVcpu
from contract.network import CAPACITY
from contract.session import RESEND, RESEND_AFTER, RESEND_LIMIT
from contract.session.outgoing import SILENT_AFTER, WINDOW
from contract.trace import Discard, PeerSilent, Send, Timer
from tests.cases import cases
from tests.sessions import End, said


def body(n: int) -> RegisterVcpu:
    return RegisterVcpu(str(n), "v")


def pair(*, repaired: bool = True) -> tuple[End, End, Effects]:
    return (
        End("k", is_host=False, repaired=repaired),
        End("k", is_host=True, repaired=repaired),
        Effects(Clock()),
    )


def sent(session: End, log: Effects, count: int = 3) -> list[Envelope]:
    return [session.one(body(n), log) for n in range(1, count + 1)]


def discards(log: Effects) -> list[tuple[int, str]]:
    return [(r.n, r.rule) for r in log.records if isinstance(r, Discard)]


def timers(log: Effects) -> list[int]:
    return [r.due for r in log.records if isinstance(r, Timer)]


def received(upto: int) -> Envelope:
    """The host's acknowledgement."""
    return Envelope("k", False, 1, 1, Received(upto))


def acknowledged(session: End, log: Effects) -> list[AnyMessage]:
    return [e.body for e in said(session.acknowledge, log)]


# Order -----------------------------------------------------------------------------------------------------


def test_what_is_sent_again_keeps_its_place_and_has_a_new_number() -> None:
    kvm, _, log = pair()
    first, again = sent(kvm, log), said(kvm.resend, log)
    assert [(e.order, e.seq) for e in first] == [(1, 1), (2, 2), (3, 3)]
    assert [(e.order, e.seq) for e in again] == [(1, 4), (2, 5), (3, 6)]
    assert [e.body for e in again] == [e.body for e in first]


def test_the_record_of_a_message_has_its_place() -> None:
    kvm, _, log = pair()
    sent(kvm, log, 2)
    said(kvm.resend, log)
    assert [(r.n, r.order) for r in log.records if isinstance(r, Send)] == [(1, 1), (2, 2), (3, 1), (4, 2)]


def test_only_what_is_not_acknowledged_is_sent_again() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    kvm.taken(received(2), log)
    assert [e.order for e in said(kvm.resend, log)] == [3]


def test_behind_a_gap_everything_is_discarded_until_the_gap_is_filled() -> None:
    kvm, host, log = pair()
    first, *behind = sent(kvm, log)
    assert [host.taken(e, log) for e in behind] == [None, None]
    assert discards(log) == [(2, "R9"), (3, "R9")]
    assert [host.taken(e, log) for e in (first, *behind)] == [body(1), body(2), body(3)]


def test_a_gap_is_not_acknowledged() -> None:
    kvm, host, log = pair()
    host.taken(sent(kvm, log)[2], log)
    assert acknowledged(host, log) == []


def test_a_duplicate_is_discarded_and_acknowledged_again() -> None:
    kvm, host, log = pair()
    envelope = kvm.one(body(1), log)
    host.taken(envelope, log)
    assert acknowledged(host, log) == [Received(1)]
    assert host.taken(envelope, log) is None
    assert discards(log) == [(1, "R3")]
    assert acknowledged(host, log) == [Received(1)]


@cases(("own", "other"), [(2, 1), (1, 2)], ids=["stale", "future"])
def test_another_epoch_is_neither_taken_nor_acknowledged(own: int, other: int) -> None:
    _, _, log = pair()
    host = End("k", is_host=True, epoch=own, repaired=True)
    stranger = End("k", is_host=False, epoch=other, repaired=True)
    assert host.taken(stranger.one(body(1), log), log) is None
    assert discards(log) == [(1, "R5")]
    assert acknowledged(host, log) == []


# Acknowledging ---------------------------------------------------------------------------------------------


def test_one_received_acknowledges_all_before_it() -> None:
    kvm, host, log = pair()
    for envelope in sent(kvm, log):
        host.taken(envelope, log)
    (answer,) = said(host.acknowledge, log)
    assert answer.body == Received(3)
    assert kvm.taken(answer, log) is None
    assert not kvm.outgoing.unacknowledged


def test_what_was_acknowledged_is_not_acknowledged_again_without_need() -> None:
    kvm, host, log = pair()
    host.taken(kvm.one(body(1), log), log)
    said(host.acknowledge, log)
    assert acknowledged(host, log) == []


def test_received_has_no_place_and_is_not_acknowledged_itself() -> None:
    kvm, host, log = pair()
    host.taken(kvm.one(body(1), log), log)
    (answer,) = said(host.acknowledge, log)
    assert answer.order == 0
    assert said(host.resend, log) == []
    kvm.taken(answer, log)
    assert acknowledged(kvm, log) == []
    assert [e.order for e in (host.one(body(2), log), kvm.one(body(3), log))] == [1, 2]


def test_an_old_received_takes_nothing_back() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    for upto, left in ((2, [3]), (1, [3]), (0, [3]), (3, []), (3, [])):
        kvm.taken(received(upto), log)
        assert [order for order, _ in kvm.outgoing.unacknowledged] == left


# The timer -------------------------------------------------------------------------------------------------


def test_the_first_message_that_waits_arms_the_timer() -> None:
    kvm, _, log = pair()
    log.clock.now = 5
    sent(kvm, log)
    assert [r for r in log.records if isinstance(r, Timer)] == [
        Timer("k", True, RESEND, 5 + RESEND_AFTER, awaited=True, time=5)
    ]


def test_the_hosts_timer_is_the_hosts() -> None:
    _, host, log = pair()
    host.one(body(1), log)
    assert [r.to_host for r in log.records if isinstance(r, Timer)] == [False]


def test_each_repetition_waits_twice_as_long_up_to_a_limit() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    waits = []
    for _ in range(7):
        log.clock.now = kvm.outgoing.due
        said(kvm.resend, log)
        waits.append(kvm.outgoing.due - log.clock.now)
    assert [wait // RESEND_AFTER for wait in waits] == [2, 4, 8, 16, 16, 16, 16]
    assert waits[-1] == RESEND_LIMIT


def test_a_peer_that_gives_no_answer_is_noticed_once_after_310_ms() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    for _ in range(8):
        log.clock.now = kvm.outgoing.due
        kvm.resend(log)
    assert [(r.to_host, r.time) for r in log.records if isinstance(r, PeerSilent)] == [(True, 310_000_000)]


def test_a_silent_peer_gets_the_oldest_alone_until_it_answers() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    times = [[e.order for e in said(kvm.resend, log)] for _ in range(SILENT_AFTER + 2)]
    assert times == [[1, 2, 3]] * SILENT_AFTER + [[1]] * 2
    kvm.taken(received(1), log)
    assert [e.order for e in said(kvm.resend, log)] == [2, 3]


def test_a_link_that_holds_a_full_window_for_a_minute_does_not_fill_the_inbox() -> None:
    kvm, _, log = pair()
    sent(kvm, log, WINDOW)
    while log.clock.now < 60_000_000_000:
        log.clock.now = kvm.outgoing.due
        kvm.resend(log)
    assert sum(isinstance(r, Send) for r in log.records) < CAPACITY


def test_a_peer_that_answers_now_and_then_is_not_silent() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    for upto in (1, 2, 3):
        for _ in range(SILENT_AFTER - 1):
            kvm.resend(log)
        kvm.taken(received(upto), log)
    kvm.resend(log)
    assert not [r for r in log.records if isinstance(r, PeerSilent)]


def test_a_host_that_does_not_answer_resume_is_silent_too() -> None:
    kvm, _, log = pair()
    kvm.lose("cut", log)
    for _ in range(8):
        kvm.greet_again(2, log)
    assert len([r for r in log.records if isinstance(r, PeerSilent)]) == 1


def test_an_acknowledgement_makes_the_next_repetition_prompt() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    for _ in range(3):
        said(kvm.resend, log)
    kvm.taken(received(1), log)
    said(kvm.resend, log)
    assert kvm.outgoing.due == 2 * RESEND_AFTER


def test_the_last_acknowledgement_disarms_it_and_no_earlier_one() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    kvm.taken(received(2), log)
    assert timers(log) == [RESEND_AFTER]
    kvm.taken(received(3), log)
    kvm.taken(received(3), log)
    assert timers(log) == [RESEND_AFTER, -1]


@cases("act", [End.resend, End.refuse])
def test_with_nothing_to_send_again_nothing_is_sent_or_timed(act: Callable[[End, Effects], object]) -> None:
    kvm, _, log = pair()
    act(kvm, log)
    assert log.records == []


def test_a_session_that_forgets_sends_nothing_again_now_or_later() -> None:
    kvm, _, log = pair()
    sent(kvm, log)
    kvm.refuse(log)
    assert said(kvm.resend, log) == []
    assert kvm.one(body(4), log).order == 0
    assert said(kvm.resend, log) == []
    assert timers(log) == [RESEND_AFTER, -1]


# Not repaired ----------------------------------------------------------------------------------------------


def test_an_unrepaired_session_repairs_nothing() -> None:
    kvm, host, log = pair(repaired=False)
    envelopes = sent(kvm, log)
    assert [e.order for e in envelopes] == [0, 0, 0]
    assert [host.taken(envelopes[n], log) for n in (2, 0)] == [body(3), body(1)]
    assert said(host.acknowledge, log) == said(kvm.resend, log) == []
    assert timers(log) == []


def test_an_unrepaired_session_has_no_rule_for_received() -> None:
    kvm, host, log = pair(repaired=False)
    assert kvm.taken(host.one(Received(1), log), log) == Received(1)


# Any wire --------------------------------------------------------------------------------------------------

ENDS = st.booleans()
NUMBERS = st.integers(0, 50)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["send", "send", "resend", "acknowledge"]), ENDS.map(int)),
    st.tuples(st.sampled_from(["deliver", "deliver", "deliver", "drop", "copy"]), NUMBERS),
)


class Line:
    """Two ends, and what is on the way between them; the wire takes any message next, none, or one twice."""

    def __init__(self) -> None:
        kvm, host, self.log = pair()
        self.ends = (kvm, host)
        self.wire: list[Envelope] = []
        self.sent: tuple[list[AnyMessage], list[AnyMessage]] = [], []
        self.taken: tuple[list[AnyMessage], list[AnyMessage]] = [], []

    def act(self, what: str, n: int) -> None:
        if what == "send":
            message = body(len(self.sent[n]))
            self.sent[n].append(message)
            self.wire.append(self.ends[n].one(message, self.log))
        elif what == "resend":
            self.wire += said(self.ends[n].resend, self.log)
        elif what == "acknowledge":
            self.wire += said(self.ends[n].acknowledge, self.log)
        elif self.wire:
            n %= len(self.wire)
            envelope = self.wire[n] if what == "copy" else self.wire.pop(n)
            if what != "drop":
                self.deliver(envelope)

    def deliver(self, envelope: Envelope) -> None:
        end = int(envelope.to_host)
        message = self.ends[end].taken(envelope, self.log)
        if message is not None:
            self.taken[end].append(message)

    def perfect_round(self) -> None:
        """All timers fire, and the wire is perfect from now on."""
        for n in (0, 1):
            self.act("resend", n)
        while self.wire:
            self.deliver(self.wire.pop(0))
            for n in (0, 1):
                self.act("acknowledge", n)

    def check(self) -> None:
        for n, end in enumerate(self.ends):
            taken = self.taken[1 - n]
            assert taken == self.sent[n][: len(taken)], "in order, each once, nothing left out"
            due = [r.due for r in self.log.records if isinstance(r, Timer) and r.to_host == (n == 0)]
            assert bool(end.outgoing.unacknowledged) == bool(due and due[-1] >= 0), (
                "the timer runs while something waits"
            )
            assert len(self.sent[n]) - len(end.outgoing.unacknowledged) <= len(taken), "what was acknowledged was taken"


@settings(max_examples=150)
@given(st.lists(ACTIONS, max_size=40))
@example([("send", 0)] * 3 + [("resend", 0)] * SILENT_AFTER)
def test_everything_arrives_once_and_in_order_once_the_wire_is_perfect(actions: list[tuple[str, int]]) -> None:
    line = Line()
    for what, n in actions:
        line.act(what, n)
        line.check()
    silent = any(end.outgoing.repeats >= SILENT_AFTER for end in line.ends)
    for _ in range(1 + silent):  # A silent end gets the oldest alone, and the others when it has answered.
        line.perfect_round()
        line.check()
    assert line.taken == (line.sent[1], line.sent[0])
    assert [len(end.outgoing.unacknowledged) for end in line.ends] == [0, 0]
