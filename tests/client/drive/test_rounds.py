"""A scenario that repeats the same round comes back to the same state of all: cores, network, player, monitors."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from client.check.judge import Checker
from client.designs import DESIGNS
from client.drive.play import Player
from client.drive.sim import SimWire
from client.litmus import Scenario
from client.schedule.choices import possible
from client.schedule.decisions import Decision, Step
from client.schedule.strategies import DefaultStrategy
from contract.canonical import canonical, marked
from contract.errors import LbrlabError
from contract.trace import Setup
from tests.cases import cases
from tests.client.check.runs import ONE_CPU, ordered
from tests.client.drive.fork import fork, parts

HEAD = ONE_CPU + "\ntask t0;"
BEGIN = "branch 8 on cpu0"
OPEN = "host: h0 = open cpu0 pinned branch any;"
USE = """
    host: branch 16;
    host: s = sample h0;
    vm0/0: branch 8;
    host: close h0;
    host: run t0 on cpu0;
    host: run vm0/0 on cpu0;
    vm0/0: cpuid;
    vm0/0: wrmsr DEBUGCTL, LBR;
    vm0/0: wrmsr DEBUGCTL, LBR;
    vm0/0: branch 8;
    vm0/0: t = rdmsr LBR_TOS;
    vm0/0: f = rdmsr LBR_FROM[0];
    vm0/0: wrmsr DEBUGCTL, 0;
    vm0/0: cpuid;
"""
ROUND = f"host: {BEGIN}; {OPEN} {USE}"
IN_THE_MIDDLE = f"{OPEN} host: {BEGIN}; {USE}"
"""The host's event is open at the point where a round begins. Each round gives it a new name."""
TIME = "host: advance 8ms;"
designs = cases("design", ["merged", "revoke-ack", "fenced", "mediated"])


def rounds(body: str) -> Scenario:
    return ordered(f"host: run vm0/0 on cpu0; host: n = 1; host: while n = 1 {{ {body} }}", head=HEAD)


class Whole:
    """A run that can be copied: services, player, and monitors that see its records."""

    def __init__(self, player: Player, wire: SimWire, checker: Checker | None = None) -> None:
        self.player, self.wire, self.checker = player, wire, checker
        self.judged = 0

    def judge(self) -> None:
        records, self.judged = self.wire.log.records[self.judged :], len(self.wire.log.records)
        for record in records:
            if isinstance(record, Setup):
                self.checker = Checker(record, evidence=False)
            assert self.checker is not None
            self.checker.take(record)

    def clone(self) -> Whole:
        self.judge()
        wire, of = fork(self.wire), self.player
        assert self.checker is not None
        player = Player(wire, of.scenario, of.design, DefaultStrategy(), of.state.clone())
        return Whole(player, wire, self.checker.clone())

    def parts(self) -> Hashable:
        self.judge()
        assert self.checker is not None
        return parts(self.wire), self.player.state.key(), self.checker.key()

    def key(self) -> Hashable:
        return canonical(self.parts(), self.player.flight.now)

    def begins_a_round(self, decision: Decision | None) -> bool:
        if not isinstance(decision, Step):
            return False
        thread = self.player.threads[decision.thread]
        return not thread.running and thread.current is not None and thread.current.stmt.text() == BEGIN


def after(number: int, design: str, body: str = ROUND) -> Whole:
    """After so many rounds."""
    wire = SimWire()
    whole = Whole(Player(wire, rounds(body), DESIGNS[design], DefaultStrategy()), wire)
    whole.player.begin()
    while True:
        decision = whole.player.choose()
        assert decision is not None
        number -= whole.begins_a_round(decision)
        if number < 0:
            return whole
        whole.player.carry_out(decision)


@designs
@cases("body", [ROUND, ROUND + TIME, IN_THE_MIDDLE], ids=["at once", "in time", "in the middle"])
def test_the_same_round_leads_to_the_same_key(design: str, body: str) -> None:
    third, sixth = after(3, design, body), after(6, design, body)
    assert third.parts() != sixth.parts(), "the numbers themselves go on"
    assert third.key() == sixth.key()


def carried_out(whole: Whole, which: int) -> tuple[str, Hashable]:
    """One of the possible decisions: how it failed, and its records with the state after it, not yet renamed."""
    begun = len(whole.wire.log.records)
    choices = possible(whole.player.flight, [name for name in whole.player.threads if not whole.player.obstacle(name)])
    if not choices:
        return "nothing is possible", ()
    failed = ""
    try:
        whole.player.carry_out(choices[which % len(choices)])
    except LbrlabError as error:
        failed = type(error).__name__
    return failed, (marked(whole.wire.log.records[begun:]), whole.parts())


@cache
def ends(design: str, body: str) -> tuple[Whole, Whole]:
    return after(3, design, body), after(6, design, body)


@cases("body", [ROUND, IN_THE_MIDDLE], ids=["at once", "in the middle"])
@cases("design", ["merged", "revoke-ack", "fenced", "mediated"])
@settings(max_examples=15)
@given(choices=st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 5, 7]), min_size=10, max_size=60))
def test_equal_keys_go_on_alike(design: str, body: str, choices: list[int]) -> None:
    """Under any schedule, faults included: the states on the way with all records are the same, renamed at once."""
    pair = [end.clone() for end in ends(design, body)]
    ways: list[list[Hashable]] = [[end.parts()] for end in pair]
    began = [end.player.flight.now for end in pair]
    for which in choices:
        told = [carried_out(end, which) for end in pair]
        for way, each in zip(ways, told, strict=True):
            way.append(each)
        if any(failed for failed, _ in told):
            break
    third, sixth = (canonical(tuple(way), now) for way, now in zip(ways, began, strict=True))
    assert third == sixth


def test_a_copy_goes_on_by_itself() -> None:
    whole = after(3, "fenced")
    before = whole.parts()
    twin = whole.clone()
    assert twin.parts() == before
    for _ in range(30):
        carried_out(twin, 0)
    assert whole.parts() == before != twin.parts()
