"""The robustness of designs: a small campaign for each kind of fault, with a shrunk witness of each design."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from client.files import write_file
from client.matrix.faulted import NO_FAULT, UnderFault
from client.search.campaign import Campaign, CampaignLimits
from client.search.corpus import Corpus
from client.search.plan import Plan, Source
from client.search.state import DesignState, Found
from client.workers.pool import Pool
from contract.design import Design

RUNS_OF_A_SCENARIO = 5
"""Runs that a scenario has in a cell, at most: a cell is to meet many scenarios."""


class RobustCell(UnderFault):
    """One design under one kind of fault. ``runs``: those in which the fault was met, or all without faults.
    ``violated``: those of them with something that counts against the design. ``invariant``, ``text``, ``faults``,
    ``statements``: of the shrunk witness, whose run file is ``run``; null and empty without one."""

    invariant: str | None = None
    text: str | None = None
    faults: list[str] = msgspec.field(default_factory=list)
    statements: int = 0
    run: str | None = None

    @property
    def needs_no_fault(self) -> bool:
        """Whether its witness has lost its faults while it was shrunk: the order of messages alone breaks the
        design."""
        return self.run is not None and not self.faults


@dataclass(frozen=True, slots=True)
class Robustness:
    """``kinds``: kind of fault to design to the cell, ``none`` first. ``played``: the runs of each. ``cut_short``: the
    kind in which Ctrl-C came."""

    kinds: dict[str, dict[str, RobustCell]] = field(default_factory=dict)
    played: list[int] = field(default_factory=list)
    cut_short: list[str] = field(default_factory=list)


def robustness(
    designs: Sequence[Design],
    sources: Sequence[Source],
    kinds: Sequence[str],
    runs: int,
    seed: int,
    folder: Path,
    pool: Pool,
    told: Callable[[str, Campaign], None] = lambda kind, campaign: None,
) -> Robustness:
    """Play ``runs`` runs of each design under each kind of fault alone, and without faults. On KeyboardInterrupt
    it gives the runs so far; another call with the same folder continues."""
    found = Robustness()
    chunk = next(size for size in range(min(runs, RUNS_OF_A_SCENARIO), 0, -1) if runs % size == 0)
    for kind in (NO_FAULT, *kinds):
        plan = Plan(
            seed,
            tuple(designs),
            tuple(sources),
            () if kind == NO_FAULT else (kind,),
            stories=False,
            all_kinds=True,
            runs=chunk,
            one_witness=True,
        )
        place = folder / kind
        place.mkdir(parents=True, exist_ok=True)
        campaign = Campaign(plan, place, pool, Corpus(place / "corpus", 0), partial(told, kind))
        try:
            campaign.play(CampaignLimits(runs * len(designs)))
        except KeyboardInterrupt:
            found.cut_short.append(kind)
        found.kinds[kind] = dict(_cells(campaign, kind, folder))
        found.played.append(campaign.state.runs)
        if found.cut_short:
            break
    return found


def _cells(campaign: Campaign, kind: str, folder: Path) -> Iterator[tuple[str, RobustCell]]:
    state = campaign.state
    for design in state.plan.designs:
        counts = state.designs.get(design.name, DesignState())
        runs, violated = (counts.runs, counts.broken) if kind == NO_FAULT else (counts.faulted, counts.both)
        cell = RobustCell(runs, violated)
        witnesses = [f for f in state.findings.values() if f.witness.design == design.name]
        if violated and witnesses:
            found = min(witnesses, key=lambda f: (not f.witness.faults, f.witness.run, f.witness.signature))
            _show(cell, found, campaign.witness_file(found), folder / f"{design.name}-{kind}.json")
        yield design.name, cell


def _show(cell: RobustCell, found: Found, kept: Path | None, path: Path) -> None:
    """The witness of a cell, in a file that is named after the cell."""
    shown = found.witness
    cell.invariant, cell.text, cell.faults, cell.statements = (
        shown.invariant,
        shown.text,
        shown.faults,
        shown.statements,
    )
    if kept is not None:
        write_file(path, kept.read_bytes())
        cell.run = str(path)
