"""Random schedules of a story, each as unkind as the condition of a claim allows."""

from __future__ import annotations

from random import Random

from client.drive.flight import Flight
from client.tape.decisions import Decision, Deliver, Fire
from client.tape.policy import DefaultPolicy, possible, unfinished
from contract.design import Condition
from contract.inbox import Fate


class Reckless:
    """Any decision that ``condition`` allows, faults and timers among them but not as often; after ``wild`` of them
    the default's."""

    def __init__(self, rng: Random, condition: Condition = Condition.ANY, wild: int = 60) -> None:
        self.rng = rng
        self.condition = condition
        self.left = wild
        self.calm = DefaultPolicy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if self.left <= 0 or (self.condition is Condition.PROMPT and flight.heads()):
            return self.calm.choose(flight, threads, all_threads)
        self.left -= 1
        choices = [choice for choice in possible(flight, threads) if self._allowed(choice)]
        if not choices or not unfinished(flight, threads):
            return None
        return self.rng.choices(choices, [_weight(choice) for choice in choices])[0]

    def _allowed(self, choice: Decision) -> bool:
        return self.condition is Condition.ANY or not isinstance(choice, Deliver) or choice.fate is Fate.TAKE


def _weight(choice: Decision) -> float:
    """The host is slow, so that a guest has the LBR when it comes to want it."""
    if isinstance(choice, Deliver):
        return 1.0 if choice.fate is Fate.TAKE else 0.1
    return 0.1 if isinstance(choice, Fire) or choice.thread.startswith("host") else 1.0
