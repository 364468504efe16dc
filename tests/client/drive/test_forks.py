"""A copy of both cores goes on as the original does, and the original does not notice."""

from __future__ import annotations

from random import Random

from client.designs import DESIGNS
from client.drive.play import Player
from client.drive.sim import SimWire
from client.schedule.decisions import Decision
from client.schedule.flight import Flight
from client.schedule.strategies import Strategy
from contract.control import Retire
from contract.trace import canonical
from tests.cases import cases
from tests.client.drive.fork import Kept, fork, give, parts
from tests.library import library_scenario
from tests.schedules import Reckless


class Idle(Strategy):
    """The test decides."""

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        return None


@cases("design", DESIGNS)
@cases("scenario", ["central-story", "mech-migrate-with-lbr", "c03-flexible-event-rotates"])
def test_a_copy_goes_on_as_the_original_does(scenario: str, design: str) -> None:
    """Forked before every seventh input of a run with faults, and given all inputs that follow."""
    forks: list[tuple[int, SimWire]] = []

    def see(wire: Kept) -> None:
        if len(wire.inputs) % 7 == 6:
            forks.append((len(wire.inputs), fork(wire)))

    wire = Kept(see)
    failure = Player(wire, library_scenario(scenario), DESIGNS[design], Reckless(Random(scenario + design))).play()
    assert failure is None
    end = parts(wire)
    for begun, twin in forks:
        for given in wire.inputs[begun:]:
            give(twin, given)
        assert parts(twin) == end, f"forked before input {begun}"


def test_the_copy_writes_a_trace_of_its_own() -> None:
    wire = Kept()
    Player(wire, library_scenario("central-story"), DESIGNS["fenced"], Reckless(Random(1))).play()
    before = canonical(wire.log.records)
    twin = fork(wire)
    twin.perf(Retire(0, 3))
    assert twin.log.records
    assert canonical(wire.log.records) == before


@cases("design", ["merged", "revoke-ack", "fenced", "mediated"])
@cases("scenario", ["central-story", "mech-migrate-with-lbr", "guest-lbr-unit-test"])
def test_a_copy_of_the_player_goes_on_with_the_same_tape(scenario: str, design: str) -> None:
    """Forked before every seventh decision of a run with faults. The guest test is a loop of four decisions a round, so
    that every 31st sees each place of it in several rounds."""
    story, wire = library_scenario(scenario), SimWire()
    player = Player(wire, story, DESIGNS[design], Reckless(Random(design + scenario)))
    player.begin()
    forks: list[tuple[int, Player, SimWire]] = []
    every = 31 if scenario == "guest-lbr-unit-test" else 7
    while (decision := player.choose()) is not None:
        if len(player.tape) % every == 6:
            twin = fork(wire)
            forks.append((len(player.tape), Player(twin, story, player.design, Idle(), player.state.clone()), twin))
        player.carry_out(decision)
    end = parts(wire), player.state.key()
    for begun, copy, twin in forks:
        for decision in player.tape[begun:]:
            copy.carry_out(decision)
        assert (parts(twin), copy.state.key()) == end, f"forked before decision {begun}"
