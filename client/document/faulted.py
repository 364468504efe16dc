"""Which design keeps which invariant under which kind of fault: runs of the library with the faults of each kind."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from client.litmus import library_path, load
from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FaultKind
from client.litmus.fault_rules import parse_fault
from client.matrix.cell import Cell
from client.matrix.faulted import NO_FAULT, UnderFault
from client.matrix.pool import Row, Task
from client.run.verdict import FAILED
from contract.errors import InputError
from contract.invariants import HELD, INVARIANTS, NOT_EXERCISED, VIOLATED

SCENARIOS = (
    "central-story-in-full",
    "c10-two-vcpus-on-one-cpu",
    "c24-notifier-is-lost-or-late",
    "mech-four-vms-three-kvms",
    "mech-two-kvms-one-cpu",
    "r16-afresh",
    "thread-switch",
    "two-vms-one-cpu",
)
"""Scenarios in which the LBR changes hands while messages are under way. They are enough to show each
invariant that a kind of fault breaks in the library."""
SEEDS = 2
"""The draws that each rule is played with."""
ANYWHERE, NEWS = 0.2, 0.5
"""The probability that a rule meets any message, and that it meets news of the LBR."""
OF_THE_LBR = ("EventCreated", "EventState", "Revoke", "SchedIn")
"""The messages that tell KVM who has the LBR."""


class Faulted(UnderFault):
    """The runs of one design under one kind of fault. ``runs``: those in which the fault met a message. ``violated``:
    those of them that violate an invariant or fail. ``broken``: the invariants that are violated, or ``failed``: a core
    or the player raised an error; with the number of runs.
    ``commands``: these invariants with the command that plays the first run."""

    broken: dict[str, int] = msgspec.field(default_factory=dict)
    commands: dict[str, str] = msgspec.field(default_factory=dict)


class FaultTable(msgspec.Struct):
    """``scenarios``: those that were played. ``rules``: kind of fault to its rules, each for one run of each scenario.
    ``exercised``: design to the invariants that some run could have broken. ``kinds``: kind of fault to design to the
    runs, ``none`` first."""

    scenarios: list[str]
    rules: dict[str, list[str]]
    exercised: dict[str, list[str]]
    kinds: dict[str, dict[str, Faulted]]

    def verdict(self, invariant: str, design: str) -> str:
        """``violated`` if a run without faults violates it, else the kinds of faults under which a run does, joined by
        blanks; ``held`` if there are none; ``not exercised``."""
        broken = [kind for kind, by_design in self.kinds.items() if invariant in by_design[design].broken]
        if NO_FAULT in broken:
            return VIOLATED
        return " ".join(broken) or (HELD if invariant in self.exercised[design] else NOT_EXERCISED)


def rules_of_kind(kind: FaultKind, seeds: int = SEEDS) -> tuple[FaultRule, ...]:
    """The rules that stand for a kind: its example, but for messages drawn by chance; of all messages, and of those
    that tell KVM who has the LBR. If a kind needs its target, the target of the example stays. If it takes no such
    rules, its example stands for it."""
    example = parse_fault(kind.example)
    bare = replace(example, **_SELECTED)
    for one in (bare, replace(bare, target=example.target)):
        anywhere = [replace(one, chance=ANYWHERE, seed=seed) for seed in range(1, seeds + 1)]
        drawn = (*anywhere, *(replace(rule, messages=OF_THE_LBR, chance=NEWS) for rule in anywhere))
        if all(map(has_text, drawn)):
            return drawn
    return (example,)


_SELECTED: dict[str, Any] = {
    "target": "",
    "messages": (),
    "session": "",
    "to_host": None,
    "vcpu": "",
    "event": 0,
    "field": "",
    "first": 1,
    "last": 0,
    "at_time": 0,
    "at_record": 0,
}
"""The fields of a rule that select messages or a place, with their values where nothing is selected."""


def has_text(rule: FaultRule) -> bool:
    """Whether a text can give this rule."""
    try:
        return parse_fault(str(rule)) == rule
    except InputError:
        return False


Played = tuple[str, Task]
"""A kind of fault, and what to run for it."""


def fault_tasks(kinds: Mapping[str, FaultKind], names: Sequence[str] = SCENARIOS, seeds: int = SEEDS) -> list[Played]:
    """All that the table takes, kind by kind, the runs without faults first."""
    scenarios = [load(library_path(name)) for name in names]
    found: list[Played] = [(NO_FAULT, (scenario, ())) for scenario in scenarios]
    for name, kind in kinds.items():
        found += [(name, (scenario, (rule,))) for rule in rules_of_kind(kind, seeds) for scenario in scenarios]
    return found


def fault_table(designs: Sequence[str], tasks: Sequence[Played], rows: Iterable[tuple[int, Row]]) -> FaultTable:
    """The table of the finished ``rows``, each with the number of its task."""
    kinds = dict.fromkeys(kind for kind, _ in tasks)
    table = FaultTable(
        list(dict.fromkeys(scenario.name for _, (scenario, _) in tasks)),
        {kind: list(dict.fromkeys(str(r) for k, (_, rules) in tasks if k == kind for r in rules)) for kind in kinds},
        {},
        {kind: {design: Faulted(0, 0) for design in designs} for kind in kinds},
    )
    exercised: dict[str, set[str]] = {design: set() for design in designs}
    for number, row in rows:
        for cell in row:
            if cell.verdict == FAILED:
                kind, (_, rules) = tasks[number]
                _count(table.kinds[kind][cell.design], cell, [FAILED], rules)
            elif cell.invariants and not cell.unmet:
                exercised[cell.design] |= {n for n, verdict in cell.invariants.items() if verdict != NOT_EXERCISED}
                kind, (_, rules) = tasks[number]
                _count(table.kinds[kind][cell.design], cell, cell.broken, rules)
    table.exercised = {design: [n for n in INVARIANTS if n in found] for design, found in exercised.items()}
    return table


def kind_letters(table: FaultTable) -> dict[str, str]:
    """The letter of each kind of fault."""
    return dict(zip((kind for kind in table.kinds if kind != NO_FAULT), "abcdefghijklmnopqrstuvwxyz", strict=False))


def kind_rows(table: FaultTable, designs: Sequence[str]) -> list[list[str]]:
    """A row for each kind of fault, with its letter: of the runs of each design, how many violate something."""
    letters = kind_letters(table)
    return [
        [f"{letters.get(kind, ' ')} {kind}", *(by_design[design].share for design in designs)]
        for kind, by_design in table.kinds.items()
    ]


def kept_rows(table: FaultTable, designs: Sequence[str]) -> list[list[str]]:
    """A row for each invariant: X, the letters of the kinds of faults that break it, + or a dot, design by design."""
    letters = kind_letters(table)
    return [
        [invariant, *(_kept(table.verdict(invariant, design), letters) for design in designs)]
        for invariant in INVARIANTS
    ]


def _kept(verdict: str, letters: Mapping[str, str]) -> str:
    fixed = {VIOLATED: "X", HELD: "+", NOT_EXERCISED: "."}
    return fixed.get(verdict) or "".join(letters[kind] for kind in verdict.split())


KEPT_LEGEND = ("X broken without a fault", "a b c ... broken under these faults", "+ held", ". not exercised")


def _count(faulted: Faulted, cell: Cell, broken: Sequence[str], rules: Sequence[FaultRule]) -> None:
    faulted.runs += 1
    faulted.violated += bool(broken)
    for invariant in broken:
        faulted.broken[invariant] = faulted.broken.get(invariant, 0) + 1
        faults = "".join(f" --fault {shlex.quote(str(rule))}" for rule in rules)
        faulted.commands.setdefault(invariant, f"lbrlab run {cell.scenario} -d {cell.design}{faults}")
