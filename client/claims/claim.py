"""A claim, what checks it, and the runs that its checks look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from client.check.automaton import Violation
from client.check.verdict import Verdict, verdict_on
from client.designs import design_named
from client.drive.play import INTERRUPTED, Player
from client.drive.sim import SimWire
from client.drive.wire import Wire
from client.litmus import Scenario, library_path, load
from client.matrix.cell import operations_of
from client.run_file import run_file, save
from client.schedule.faults import Fault, parse_fault
from client.schedule.strategies import DefaultStrategy, Strategy
from contract.design import Design
from contract.trace import AnyRecord, Retired

R = TypeVar("R", bound=AnyRecord)


class Check(msgspec.Struct):
    """``design``: under which design; ``expected``: what the claim says of it; ``found``: what the trace says;
    ``agrees``: whether that is the same. ``run``: file of the run that shows it, ``seq`` the record in it (0: none in
    particular)."""

    design: str
    expected: str
    found: str
    agrees: bool
    run: str | None = None
    seq: int = 0


@dataclass(slots=True)
class Run:
    """One run with what the checks ask of it."""

    scenario: Scenario
    design: Design
    records: list[AnyRecord]
    verdict: Verdict
    path: Path | None

    def of(self, kind: type[R]) -> list[R]:
        return [record for record in self.records if isinstance(record, kind)]

    def violation(self, invariant: str) -> Violation | None:
        finding = next(f for f in self.verdict.findings if f.invariant == invariant)
        return finding.violations[0] if finding.violations else None

    def broken(self) -> list[str]:
        return [f.invariant for f in self.verdict.findings if f.verdict == "violated"]

    def of_invariant(self, invariant: str) -> str:
        return next(f.verdict for f in self.verdict.findings if f.invariant == invariant)

    def register(self, name: str) -> int | str | None:
        """A register, ``host:s0``, or a field of one, ``host:s0.guest``; None if it never got a value."""
        name, _, part = name.partition(".")
        value = self.verdict.outcome.get(name)
        if isinstance(value, dict):
            return value.get(part)
        return value

    @property
    def operations(self) -> dict[str, int]:
        return operations_of(self.records)

    def recorded_of_host(self) -> list[Retired]:
        return [r for r in self.of(Retired) if r.recorded and not r.guest]

    # Checks ----------------------------------------------------------------------------------------------

    def check(self, expected: str, found: str, agrees: bool, seq: int = 0) -> Check:
        return Check(self.design.name, expected, found, agrees, str(self.path) if self.path else None, seq)

    def violates(self, *invariants: str) -> Check:
        """All of them are expected to be violated."""
        return self._invariants(invariants, "violated")

    def violates_any(self, *invariants: str) -> Check:
        """At least one of them is."""
        wanted = " or ".join(invariants)
        broken = [name for name in invariants if self.of_invariant(name) == "violated"]
        found = self._say(invariants)
        violation = self.violation(broken[0]) if broken else None
        return self.check(f"{wanted} violated", found, bool(broken), violation.seq if violation else 0)

    def holds(self, *invariants: str) -> Check:
        """None of them is violated, and one at least is exercised."""
        names = invariants or tuple(f.invariant for f in self.verdict.findings)
        broken = [name for name in names if self.of_invariant(name) == "violated"]
        exercised = any(self.of_invariant(name) == "held" for name in names)
        violation = self.violation(broken[0]) if broken else None
        expected = f"{', '.join(invariants) or 'everything'} held"
        return self.check(expected, self._say(names), not broken and exercised, violation.seq if violation else 0)

    def shows(self, *invariants: str) -> Check:
        """Nothing was claimed of this: what comes out is told."""
        names = invariants or tuple(f.invariant for f in self.verdict.findings)
        violation = next((v for name in names if (v := self.violation(name))), None)
        return self.check("to be computed", self._say(names), True, violation.seq if violation else 0)

    def _invariants(self, names: tuple[str, ...], verdict: str) -> Check:
        agrees = all(self.of_invariant(name) == verdict for name in names)
        violation = next((v for name in names if (v := self.violation(name))), None)
        expected = f"{', '.join(names)} {verdict}"
        return self.check(expected, self._say(names), agrees, violation.seq if violation else 0)

    def _say(self, names: tuple[str, ...]) -> str:
        broken = [name for name in names if self.of_invariant(name) == "violated"]
        if broken:
            first = self.violation(broken[0])
            text = f": {first.text}" if first else ""
            return f"{', '.join(broken)} violated{text}"
        held = [name for name in names if self.of_invariant(name) == "held"]
        idle = [name for name in names if self.of_invariant(name) == "not exercised"]
        is_open = [name for name in names if self.of_invariant(name) == "open"]
        parts = [f"{', '.join(is_open)} open"] if is_open else []
        if len(names) > 4:
            return ", ".join([f"{len(held)} held", *parts, f"{len(idle)} not exercised"])
        parts = [*([f"{', '.join(held)} held"] if held else []), *parts]
        return "; ".join([*parts, *([f"{', '.join(idle)} not exercised"] if idle else [])])


@dataclass(slots=True)
class Lab:
    """Plays what claims ask for. ``folder``: where run files go, None to keep none. ``wire``: the simulated one if none
    is given."""

    folder: Path | None
    wire: Wire | None = None
    scenarios: dict[str, Scenario] = field(default_factory=dict)

    def scenario(self, name: str) -> Scenario:
        if name not in self.scenarios:
            self.scenarios[name] = load(library_path(name))
        return self.scenarios[name]

    def play(
        self,
        scenario: str,
        design: str,
        *,
        faults: tuple[str, ...] = (),
        strategy: Strategy | None = None,
        lets: dict[str, int] | None = None,
        label: str = "",
    ) -> Run:
        """``strategy`` decides instead of the default tape with ``faults``; ``label`` tells runs of one scenario and
        design apart."""
        story = self.scenario(scenario)
        if lets:
            story = replace(story, lets=story.lets | lets)
            label = label or "-".join(f"{name}{value}" for name, value in lets.items())
        chosen = design_named(design)
        parsed: tuple[Fault, ...] = tuple(parse_fault(text) for text in faults)
        decider = strategy or DefaultStrategy(parsed)
        played = Player(self.wire or SimWire(), story, chosen, decider).play()
        if played.failure is not None:
            raise KeyboardInterrupt if played.failure.reason == INTERRUPTED else played.failure
        path = None
        if self.folder is not None:
            ends = [label, *(text.replace(":", "-") for text in faults)]
            stem = "-".join([scenario, chosen.name, *(end for end in ends if end)])
            path = self.folder / f"{stem}.json"
            save(run_file(played, parsed), path)
        return Run(story, chosen, played.records, verdict_on(story, played.records), path)


Evaluate = Callable[[Lab], Iterator[Check]]


@dataclass(frozen=True, slots=True)
class Claim:
    """``who`` made it; ``text`` in our own words."""

    id: str
    who: str
    text: str
    evaluate: Evaluate
