"""A decision of a tape can be taken exactly where it is among the open ones."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.choices import FREE, allows, possible
from client.schedule.decisions import Decision, Deliver, Fire, Step
from client.schedule.flight import Flight
from client.schedule.schedule import Schedule
from client.schedule.strategies import DefaultStrategy
from contract.network import Fate
from tests.client.check.runs import scenario
from tests.client.drive.test_random_tapes import RACE
from tests.designs import FENCED

RACING = scenario(RACE, head="machine { depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }")
RULES = tuple(map(parse_fault, ("hold SchedIn 1 by 4", "cut kvm0 at Revoke 1 by 5ms", "drop p=0.2 seed=3")))


def alike(decision: Decision) -> Iterator[Decision]:
    """The decision, and others that differ in one thing. Those that a tape may choose freely are left out."""
    yield decision
    match decision:
        case Deliver():
            yield from (replace(decision, fate=fate) for fate in Fate if fate not in FREE)
            yield from (replace(decision, n=decision.n + by) for by in (-1, 1))
            yield replace(decision, to_host=not decision.to_host)
            yield replace(decision, session="kvm1")
            yield replace(decision, message="Ack")
        case Step():
            yield from map(Step, ("host", "vm0/0", "t0"))
        case Fire():
            yield replace(decision, to_host=not decision.to_host)
            yield from (replace(decision, timer=timer) for timer in ("resend", "renew", "lease"))


class Checked:
    """The default with some rules, or any open decision in its place."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.default = DefaultStrategy(RULES)
        self.left = 60
        self.refused = 0

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        choices = possible(flight, threads)
        for decision in {other for choice in choices for other in alike(choice)}:
            assert allows(decision, flight, threads) is (decision in choices), decision
            self.refused += decision not in choices
        usual = self.default.choose(flight, threads, all_threads)
        self.left -= 1
        return self.rng.choice(choices) if choices and self.left > 0 and self.rng.random() < 0.3 else usual


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_a_decision_is_allowed_where_it_is_open(seed: int) -> None:
    checked = Checked(Random(seed))
    run(Inputs(RACING, FENCED, Schedule(other=lambda: checked)))
    assert checked.refused
