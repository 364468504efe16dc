"""The state of a campaign: its runs and findings so far. A file keeps it, so that a campaign can be continued."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from client.coverage import ALL, GROUPS, Item, group_of
from client.files import json_document, read_content, write_file
from client.search.chunk import ChunkPart, RunNumber, Summary, Suspect
from client.search.plan import CANARY_EVERY, Plan
from client.search.witness import Witness

FORMAT = "lbrlab-campaign"
VERSION = 3
SIZE_LIMIT = 1 << 28
_ITEMS_OF = Counter(map(group_of, ALL))
FORMS_LIMIT = 6
"""Suspects of one design and invariant that are shrunk. Further ones are only counted."""
TRIES_LIMIT = 3
"""Suspects of a design that are shrunk where one witness is wanted, until one of them needs a fault."""


class Found(msgspec.Struct):
    """A finding: all runs with one signature. ``count``: how many runs; ``file``: the name of the file of its witness,
    null if it could not be written."""

    witness: Witness
    count: int
    file: str | None = None


class WatchedSuspect(msgspec.Struct):
    """A suspect and the signature of its finding; "" as long as its run is not shrunk."""

    suspect: Suspect
    count: int
    signature: str = ""


class DesignState(msgspec.Struct):
    """``broken``: runs with something that counts against the design. ``faulted``: runs in which a fault was met;
    ``both``: runs that are both."""

    runs: int = 0
    broken: int = 0
    faulted: int = 0
    both: int = 0


class CampaignState(msgspec.Struct):
    """``todo``: parts that were begun and gave no result. ``chunk``, ``run``: the next run that was not begun.
    ``watched``: suspects by their keys. ``wanted``: runs whose files are to go into the corpus. ``further``: design
    and invariant to runs of forms that are not shrunk. ``items``: item to the first run that exercises it.
    ``seconds``: of CPU, in all workers. ``corpus``: file of the corpus to the designs under which it is not to be
    replayed: it was, or it has a run of this campaign, which is counted."""

    plan: Plan
    format: str = FORMAT
    version: int = VERSION
    todo: list[ChunkPart] = []
    chunk: int = 0
    run: int = 0
    runs: int = 0
    faulted: int = 0
    decisions: int = 0
    seconds: float = 0.0
    replayed: int = 0
    canary_runs: int = 0
    canary_caught: int = 0
    designs: dict[str, DesignState] = {}
    items: dict[Item, RunNumber] = {}
    watched: list[WatchedSuspect] = []
    wanted: list[RunNumber] = []
    further: dict[str, int] = {}
    findings: dict[str, Found] = {}
    corpus: dict[str, list[str]] = {}

    @property
    def begun(self) -> int:
        """Runs that were played or are being played, without those of the canary."""
        return self.runs + sum(part.count for part in self.todo if not self.is_canary(part.chunk))

    def has_played(self, limit: int | None) -> bool:
        """Whether all of ``limit`` runs were played, and their findings are shrunk. False without a limit."""
        return limit is not None and self.runs >= limit and not self.todo and not self.unshrunk()

    def is_canary(self, chunk: int) -> bool:
        return self.plan.canary is not None and chunk % CANARY_EVERY == 0

    def begin_part(self, limit: int | None) -> ChunkPart | None:
        """The next part, which is to do from now on; None if ``limit`` runs have begun. The runs of the canary are not
        counted."""
        left = self.plan.runs - self.run
        if limit is not None and (limit - self.begun) < left:
            left = limit - self.begun
        if left <= 0:
            return None
        part = ChunkPart(self.chunk, self.run, self.plan.runs if self.is_canary(self.chunk) else left)
        self.run += part.count
        if self.run >= self.plan.runs:
            self.chunk, self.run = self.chunk + 1, 0
        self.todo.append(part)
        return part

    def add(self, part: ChunkPart, summary: Summary) -> list[Suspect]:
        """Count a part that was played, in the order in which the parts were begun. Gives the suspects that are to be
        shrunk."""
        self.todo.remove(part)
        self.seconds += summary.seconds
        self.canary_runs += summary.canary_runs
        self.canary_caught += summary.canary
        if not summary.runs:
            return []
        self.runs += summary.runs
        self.faulted += summary.faulted
        self.decisions += summary.decisions
        of_design = self.designs.setdefault(summary.design, DesignState())
        of_design.runs += summary.runs
        of_design.broken += summary.broken
        of_design.faulted += summary.faulted
        of_design.both += summary.both
        for item, run in summary.items.items():
            self.items.setdefault(item, RunNumber(part.chunk, run))
        for invariant, count in summary.further.items():
            self._count_further(summary.design, invariant, count)
        return [suspect for suspect in summary.suspects if self._watch(suspect)]

    def _watch(self, suspect: Suspect) -> bool:
        """Count a suspect. True if it has a new form, which the caller then shrinks."""
        alike = 0
        for watched in self.watched:
            known = watched.suspect
            if known.key == suspect.key:
                watched.count += suspect.count
                if watched.signature:
                    self.findings[watched.signature].count += suspect.count
                return False
            same = known.invariant == suspect.invariant or self.plan.one_witness
            alike += known.design == suspect.design and same
        if alike >= (self._tries(suspect.design) if self.plan.one_witness else FORMS_LIMIT):
            self._count_further(suspect.design, suspect.invariant, suspect.count)
            return False
        self.watched.append(WatchedSuspect(suspect, suspect.count))
        return True

    def _count_further(self, design: str, invariant: str, count: int) -> None:
        what = f"{design}; {invariant}"
        self.further[what] = self.further.get(what, 0) + count

    def _tries(self, design: str) -> int:
        """How many suspects of a design are shrunk for its one witness: more than one if the first needs no fault."""
        found = [each.witness for each in self.findings.values() if each.witness.design == design]
        return 1 if any(witness.faults for witness in found) or not self.plan.kinds else TRIES_LIMIT

    def unshrunk(self) -> list[WatchedSuspect]:
        return [watched for watched in self.watched if not watched.signature]

    def settle(self, suspect: Suspect, witness: Witness) -> Found | None:
        """Group a shrunk suspect by its signature. Gives the finding if its witness is new or smaller."""
        watched = next(watched for watched in self.watched if watched.suspect == suspect)
        watched.signature = witness.signature
        return self.find(witness, watched.count)

    def find(self, witness: Witness, count: int) -> Found | None:
        """Count runs with this signature. Gives the finding if its witness is new or smaller, or as small and of an
        earlier run: workers end in any order."""
        found = self.findings.get(witness.signature)
        if found is None:
            self.findings[witness.signature] = Found(witness, count)
            return self.findings[witness.signature]
        found.count += count
        if _order(witness) >= _order(found.witness):
            return None
        found.witness = witness
        return found

    def coverage(self) -> dict[str, tuple[int, int]]:
        """Group to the number of its items that were exercised, and of all."""
        covered = Counter(map(group_of, self.items))
        return {group: (covered[group], _ITEMS_OF[group]) for group in GROUPS}


def _order(witness: Witness) -> tuple[int, RunNumber]:
    """The least witness of a finding is kept: of two of one size that of the earlier run, whichever comes first."""
    return witness.statements + len(witness.faults), witness.run


def load_state(path: Path) -> CampaignState:
    """Raises InputError that names the file and what is wrong."""
    return json_document(read_content(path, SIZE_LIMIT), CampaignState, path, "file of a campaign", FORMAT, VERSION)


def save_state(state: CampaignState, path: Path) -> None:
    """Write the whole file, or nothing. Raises InputError naming the path."""
    write_file(path, msgspec.json.encode(state) + b"\n")
