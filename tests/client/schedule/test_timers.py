"""Timers on the tape: their lines, when a default tape fires them, and what a replay asks of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.litmus.fault_rules import parse_fault
from client.schedule.choices import possible
from client.schedule.decisions import HEADER, Decision, Deliver, Fire, Step, format_tape, parse_decision, parse_tape
from client.schedule.flight import Flight
from client.schedule.strategies import FIRED_LIMIT, DefaultStrategy, ReplayStrategy, Strategy
from contract.errors import InputError
from contract.messages import Revoke, Welcome
from contract.trace import AnyRecord, Delivery, Send, Timer
from tests.cases import cases

RENEW = Fire("kvm0", True, "renew")
LEASE = Fire("kvm0", False, "lease")
LINES = {
    "timer kvm0>host renew": RENEW,
    "timer host>kvm0 lease": LEASE,
    "timer host>a-b.c resend": Fire("a-b.c", False, "resend"),
}
THREADS = ["a", "b"]


# Lines -------------------------------------------------------------------------------------------------------


@cases(("line", "decision"), LINES.items())
def test_a_line_says_whose_timer_it_is(line: str, decision: Fire) -> None:
    assert parse_decision(line) == decision
    assert str(decision) == line


FIRES = st.builds(
    Fire,
    st.from_regex(r"kvm[0-9a-z-]{0,8}", fullmatch=True),
    st.booleans(),
    st.from_regex(r"[a-z]{1,9}", fullmatch=True),
)
TAPES: st.SearchStrategy[list[Decision]] = st.lists(st.one_of(FIRES, st.builds(Step, st.just("host+vm0/0"))))


@settings(max_examples=30)
@given(TAPES)
def test_what_is_printed_is_parsed_as_it_was(tape: list[Decision]) -> None:
    assert parse_tape(format_tape(tape)) == tape


@cases(
    ("line", "expected"),
    [
        ("timer", "'timer SENDER>RECEIVER TIMER'"),
        ("timer kvm0>host", "'timer SENDER>RECEIVER TIMER'"),
        ("timer kvm0 renew", "'timer SENDER>RECEIVER TIMER'"),
        ("timer kvm0>host Renew", "'timer SENDER>RECEIVER TIMER'"),
        ("timer kvm0>host renew 1", "'timer SENDER>RECEIVER TIMER'"),
        ("timer kvm0>host 1 renew", "'timer SENDER>RECEIVER TIMER'"),
        ("timers kvm0>host renew", "'timer SENDER>RECEIVER TIMER'"),
        ("timer kvm0>kvm1 renew", "one end of kvm0>kvm1 must be 'host'"),
        ("timer host>host renew", "one end of host>host must be 'host'"),
    ],
)
def test_a_bad_line_is_named(line: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        parse_tape(f"{HEADER}\nstep host\n{line}\n", "a.tape")
    assert error.value.place == "a.tape:3"


# A world with timers -----------------------------------------------------------------------------------------


class World:
    """A flight that does what is decided. A timer that has fired is gone, or armed again ``every`` so many
    nanoseconds."""

    def __init__(self, *records: AnyRecord, every: int = 0) -> None:
        self.flight = Flight()
        self.every = every
        self.add(*records)

    def add(self, *records: AnyRecord) -> None:
        self.flight.follow(records)

    def decided(self, strategy: Strategy, threads: list[str]) -> str:
        decision = strategy.choose(self.flight, threads, THREADS)
        if isinstance(decision, Deliver):
            self.add(Delivery(str(decision.fate), decision.session, decision.to_host, decision.n, decision.message))
        elif isinstance(decision, Fire):
            key = decision.session, decision.to_host, decision.timer
            timer = self.flight.timers[key]
            self.flight.now = max(self.flight.now, timer.due)
            self.add(Timer(*key, self.flight.now + self.every if self.every else -1, awaited=timer.awaited))
        return str(decision)


def armed(fire: Fire, due: int, *, awaited: bool) -> Timer:
    return Timer(fire.session, fire.to_host, fire.timer, due, awaited)


def message(n: int = 1) -> Send:
    return Send("kvm0", False, 1, n, 0, Welcome(True) if n == 1 else Revoke(1, 1, ""))


both = cases("awaited", [True, False], ids=["awaited", "not awaited"])


# The default tape --------------------------------------------------------------------------------------------


@both
def test_what_is_due_fires_after_the_messages_and_before_a_step(awaited: bool) -> None:
    world, strategy = World(armed(RENEW, 0, awaited=awaited), message()), DefaultStrategy()
    assert [world.decided(strategy, THREADS) for _ in range(3)] == [
        "take host>kvm0 1 Welcome",
        "timer kvm0>host renew",
        "step a",
    ]


@both
def test_what_is_not_due_waits_as_long_as_a_thread_can_step(awaited: bool) -> None:
    world = World(armed(RENEW, 1, awaited=awaited))
    assert world.decided(DefaultStrategy(), THREADS) == "step a"


def test_time_passes_for_a_timer_that_somebody_waits_for() -> None:
    world = World(armed(LEASE, 5, awaited=True))
    assert [world.decided(DefaultStrategy(), []) for _ in range(2)] == ["timer host>kvm0 lease", "None"]
    assert world.flight.now == 5


def test_time_does_not_pass_for_a_timer_that_nobody_waits_for() -> None:
    assert World(armed(RENEW, 5, awaited=False)).decided(DefaultStrategy(), []) == "None"


def test_on_its_way_to_one_that_somebody_waits_for_time_passes_the_others() -> None:
    world = World(armed(LEASE, 10, awaited=True), armed(RENEW, 5, awaited=False))
    strategy = DefaultStrategy()
    assert [world.decided(strategy, []) for _ in range(3)] == ["timer kvm0>host renew", "timer host>kvm0 lease", "None"]


def test_a_message_that_was_held_back_is_taken_before_time_passes() -> None:
    world = World(armed(LEASE, 5, awaited=True), message())
    strategy = DefaultStrategy((parse_fault("reorder:Welcome:1"),))
    assert [world.decided(strategy, []) for _ in range(2)] == ["take host>kvm0 1 Welcome", "timer host>kvm0 lease"]


def test_a_run_that_only_ever_waits_ends() -> None:
    world, strategy = World(armed(LEASE, 5, awaited=True), every=7), DefaultStrategy()
    decisions = [world.decided(strategy, []) for _ in range(FIRED_LIMIT + 2)]
    assert decisions == ["timer host>kvm0 lease"] * FIRED_LIMIT + ["None"] * 2


def test_timers_that_are_due_in_their_time_do_not_count_for_that() -> None:
    world, strategy = World(armed(RENEW, 0, awaited=True)), DefaultStrategy()
    for _ in range(FIRED_LIMIT + 1):
        assert world.decided(strategy, THREADS) == "timer kvm0>host renew"
        world.add(armed(RENEW, 0, awaited=True))
    world.add(armed(RENEW, 1, awaited=True))
    assert world.decided(strategy, []) == "timer kvm0>host renew"


# The known timers --------------------------------------------------------------------------------------------


def test_the_timer_that_runs_out_first_comes_first() -> None:
    world = World(
        armed(RENEW, 9, awaited=False), armed(LEASE, 3, awaited=True), armed(Fire("a", True, "x"), 3, awaited=True)
    )
    assert [(timer.session, timer.timer, timer.due) for timer in world.flight.armed()] == [
        ("a", "x", 3),
        ("kvm0", "lease", 3),
        ("kvm0", "renew", 9),
    ]


def test_a_timer_that_is_set_again_is_one_timer() -> None:
    world = World(armed(RENEW, 9, awaited=False), armed(RENEW, 3, awaited=True))
    assert [(timer.due, timer.awaited) for timer in world.flight.armed()] == [(3, True)]


def test_a_timer_that_is_stopped_is_none() -> None:
    assert World(armed(RENEW, 9, awaited=True), armed(RENEW, -1, awaited=True)).flight.armed() == []


def test_both_ends_of_a_session_have_timers_of_their_own() -> None:
    own, other = Fire("kvm0", True, "resend"), Fire("kvm0", False, "resend")
    world = World(armed(own, 1, awaited=True), armed(other, 2, awaited=True), armed(own, -1, awaited=True))
    assert [timer.to_host for timer in world.flight.armed()] == [False]


def test_every_armed_timer_can_fire_at_any_time() -> None:
    world = World(message(), armed(RENEW, 9, awaited=False), armed(LEASE, 3, awaited=True))
    assert possible(world.flight, THREADS)[-4:] == [Step("a"), Step("b"), LEASE, RENEW]


# Replay ------------------------------------------------------------------------------------------------------


def test_a_replay_fires_what_the_tape_says() -> None:
    world = World(armed(RENEW, 9, awaited=False), armed(LEASE, 3, awaited=True))
    strategy = ReplayStrategy([RENEW, LEASE])
    assert [world.decided(strategy, THREADS) for _ in range(2)] == [str(RENEW), str(LEASE)]
    assert world.decided(strategy, []) == "None"


def test_a_timer_that_is_not_armed_is_a_divergence() -> None:
    with pytest.raises(InputError, match=r"'timer host>kvm0 lease' is not possible here, .* 'timer kvm0>host renew'"):
        World(armed(RENEW, 9, awaited=False)).decided(ReplayStrategy([LEASE]), [])


def test_a_tape_may_end_while_a_timer_runs_that_nobody_waits_for() -> None:
    assert World(armed(RENEW, 9, awaited=False)).decided(ReplayStrategy([]), []) == "None"


@cases(("due", "awaited"), [(9, True), (0, False)])
def test_a_tape_may_not_end_before_one_that_is_awaited_or_due(due: int, awaited: bool) -> None:
    with pytest.raises(InputError, match="the tape ends, but 'timer kvm0>host renew' is still possible"):
        World(armed(RENEW, due, awaited=awaited)).decided(ReplayStrategy([]), [])
