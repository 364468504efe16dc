"""A claim, and the runs that its checks use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from client.claims.checks import ClaimCheck
from client.designs import design_named
from client.drive.wire import Wire
from client.litmus import Scenario, library_path, load
from client.litmus.fault_rules import parse_fault
from client.run.file import keep
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from client.schedule.strategies import Strategy


@dataclass(slots=True)
class Lab:
    """Plays the runs that claims need. ``folder``: the folder for run files, None to keep none. ``wire``: None is the
    simulated wire."""

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
        strategy: Callable[[], Strategy] | None = None,
        lets: dict[str, int] | None = None,
        label: str = "",
    ) -> Run:
        """One finished run. ``strategy`` makes a strategy that decides instead of the default one with ``faults``.
        ``label`` distinguishes runs of one scenario and design."""
        story = self.scenario(scenario)
        if lets:
            story = replace(story, lets=story.lets | lets)
            label = label or "-".join(f"{name}{value}" for name, value in lets.items())
        schedule = Schedule(tuple(parse_fault(text) for text in faults), other=strategy)
        played = run(Inputs(story, design_named(design), schedule, self.wire)).finished()
        if self.folder is not None:
            ends = [label, *(text.replace(":", "-") for text in faults)]
            stem = "-".join([scenario, played.design.name, *(end for end in ends if end)])
            keep(played, self.folder / f"{stem}.json")
        return played


Evaluate = Callable[[Lab], Iterator[ClaimCheck]]


@dataclass(frozen=True, slots=True)
class Claim:
    """``author`` made the claim; ``text`` is the claim in our own words."""

    id: str
    author: str
    text: str
    evaluate: Evaluate
