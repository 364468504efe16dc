"""Other tapes for a smaller run: without a fault, without the steps of statements that are gone, closer to the default
schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from msgspec.structs import replace

from client.litmus import Scenario
from client.schedule.decisions import Decision, Deliver, Step, is_fault, without_fault
from client.shrink.candidate import Candidate, Tape


def without_faults(case: Candidate, numbers: Sequence[int]) -> Tape:
    """The tape of a case without the faults in these decisions."""
    alone = all(map(is_fault, case.tape))
    left: list[Decision] = []
    for number, decision in enumerate(case.tape):
        if number not in numbers:
            left.append(decision)
        elif not alone:
            left += without_fault(decision)
    return left


def unnamed(decision: Decision) -> Decision:
    """A decision that breaks nothing, without the name of the rule that delayed it: the shrunk run has no rules."""
    return replace(decision, fault="") if isinstance(decision, Deliver) and not is_fault(decision) else decision


def more_usual(case: Candidate) -> Iterator[Tape]:
    """The tape with one decision taken first that the default strategy would take there."""
    tape = list(case.run.tape)
    for number, usual in case.unusual:
        if usual is not None and not is_fault(tape[number]):
            rest = tape[number:]
            if usual in rest:
                rest.remove(usual)
            yield [*tape[:number], usual, *rest]


def without_steps(case: Candidate, less: Candidate) -> Iterator[Tape]:
    """The tape of a case without the steps of statements that a smaller run, ``less``, carries out less often: of the
    last times, or of the first times. With these steps, what a thread does behind them comes too early for the other
    threads."""
    if all(map(is_fault, case.tape)):
        return
    left, kept = less.carried_out(), {step.printed for step in less.scenario.steps()}
    extra = {}
    for line, times in case.carried_out().items():
        fewer = len(times) - len(left.get(line, []))
        # A statement that is still there and is never carried out is one that its thread does not reach any more.
        if fewer > 0 and (line not in kept or line in left):
            extra[line] = times, fewer
    tried = []
    for last in (True, False):
        gone = set(chain.from_iterable(chain.from_iterable(t[-n:] if last else t[:n] for t, n in extra.values())))
        if gone and gone not in tried:
            tried.append(gone)
            yield [decision for number, decision in enumerate(case.tape) if number not in gone]


def renamed(tape: Tape, scenario: Scenario) -> Tape:
    """The tape with the names of the threads in a scenario from which actors were taken away."""
    names = {actor: block.name for block in scenario.blocks for actor in block.actors}
    known = {name: next((names[a] for a in name.split("+") if a in names), name) for name in _threads(tape)}
    return [replace(d, thread=known[d.thread]) if isinstance(d, Step) else d for d in tape]


def _threads(tape: Tape) -> set[str]:
    return {decision.thread for decision in tape if isinstance(decision, Step)}
