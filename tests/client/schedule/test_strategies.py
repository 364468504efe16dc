"""Strategies: what the default decides, what faults change, how strict a replay is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from client.litmus.fault_rules import parse_fault
from client.schedule.choices import possible
from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from client.schedule.flight import Flight
from client.schedule.strategies import DefaultStrategy, ReplayStrategy
from contract.errors import InputError
from contract.messages import Available, Hello, RegisterVcpu, Revoke, SchedIn, Welcome
from contract.network import Fate
from contract.trace import AnyRecord, Delivery, Send, Timer
from tests.cases import cases

ALL = ["a", "b", "c"]
HELLO = Send(session="kvm0", to_host=True, epoch=1, n=1, clock=0, body=Hello("kvm0"))
REGISTER = Send(session="kvm0", to_host=True, epoch=1, n=2, clock=0, body=RegisterVcpu("v", "v"))
WELCOME = Send(session="kvm0", to_host=False, epoch=1, n=1, clock=0, body=Welcome(True))
REVOKE = Send(session="kvm0", to_host=False, epoch=1, n=2, clock=0, body=Revoke(1, 1, ""))
AVAILABLE = Send(session="kvm0", to_host=False, epoch=1, n=3, clock=0, body=Available(1, 0))
REVOKE_2 = Send(session="kvm0", to_host=False, epoch=1, n=4, clock=0, body=Revoke(2, 2, ""))
RESEND = Timer(session="kvm0", to_host=True, timer="resend", due=7, awaited=True)
RENEW = Timer(session="kvm0", to_host=True, timer="renew", due=5, awaited=False)


class World:
    """A flight that does what is decided."""

    def __init__(self, *sends: Send) -> None:
        self.flight = Flight()
        self.send(*sends)

    def send(self, *sends: Send) -> None:
        self.add(*(replace(s) for s in sends))

    def add(self, *records: AnyRecord) -> None:
        self.flight.follow(records)

    def carry_out(self, decision: Decision | None) -> str:
        if isinstance(decision, Deliver):
            how, d = str(decision.fate), decision
            self.add(Delivery(how, d.session, d.to_host, d.n, d.message))
        elif isinstance(decision, Fire):
            armed = self.flight.timers[decision.session, decision.to_host, decision.timer]
            self.flight.now = max(self.flight.now, armed.due)
            self.add(Timer(armed.session, armed.to_host, armed.timer, -1, armed.awaited))
        elif isinstance(decision, Pass):
            self.flight.now = decision.time
        return str(decision)

    def run(self, strategy: DefaultStrategy | ReplayStrategy, threads: list[str], limit: int) -> list[str]:
        return [self.carry_out(strategy.choose(self.flight, threads, ALL)) for _ in range(limit)]


def test_everything_is_taken_oldest_first_before_a_step() -> None:
    """Over all ways: the moment at which it was sent counts, not the number on its way."""
    world = World(WELCOME, HELLO, REVOKE, REGISTER)

    assert world.run(DefaultStrategy(), ["a"], 5) == [
        "take host>kvm0 1 Welcome",
        "take kvm0>host 1 Hello",
        "take host>kvm0 2 Revoke",
        "take kvm0>host 2 RegisterVcpu",
        "step a",
    ]


def test_threads_in_turn() -> None:
    world, strategy = World(), DefaultStrategy()

    assert world.run(strategy, ALL, 4) == ["step a", "step b", "step c", "step a"]
    assert world.run(strategy, ["a", "c"], 3) == ["step c", "step a", "step c"]
    assert world.run(strategy, ["b"], 2) == ["step b", "step b"]


def test_nothing_left_ends_the_run() -> None:
    assert DefaultStrategy().choose(World().flight, [], ALL) is None


def test_a_timer_that_is_due_fires_after_the_messages_and_before_a_step() -> None:
    world, strategy = World(HELLO), DefaultStrategy()
    world.add(RENEW)

    assert world.run(strategy, ["a"], 2) == ["take kvm0>host 1 Hello", "step a"]
    world.flight.now = 5
    assert world.run(strategy, ["a"], 2) == ["timer kvm0>host renew", "step a"]


def test_time_passes_by_itself_only_where_a_timer_is_awaited() -> None:
    """Up to the timer that is awaited; those that run out earlier fire on the way."""
    world = World()
    world.add(RENEW)
    assert DefaultStrategy().choose(world.flight, [], ALL) is None

    world.add(RESEND)
    assert world.run(DefaultStrategy(), [], 3) == ["timer kvm0>host renew", "timer kvm0>host resend", "None"]


@cases("fate", ["drop", "duplicate"])
def test_fault_meets_the_message_it_names(fate: str) -> None:
    world = World(WELCOME, REVOKE, AVAILABLE, REVOKE_2)
    fault = parse_fault(f"{fate}:Revoke:2")
    strategy = DefaultStrategy((fault,))

    expected = ["take host>kvm0 1 Welcome", "take host>kvm0 2 Revoke", "take host>kvm0 3 Available"]
    assert world.run(strategy, [], 3) == expected
    assert world.run(strategy, [], 2) == [
        f"{fate} host>kvm0 4 Revoke f1.1",
        "take host>kvm0 4 Revoke" if fate == "duplicate" else "None",
    ]


def test_overtake_holds_the_message_until_another_is_behind_it() -> None:
    world = World(REVOKE)
    fault = parse_fault("reorder:Revoke:1")
    strategy = DefaultStrategy((fault,))

    assert world.run(strategy, ["a"], 2) == ["step a", "step a"]
    world.send(HELLO)
    assert world.run(strategy, ["a"], 2) == ["take kvm0>host 1 Hello", "step a"]

    world.send(AVAILABLE)
    assert world.run(strategy, ["a"], 3) == ["overtake host>kvm0 3 Available f1.1", "take host>kvm0 2 Revoke", "step a"]


def test_held_message_is_taken_when_nothing_else_can_happen() -> None:
    """It was never overtaken, so it has met no fault."""
    world = World(REVOKE)
    strategy = DefaultStrategy((parse_fault("reorder:Revoke:1"),))

    assert world.run(strategy, [], 2) == ["take host>kvm0 2 Revoke", "None"]


def test_faults_that_never_meet_their_message() -> None:
    strategy = DefaultStrategy((parse_fault("drop:Revoke:9"), parse_fault("drop:SchedIn:1")))

    assert World(REVOKE).run(strategy, [], 2) == ["take host>kvm0 2 Revoke", "None"]


def test_possible() -> None:
    """The default's choice first; only the oldest of a way meets take, drop, duplicate, only the others overtake."""
    world = World(REVOKE, AVAILABLE, HELLO)

    assert [str(d) for d in possible(world.flight, ["b", "c"])] == [
        "take host>kvm0 2 Revoke",
        "drop host>kvm0 2 Revoke",
        "duplicate host>kvm0 2 Revoke",
        "overtake host>kvm0 3 Available",
        "take kvm0>host 1 Hello",
        "drop kvm0>host 1 Hello",
        "duplicate kvm0>host 1 Hello",
        "step b",
        "step c",
    ]


