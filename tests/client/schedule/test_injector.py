"""Which message meets which rule, and what is then decided."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from client.designs import DESIGNS
from client.drive.sim import SimWire
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.choices import possible
from client.schedule.faults import SHOWN
from client.schedule.schedule import Schedule, Tape
from client.schedule.strategies import DefaultStrategy
from contract.messages import Ack, EventCreated, EventState, Revoke, SchedIn
from contract.trace import Delivery, Discard, Send, canonical
from tests.cases import cases
from tests.client.litmus.test_fault_rules import rules
from tests.client.schedule.test_strategies import AVAILABLE, HELLO, REVOKE, REVOKE_2, WELCOME, World
from tests.library import library_scenario

STORY = library_scenario("central-story")


def decided(world: World, *texts: str, threads: tuple[str, ...] = (), limit: int = 9) -> list[str]:
    """The decisions up to the first step."""
    strategy = DefaultStrategy(tuple(map(parse_fault, texts)))
    found = []
    for _ in range(limit):
        found += world.run(strategy, list(threads), 1)
        if found[-1] == "None":
            break
    return found


def met(world: World, *texts: str) -> list[str]:
    """The messages that are lost, by direction and number, with the fault."""
    lost = [line.split() for line in decided(world, *texts) if line.startswith("drop")]
    return [f"{route} {n} {fault}" for _, route, n, _, fault in lost]


def host_sends(*bodies: object, session: str = "kvm0") -> list[Send]:
    return [Send(session, False, 1, n, 0, body) for n, body in enumerate(bodies, 1)]  # type: ignore[arg-type]


@cases(
    ("rule", "expected"),
    [
        ("drop Revoke", ["host>kvm0 2 f1.1", "host>kvm0 4 f1.2"]),
        ("drop Revoke 1", ["host>kvm0 2 f1.1"]),
        ("drop Revoke 2", ["host>kvm0 4 f1.1"]),
        ("drop Revoke from 2", ["host>kvm0 4 f1.1"]),
        ("drop host> first 2", ["host>kvm0 1 f1.1", "host>kvm0 2 f1.2"]),
        ("drop >host", ["kvm0>host 1 f1.1"]),
        ("drop session kvm0 Hello,Welcome", ["host>kvm0 1 f1.1", "kvm0>host 1 f1.2"]),
        ("drop kvm1>host", []),
        ("drop event 2", ["host>kvm0 4 f1.1"]),
        ("drop Revoke 3", []),
        ("drop SchedIn", []),
    ],
)
def test_what_a_rule_selects(rule: str, expected: list[str]) -> None:
    assert met(World(WELCOME, REVOKE, AVAILABLE, REVOKE_2, HELLO), rule) == expected


@cases(
    ("rule", "expected"),
    [
        ("drop after 4ns", ["host>kvm0 2 f1.1"]),
        ("drop before 4ns", ["host>kvm0 1 f1.1"]),
        ("drop after record 9", ["host>kvm0 2 f1.1"]),
        ("drop before record 9", ["host>kvm0 1 f1.1"]),
    ],
)
def test_windows_begin_with_their_limit_and_end_before_it(rule: str, expected: list[str]) -> None:
    world = World()
    world.add(replace(WELCOME, time=3, seq=8), replace(REVOKE, time=4, seq=9))
    assert met(world, rule) == expected


def test_a_vcpu_is_found_through_its_event_and_grant() -> None:
    bodies = (EventCreated("a/0", 1, 7), EventCreated("b/0", 1, 8), EventState(8, "ACTIVE", 0, 5), SchedIn("b/0", 0, 0))
    world = World(*host_sends(*bodies, Revoke(7, 4, "")), Send("kvm0", True, 1, 1, 0, Ack(5)))
    assert met(world, "drop b/0") == ["host>kvm0 2 f1.1", "host>kvm0 3 f1.2", "host>kvm0 4 f1.3", "kvm0>host 1 f1.4"]


def test_the_first_rule_decides_and_each_counts_for_itself() -> None:
    world = World(WELCOME, REVOKE, AVAILABLE, REVOKE_2)
    assert met(world, "drop Revoke 1", "drop host> from 2") == [
        "host>kvm0 2 f1.1",
        "host>kvm0 3 f2.2",
        "host>kvm0 4 f2.3",
    ]


def test_a_probability_draws_for_each_message() -> None:
    sends = host_sends(*(SchedIn("a/0", 0, 0) for _ in range(400)))
    strategy = DefaultStrategy((parse_fault("drop SchedIn p=0.25 seed=1"),))
    lost = [line for line in World(*sends).run(strategy, [], 400) if line.startswith("drop")]
    assert 70 < len(lost) < 130
    other = DefaultStrategy((parse_fault("drop SchedIn p=0.25 seed=2"),))
    assert lost != [line for line in World(*sends).run(other, [], 400) if line.startswith("drop")]


def test_several_messages_overtake() -> None:
    world = World(WELCOME, REVOKE, AVAILABLE)
    assert decided(world, "reorder Welcome by 2") == [
        "overtake host>kvm0 2 Revoke f1.1",
        "overtake host>kvm0 3 Available f1.1",
        "take host>kvm0 1 Welcome",
        "None",
    ]


def test_a_delay_counts_decisions() -> None:
    world = World(REVOKE, AVAILABLE)
    assert decided(world, "delay Revoke by 3", threads=("a",), limit=6) == [
        *["step a"] * 3, "take host>kvm0 2 Revoke f1.1", "take host>kvm0 3 Available", "step a"
    ]  # fmt: skip
    assert decided(World(REVOKE), "delay Revoke by 3") == ["take host>kvm0 2 Revoke f1.1", "None"]


def test_a_delay_lasts_until_its_time() -> None:
    world = World(REVOKE)
    strategy = DefaultStrategy((parse_fault("delay Revoke by 4ns"),))
    assert world.run(strategy, ["a"], 2) == ["step a", "step a"]
    world.flight.now = 4
    assert world.run(strategy, ["a"], 2) == ["take host>kvm0 2 Revoke f1.1", "step a"]


def test_time_goes_on_where_only_a_delayed_message_is_left() -> None:
    assert decided(World(REVOKE), "delay Revoke by 4ns") == ["time 4", "take host>kvm0 2 Revoke f1.1", "None"]


def test_a_hold_keeps_all_behind_and_then_lets_it_go() -> None:
    world = World(REVOKE, AVAILABLE, HELLO)
    assert decided(world, "hold Revoke by 2", threads=("a",), limit=8) == [
        "hold host>kvm0 2 Revoke f1.1",
        "take kvm0>host 1 Hello",
        "step a",
        "release host>kvm0 2 Revoke f1.1",
        "take host>kvm0 2 Revoke",
        "take host>kvm0 3 Available",
        *["step a"] * 2,
    ]
    expected = ["hold host>kvm0 2 Revoke f1.1", "release host>kvm0 2 Revoke f1.1", "take host>kvm0 2 Revoke", "None"]
    assert decided(World(REVOKE), "hold Revoke by 9") == expected
    assert decided(World(REVOKE), "hold Revoke by 9ns") == [expected[0], "time 9", *expected[1:]]


def test_a_tape_that_ends_in_a_hold_goes_on_with_the_release() -> None:
    world = World(REVOKE)
    world.run(DefaultStrategy((parse_fault("hold Revoke by 9"),)), ["a"], 1)
    assert [str(d) for d in possible(world.flight, ["a"])] == ["release host>kvm0 2 Revoke", "step a"]
    assert world.run(DefaultStrategy(), ["a"], 2) == ["release host>kvm0 2 Revoke", "take host>kvm0 2 Revoke"]


def test_a_damaged_message_is_as_good_as_lost() -> None:
    """Under a design that repairs the stream it comes again; under the others it is gone."""
    for design, found in (("fenced", []), ("revoke-gp", ["one-owner"])):
        rules = [parse_fault(rule) for rule in ("drop Revoke 1", "corrupt Revoke 1", "corrupt Revoke field grant 1")]
        lost, *damaged = (run(Inputs(STORY, DESIGNS[design], Schedule((rule,)))) for rule in rules)
        assert [name for name in lost.broken() if name == "one-owner"] == found
        for one, field in zip(damaged, (UNSET, "grant"), strict=True):
            (fate,) = (record for record in one.of(Delivery) if record.fate == "corrupt")
            refused, *_ = one.of(Discard)
            assert (fate.field, refused.rule, refused.n) == (field, "R25", fate.n)
            assert one.broken() == lost.broken()


def test_only_a_message_with_the_field_fits() -> None:
    told = run(Inputs(STORY, DESIGNS["fenced"], Schedule((parse_fault("corrupt field task"),))))
    assert {record.message for record in told.of(Delivery) if record.fault} == {"RegisterVcpu"}


NOWHERE = {"at_time": 0, "at_record": 0}
UNMET = st.sampled_from(
    [
        {"session": "kvm9", **NOWHERE},
        {"vcpu": "vm9/0", **NOWHERE},
        {"event": 999, **NOWHERE},
        {"messages": ("Overflow",), **NOWHERE},
        {"first": 999, "last": 0, **NOWHERE},
        {"after": 10**15, **NOWHERE},
        {"after_record": 10**8, **NOWHERE},
        {"before_record": 1, **NOWHERE},
        {"chance": 1e-300, "first": 1, "last": 1},
    ]
)
MATCHING = st.sampled_from([(), ("drop p=0.1 seed=1",), ("delay host> by 2ms", "cut kvm0 at Revoke 1 by 20ms")])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(rules(), UNMET), min_size=1, max_size=3),
    MATCHING,
    st.sampled_from(["revoke-gp", "revoke-ack", "fenced"]),
)
def test_rules_that_match_nothing_change_nothing(drawn: list, texts: tuple[str, ...], design: str) -> None:
    """Each selector alone can match nothing, and other rules before them meet what they meet without them."""
    others = tuple(map(parse_fault, texts))
    faults = tuple(replace(rule, **beside) for rule, beside in drawn)
    faulted, plain = (run(Inputs(STORY, DESIGNS[design], Schedule(given))) for given in (others + faults, others))
    assert canonical(faulted.records) == canonical(plain.records)
    assert (faulted.tape, faulted.applied) == (plain.tape, plain.applied + [False] * len(faults))


@settings(max_examples=40, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=3), st.sampled_from(["revoke-gp", "revoke-ack", "fenced"]))
def test_the_tape_needs_no_rules(faults: list, design: str) -> None:
    wide = tuple(replace(rule, session="", vcpu="", event=0, after_record=0, messages=()) for rule in faults)
    played = run(Inputs(STORY, DESIGNS[design], Schedule(wide)))
    again = run(Inputs(STORY, DESIGNS[design], Schedule(tape=Tape(played.tape)), SimWire()))
    assert canonical(again.records) == canonical(played.records)
    ids = {r.fault for r in played.records if isinstance(r, SHOWN) and r.fault}
    assert {f"f{n}" for n, on in enumerate(played.applied, 1) if on} == {each.partition(".")[0] for each in ids}


@cases(
    "rule",
    [
        *("drop", "duplicate", "reorder", "delay by 2ms", "corrupt", "corrupt field grant", "hold by 3"),
        *("cut", "cut host>", "cut >host by 4ms", "stall", "clock rate 1.25"),
    ],
)
def test_the_tape_of_each_kind_needs_no_rules(rule: str) -> None:
    played = run(Inputs(STORY, DESIGNS["revoke-gp"], Schedule((parse_fault(f"{rule} Revoke"),))))
    again = run(Inputs(STORY, DESIGNS["revoke-gp"], Schedule(tape=Tape(played.tape))))
    assert canonical(again.records) == canonical(played.records)
