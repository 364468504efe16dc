"""A walk through a run, decision by decision, on the simulated wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

from client.drive.play import Player
from client.drive.sim import SimWire
from client.litmus import Scenario
from client.litmus.fault import FaultRule
from client.run.run import Run
from client.schedule.choices import allows, deliver, possible
from client.schedule.decisions import Decision, Deliver, Fire, Step
from client.schedule.flight import Flight
from client.schedule.lenient import plain
from client.schedule.schedule import Schedule
from client.schedule.strategies import DefaultStrategy
from contract.design import Design
from contract.errors import InputError, LbrlabError, PeerContractError, SystemFailedError
from contract.network import Fate

SPACING = 16
"""A checkpoint is kept every so many decisions. To undo, the walk goes on from the nearest one."""


@dataclass(slots=True)
class Checkpoint:
    """The whole state of a walk after the decisions of its player's tape."""

    player: Player
    usual: DefaultStrategy

    def clone(self) -> Checkpoint:
        of = self.player
        assert isinstance(of.wire, SimWire)
        usual = deepcopy(self.usual)
        twin = Player(of.wire.clone(), of.scenario, of.design, usual, of.state.clone())
        twin.tape = of.tape[:]
        return Checkpoint(twin, usual)


class Walk:
    """``faults``: rules that the default schedule obeys, behind those of the scenario."""

    def __init__(self, scenario: Scenario, design: Design, faults: Sequence[FaultRule] = ()) -> None:
        self.faults = Schedule(tuple(faults)).behind(scenario.faults).faults
        usual = DefaultStrategy(self.faults)
        self.at = Checkpoint(Player(SimWire(), scenario, design, usual), usual)
        self.over = False
        """The end of the run is on record."""
        self.moves: list[tuple[int, int]] = []
        """For each move, the numbers of decisions and of records before it."""
        self.at.player.begin()
        self.checkpoints = [self.at.clone()]

    @property
    def tape(self) -> list[Decision]:
        """Every decision so far."""
        return self.at.player.tape

    @property
    def run(self) -> Run:
        """The run so far."""
        player = self.at.player
        return Run(player.scenario, player.design, "sim", self.faults, self.tape[:], player.wire.log.records[:])

    @property
    def records(self) -> int:
        """The number of records so far."""
        return len(self.at.player.wire.log.records)

    # Open decisions ---------------------------------------------------------------------------------------

    @cached_property
    def usual(self) -> tuple[Decision | None, DefaultStrategy]:
        """The decision of the default schedule, None at its end; and the state of the strategy if it is taken. A
        message that was held by hand is released when nothing else can happen without time passing."""
        if not self.over and (held := self._held_by_hand()):
            around = self._around(held)
            if around is not None:
                return around
        asked = deepcopy(self.at.usual)
        self.at.player.strategy = asked
        return (None if self.over else self.at.player.choose()), asked

    def _held_by_hand(self) -> list[tuple[str, bool]]:
        """The ways that are held by no rule of faults."""
        holds = {(d.session, d.to_host): d.fault for d in self.tape if isinstance(d, Deliver) and d.fate is Fate.HOLD}
        return [way for way in self.at.player.flight.held if not holds.get(way)]

    def _around(self, held: Sequence[tuple[str, bool]]) -> tuple[Decision, DefaultStrategy] | None:
        """``usual`` as if nothing were in flight on these ways; None if then only time could pass."""
        player, asked = self.at.player, deepcopy(self.at.usual)
        flight: Flight = player.flight.clone()
        if asked.injector is not None:
            # The rules see what is hidden below; this is one decision, and choose() counts it again.
            asked.injector.see(flight)
            asked.injector.decisions -= 1
        for way in held:
            flight.queues.pop(way, None)
        decision = asked.choose(flight, player.ready(), list(player.threads))
        if isinstance(decision, Fire):
            now = flight.timers[decision.session, decision.to_host, decision.timer].due <= flight.now
            return (decision, asked) if now else None
        return (decision, asked) if isinstance(decision, Step | Deliver) else None

    @property
    def choices(self) -> list[Decision]:
        """The open decisions, that of the default schedule first. Every fate of a message that can be taken is among
        them."""
        if self.over:
            return []
        usual, flight = self.usual[0], self.at.player.flight
        found: list[Decision] = []
        for choice in possible(flight, self.at.player.ready()):
            found.append(choice)
            if isinstance(choice, Deliver) and choice.fate is Fate.DUPLICATE:
                message = next(m for m in flight.heads() if (m.session, m.to_host) == (choice.session, choice.to_host))
                found += [deliver(fate, message) for fate in (Fate.HOLD, Fate.CORRUPT)]
        return found if usual is None else [usual, *(each for each in found if each != plain(usual))]

    @property
    def blocked(self) -> dict[str, str]:
        """The threads that cannot step, and why."""
        player = self.at.player
        return {name: why for name in player.threads if (why := player.obstacle(name))}

    # Moves -------------------------------------------------------------------------------------------------

    def take(self, decisions: Sequence[Decision]) -> None:
        """Take these decisions as one move. Raises InputError if one of them is not possible or the scenario asks for
        something impossible, and SystemFailedError if a side breaks the contract; then nothing has changed."""
        with self._move():
            for decision in decisions:
                self._take(decision)

    def go_on(self, count: int) -> int:
        """Take up to so many decisions of the default schedule as one move. Gives their number. Raises as ``take``."""
        before = len(self.tape)
        with self._move():
            while len(self.tape) < before + count and (decision := self.usual[0]) is not None:
                self._take(decision)
        return len(self.tape) - before

    def finish(self) -> None:
        """Let the default schedule go on to the end of the run, as one move. Raises as ``take``."""
        with self._move():
            while (decision := self.usual[0]) is not None:
                self._take(decision)
            self.at.player.rest()
            self.over = True
            self._forget()

    def undo(self, moves: int) -> None:
        """Undo the last moves. Raises InputError if there are fewer."""
        if not 1 <= moves <= len(self.moves):
            raise InputError(f"there are {len(self.moves)} moves to undo" if self.moves else "nothing to undo")
        decisions, _ = self.moves[-moves]
        self._back_to(decisions)
        del self.moves[-moves:]

    def _take(self, decision: Decision) -> None:
        usual, asked = self.usual
        player = self.at.player
        if decision == usual:
            self.at.usual = asked
        else:
            self._check(decision)
            self._leave(decision)
        player.carry_out(decision)
        self._forget()
        if len(self.tape) % SPACING == 0:
            self.checkpoints.append(self.at.clone())

    def _check(self, decision: Decision) -> None:
        player = self.at.player
        if not allows(decision, player.flight, player.ready()):
            offered = ", ".join(f"'{each}'" for each in self.choices[:4]) or "nothing, the run is over"
            raise InputError(f"'{decision}' is not possible here; possible: {offered}")

    def _leave(self, decision: Decision) -> None:
        """The default schedule is left: its rules still see each message, and its threads go on in turn."""
        usual = self.at.usual
        if usual.injector is not None:
            usual.injector.see(self.at.player.flight)
        if isinstance(decision, Step):
            usual.last = decision.thread

    def _forget(self) -> None:
        self.__dict__.pop("usual", None)

    @contextmanager
    def _move(self) -> Iterator[None]:
        if self.over:
            raise InputError("the run is over; u undoes the last move")
        decisions, records = before = len(self.tape), self.records
        try:
            yield
        except KeyboardInterrupt:
            # The last decision may be half done.
            self._back_to(max(decisions, len(self.tape) - 1))
            self.moves.append(before)
            raise
        except LbrlabError as error:
            self._back_to(decisions)
            if isinstance(error, PeerContractError):
                raise SystemFailedError("contract", str(error)) from None
            raise
        if self.records > records:
            self.moves.append(before)

    def _back_to(self, decisions: int) -> None:
        tape = self.tape[:]
        while len(self.checkpoints[-1].player.tape) > decisions:
            self.checkpoints.pop()
        self.at, self.over = self.checkpoints[-1].clone(), False
        self._forget()
        for decision in tape[len(self.tape) : decisions]:
            self._take(decision)