def test_possible_timers_come_last_the_first_due_before_the_others() -> None:
    world = World()
    world.add(RESEND, RENEW)

    assert [str(d) for d in possible(world.flight, ["b"])] == [
        "step b",
        "timer kvm0>host renew",
        "timer kvm0>host resend",
    ]


def test_replay_follows_the_tape() -> None:
    tape: list[Decision] = [Step("b"), Deliver(Fate.DROP, "kvm0", False, 2, "Revoke"), Step("a")]

    assert World(REVOKE).run(ReplayStrategy(tape), ["a", "b"], 3) == [str(d) for d in tape]


@cases(
    "decision",
    [
        Step("d"),
        Deliver(Fate.TAKE, "kvm0", False, 3, "Available"),
        Deliver(Fate.OVERTAKE, "kvm0", False, 2, "Revoke"),
        Deliver(Fate.TAKE, "kvm0", False, 2, "Available"),
        Deliver(Fate.TAKE, "kvm0", True, 2, "Revoke"),
        Deliver(Fate.TAKE, "kvm1", False, 2, "Revoke"),
    ],
    ids=str,
)
def test_replay_names_the_first_divergence(decision: Decision) -> None:
    world, strategy = World(REVOKE, AVAILABLE), ReplayStrategy([Step("a"), decision, Step("z")], "x.tape")
    world.run(strategy, ["a"], 1)

    with pytest.raises(InputError) as error:
        strategy.choose(world.flight, ["a"], ALL)
    assert error.value.place == "x.tape: decision 2"
    assert f"diverges: '{decision}' is not possible here" in str(error.value)
    assert "'take host>kvm0 2 Revoke'" in str(error.value)


def test_tape_too_short() -> None:
    strategy = ReplayStrategy([Step("a")], "x.tape")
    World().run(strategy, ["a"], 1)

    with pytest.raises(InputError, match="the tape ends, but 'step a' is still possible") as error:
        strategy.choose(World().flight, ["a"], ALL)
    assert error.value.place == "x.tape: decision 2"


def test_tape_too_long() -> None:
    with pytest.raises(InputError, match="'step a' is not possible here, expected one of: nothing, the run is over"):
        ReplayStrategy([Step("a")]).choose(World().flight, [], ALL)


def test_tape_as_long_as_the_run() -> None:
    assert ReplayStrategy([]).choose(World().flight, [], ALL) is None


def test_a_tape_may_end_before_a_timer_that_nobody_waits_for() -> None:
    world = World()
    world.add(RENEW)
    assert ReplayStrategy([]).choose(world.flight, [], ALL) is None

    world.flight.now = 5
    with pytest.raises(InputError, match="the tape ends, but 'timer kvm0>host renew' is still possible"):
        ReplayStrategy([]).choose(world.flight, [], ALL)


def test_a_tape_may_not_end_before_a_timer_that_is_awaited() -> None:
    world = World()
    world.add(RESEND)

    with pytest.raises(InputError, match="the tape ends, but 'timer kvm0>host resend' is still possible"):
        ReplayStrategy([]).choose(world.flight, [], ALL)


def test_flight_counts_kinds_over_all_ways() -> None:
    world = World(REVOKE)
    other = Send(session="kvm1", to_host=False, epoch=1, n=1, clock=0, body=Revoke(1, 1, ""))
    sched = Send(session="kvm1", to_host=False, epoch=1, n=2, clock=0, body=SchedIn("v", 0, 0))
    world.send(other, sched)

    heads = world.flight.heads()
    assert [(m.session, m.message, m.ordinal) for m in heads] == [("kvm0", "Revoke", 1), ("kvm1", "Revoke", 2)]
    assert [m.message for m in world.flight.behind(heads[1])] == ["SchedIn"]
