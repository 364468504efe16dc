"""Tapes that claims ask for beyond the default one."""

from __future__ import annotations

from client.drive.flight import Flight
from client.tape.decisions import Decision, Step
from client.tape.policy import DefaultPolicy, deliver
from contract.inbox import Fate


class InOrder:
    """The threads step in a given order, one step for each name, then in turn; everything is delivered at once."""

    def __init__(self, threads: list[str]) -> None:
        self.left = list(threads)
        self.default = DefaultPolicy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if not flight.heads() and self.left and self.left[0] in threads:
            return Step(self.left.pop(0))
        return self.default.choose(flight, threads, all_threads)


class Late:
    """The default tape, but that one message, and what is behind it on its way, comes only when no thread can step."""

    def __init__(self, message: str, which: int = 1) -> None:
        self.late = message, which
        self.default = DefaultPolicy()
        self.applied = False

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        heads = flight.heads()
        for head in heads:
            if (head.message, head.which) != self.late:
                return deliver(Fate.TAKE, head)
        if not heads:
            return self.default.choose(flight, threads, all_threads)
        self.applied = True
        if threads:
            return Step(self.default.next_thread(threads, all_threads))
        return deliver(Fate.TAKE, heads[0])
