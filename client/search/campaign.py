"""Play a campaign on a pool: parts of the plan, the shrinking of their findings, and the state in its file.

The parent process keeps counts only. Workers play, judge and shrink, and give back summaries and run files.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.files import write_file
from client.search.chunk import ChunkPart, RunNumber, Summary, Suspect, play_parts
from client.search.corpus import Corpus
from client.search.plan import Plan
from client.search.state import CampaignState, Found, load_state, save_state
from client.search.undisturbed import undisturbed
from client.search.witness import Witness, replay, run_file, witness
from client.workers.pool import Pool
from client.workers.tasks import Tasks
from contract.errors import InputError

STATE = "campaign.json"
FINDINGS = "findings"
SAVE_EVERY = 5.0
"""Seconds between two writings of the state."""


@dataclass(frozen=True, slots=True)
class CampaignLimits:
    """``runs``: of the whole campaign; ``seconds``: from now on. None: no limit."""

    runs: int | None = None
    seconds: float | None = None


class Campaign:
    """``state`` is valid at any time. ``began``: the number of runs when it began or was continued."""

    def __init__(
        self, plan: Plan, folder: Path, pool: Pool, corpus: Corpus, told: Callable[[Campaign], None] = lambda _: None
    ) -> None:
        """``folder`` may hold a campaign with the same plan: it is continued. ``told`` is called after each result.
        Raises InputError if the folder holds another campaign."""
        self.folder, self.pool, self.corpus, self.told = folder, pool, corpus, told
        self.state = CampaignState(plan)
        if (folder / STATE).exists():
            self.state = load_state(folder / STATE)
            if self.state.plan != plan:
                raise InputError("holds a campaign with other options; choose another folder", str(folder / STATE))
        self.began = self.state.runs
        self.started = self.saved = time.monotonic()
        self.tasks: Tasks[Any] = Tasks(pool)
        self._shrinking = 0
        """Suspects that are being shrunk."""
        self._held: dict[ChunkPart, Summary] = {}
        """Parts that were played and are not counted yet, because their turn has not come."""

    @property
    def elapsed(self) -> float:
        """Seconds since it began or was continued."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Runs in a second since then."""
        return (self.state.runs - self.began) / max(self.elapsed, 1e-9)

    def play(self, limits: CampaignLimits) -> None:
        """Play to the limits. On KeyboardInterrupt, and on any other exception, the state is saved as it is."""
        try:
            for found in self.state.findings.values():
                if found.witness.file:
                    self._found(found)
            self._replay_corpus()
            for watched in self.state.unshrunk():
                self._shrink(watched.suspect)
            for number in self.state.wanted:
                self._want(number)
            again = list(self.state.todo)
            while True:
                while len(self.tasks) < self.pool.ahead() and not self._out_of_time(limits):
                    parts = self._begin_parts(again, limits)
                    if not parts:
                        break
                    self.tasks.add(parts, play_parts, self.state.plan, parts)
                got = self.tasks.take()
                if got is None:
                    break
                self._take(*got)
        finally:
            self.save()

    def _begin_parts(self, again: list[ChunkPart], limits: CampaignLimits) -> tuple[ChunkPart, ...]:
        """The parts of the next call, those of ``again`` first; fewer near the end, so that all workers end together.
        Empty if all have begun."""
        begun: list[ChunkPart] = []
        count = self.pool.together
        if limits.runs is not None:
            left = len(again) + (limits.runs - self.state.begun) // self.state.plan.runs
            count = max(1, min(count, left // (2 * self.pool.ahead())))
        while len(begun) < count and (part := again.pop(0) if again else self.state.begin_part(limits.runs)):
            begun.append(part)
        return tuple(begun)

    def save(self) -> None:
        save_state(self.state, self.folder / STATE)
        self.saved = time.monotonic()

    def _out_of_time(self, limits: CampaignLimits) -> bool:
        return limits.seconds is not None and self.elapsed >= limits.seconds

    def _replay_corpus(self) -> None:
        plan = self.state.plan
        for number, (name, content) in enumerate(self.corpus.files()):
            known = self.state.corpus.get(Path(name).name, [])
            for design in (each for each in plan.designs if each.name not in known):
                self.tasks.add(("replay", name, design.name), replay, plan, content, name, number, design)
            while len(self.tasks) >= self.pool.ahead():
                self._take_next()
        while self.tasks:
            self._take_next()

    def _take_next(self) -> None:
        got = self.tasks.take()
        if got is not None:
            self._take(*got)

    def _take(self, key: Any, result: Any) -> None:
        match key:
            case (ChunkPart(), *_):
                self._held |= zip(key, result, strict=True)
                self._count_held()
            case Suspect():
                self._shrinking -= 1
                self._keep(result.file)
                with undisturbed():
                    self._found(self.state.settle(key, result))
                self._count_held()
            case RunNumber():
                self._keep(result)
                self.state.wanted.remove(key)
            case ("replay", name, design):
                with undisturbed():
                    self.state.replayed += 1
                    self.state.corpus.setdefault(Path(name).name, []).append(design)
                    for each in result:
                        self._found(self.state.find(each, 1))
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()
        self.told(self)

    def _keep(self, content: bytes) -> None:
        """Put a run of this campaign into the corpus. When the campaign continues it is not replayed: it was
        counted."""
        name = self.corpus.add(content)
        if name in self.corpus.names:
            self.state.corpus[name] = [design.name for design in self.state.plan.designs]

    def _count_held(self) -> None:
        """Count what was played, in the order in which it was begun: what is shrunk depends on what was counted before,
        and each pool is to find the same. Where one witness is wanted, it depends on what was shrunk before, too."""
        while self.state.todo and (part := self.state.todo[0]) in self._held:
            if self.state.plan.one_witness and self._shrinking:
                return
            self._count(part, self._held.pop(part))

    def _count(self, part: ChunkPart, summary: Summary) -> None:
        known, new = len(self.state.items), list[RunNumber]()
        with undisturbed():
            suspects = self.state.add(part, summary)
            if len(self.state.items) > known and not self.corpus.full:
                runs = {RunNumber(part.chunk, run) for run in summary.items.values()}
                new = sorted(runs & set(self.state.items.values()))
                self.state.wanted += new
        for suspect in suspects:
            self._shrink(suspect)
        for number in new:
            self._want(number)

    def _want(self, number: RunNumber) -> None:
        """Play a run once more, for its file."""
        self.tasks.add(number, run_file, self.state.plan, number)

    def _shrink(self, suspect: Suspect) -> None:
        self._shrinking += 1
        self.tasks.add(suspect, witness, self.state.plan, suspect)

    def _found(self, found: Found | None) -> None:
        """Keep the witness of a finding in its file."""
        if found is None:
            return
        name = f"{name_of(found.witness)}.json"
        write_file(self.folder / FINDINGS / name, found.witness.file)
        found.witness.file = b""
        found.file = name

    def witness_file(self, found: Found) -> Path | None:
        """Where the witness of a finding is now: the folder may have been moved. None if it is not there."""
        path = self.folder / FINDINGS / Path(found.file or "").name
        return path if path.is_file() else None


def name_of(witness: Witness) -> str:
    """A name for the file of a finding."""
    parts = [witness.design, witness.invariant, *witness.faults]
    text = re.sub(r"[^A-Za-z0-9.=+-]+", "-", "-".join(parts))[:80].strip("-")
    return f"{text}-{zlib.crc32(witness.signature.encode()):08x}"
