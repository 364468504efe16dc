"""Samplers: strategies that draw one schedule of a run, with faults by rules.

A run has actors: each thread of the scenario, each direction of a session that delivers its oldest message, and each
timer. A sampler draws the actor that acts next. The rules of faults decide what a message meets when it is delivered,
so each kind of fault that rules can name is part of a sample.

``Uniform`` draws each of the actors that can act with the same probability. It is a random walk: no decision is
favoured, but whole schedules differ in probability.

``Priorities`` is probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler
with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010). Each actor gets a random priority, the highest that can act
acts, and at ``depth - 1`` random decisions of the run the actor that acts falls below all others. In a run of n actors
and at most k decisions it finds a bug that needs ``depth`` ordering constraints with probability 1 / (n k^(depth - 1))
or more, if the bug needs no fault. Two things differ from the paper. A timer falls below all others when it has run
out, because it would be armed again at once and starve the rest. Actors that appear during the run draw their priority
then; n counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from client.litmus.fault import FaultRule
from client.schedule.choices import fire, onward
from client.schedule.decisions import Decision, Step
from client.schedule.flight import Armed, Flight, InFlight
from client.schedule.strategies import DefaultStrategy

WILD = 300
"""Decisions that a sampler draws in a run. The default strategy takes the rest, so each run ends."""
EARLY = 0.1
"""Share of the decisions at which a timer may run out before its time, while something else can happen, by default."""

Actor = tuple[str | bool, ...]


class Sampler:
    """Draws among the actors that can act. ``rng`` belongs to this run alone."""

    def __init__(
        self, rng: Random, faults: tuple[FaultRule, ...] = (), wild: int = WILD, *, early: float = EARLY
    ) -> None:
        self.rng = rng
        self.early = early
        self.left = wild
        """Decisions that are still drawn."""
        self.default = DefaultStrategy(faults)

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if self.left <= 0:
            return self.default.choose(flight, threads, all_threads)
        self.left -= 1
        injector = self.default.injector
        if injector is not None:
            injector.see(flight)
            if (incident := injector.strike(flight)) is not None:
                return incident
        heads, armed = flight.heads(), flight.armed()
        actors: dict[Actor, InFlight | Armed | str] = {("step", thread): thread for thread in threads}
        for head in heads:
            actors["way", head.session, head.to_host] = head
        if not actors and not any(timer.awaited or timer.due <= flight.now for timer in armed):
            # Nothing else can happen: incidents end, or the run does.
            return self.default.choose(flight, threads, all_threads)
        if not actors or self.rng.random() < self.early or (armed and armed[0].due <= flight.now):
            for timer in armed:
                actors["timer", timer.session, timer.to_host, timer.timer] = timer
        while actors:
            actor = self.draw(list(actors))
            decision = self._decision(flight, actors.pop(actor))
            if decision is not None:
                self.acted(actor)
                return decision
        # All messages are held back, and nothing else can happen.
        return self.default.choose(flight, threads, all_threads)

    def _decision(self, flight: Flight, actor: InFlight | Armed | str) -> Decision | None:
        """The decision that lets an actor act. None: the message is held back."""
        if isinstance(actor, str):
            self.default.last = actor
            return Step(actor)
        if isinstance(actor, Armed):
            return fire(actor)
        injector = self.default.injector
        return onward(flight, actor) if injector is None else injector.decide(flight, actor)

    def draw(self, actors: list[Actor]) -> Actor:
        raise NotImplementedError

    def acted(self, actor: Actor) -> None:
        """The actor that was drawn last has acted."""


class Uniform(Sampler):
    def draw(self, actors: list[Actor]) -> Actor:
        return self.rng.choice(actors)


class Priorities(Sampler):
    """``depth``: the number of ordering constraints that it aims at, from 1. ``length``: an estimate of the number of
    decisions in the run."""

    def __init__(
        self,
        rng: Random,
        faults: tuple[FaultRule, ...] = (),
        wild: int = WILD,
        *,
        early: float = EARLY,
        depth: int,
        length: int,
    ) -> None:
        super().__init__(rng, faults, wild, early=early)
        self.priorities: dict[Actor, float] = {}
        self.lowest = 0.0
        """Below the priority of each actor."""
        points = min(depth - 1, max(length, 1))
        self.changes = set(rng.sample(range(max(length, 1)), points))
        """Numbers of the decisions, from 0, at which the actor that acts loses its priority."""
        self.made = 0

    def draw(self, actors: list[Actor]) -> Actor:
        if self.made in self.changes:
            self.changes.remove(self.made)
            self._last(self._highest(actors))
        return self._highest(actors)

    def acted(self, actor: Actor) -> None:
        self.made += 1
        if actor[0] == "timer":
            self._last(actor)

    def _highest(self, actors: Sequence[Actor]) -> Actor:
        for actor in actors:
            if actor not in self.priorities:
                self.priorities[actor] = self.rng.random()
        return max(actors, key=self.priorities.__getitem__)

    def _last(self, actor: Actor) -> None:
        self.lowest -= 1.0
        self.priorities[actor] = self.lowest
