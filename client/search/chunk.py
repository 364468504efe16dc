"""Play a part of a chunk, and sum it up in so little that millions of parts need no memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from client.coverage import Item, exercised, fault_items, verdict_items
from client.drive.wire import Wire
from client.run.failure import failure_form, form_of
from client.run.run import Run, run_or_failure
from client.run.verdict import FAILED
from client.search.counted import counted
from client.search.plan import Chunk, Plan, chunk_of, inputs_of

SUSPECTS_LIMIT = 20
"""Suspects that a chunk reports."""


class RunNumber(msgspec.Struct, frozen=True, order=True):
    """A run of a plan."""

    chunk: int
    run: int


class ChunkPart(msgspec.Struct, frozen=True, order=True):
    """``count`` runs of a chunk from run ``first``, from 0."""

    chunk: int
    first: int
    count: int


class Suspect(msgspec.Struct, frozen=True):
    """A run that counts against a design. ``invariant``: the violated invariant, or FAILED. ``form``: the text of the
    first violation without its numbers. ``text``: with them. ``count``: how many runs of the chunk are of this
    form."""

    design: str
    invariant: str
    form: str
    text: str
    run: RunNumber
    count: int = 1

    @property
    def key(self) -> tuple[str, str, str]:
        return self.design, self.invariant, self.form


class Summary(msgspec.Struct):
    """``broken``: the number of runs with something that counts. ``faulted``: the number of runs in which a fault was
    met. ``both``: the number of runs with both. ``items``: each item that was exercised, to the first run that does.
    ``canary``: the runs of the canary that broke as they must; these and the canary's other runs are in no other
    number. ``further``: invariant to runs of forms beyond SUSPECTS_LIMIT. ``seconds``: of CPU."""

    design: str
    runs: int = 0
    broken: int = 0
    faulted: int = 0
    both: int = 0
    decisions: int = 0
    seconds: float = 0.0
    canary_runs: int = 0
    canary: int = 0
    items: dict[Item, int] = {}
    suspects: list[Suspect] = []
    further: dict[str, int] = {}


def play_run(plan: Plan, number: RunNumber) -> Run:
    """One run of a plan. Raises KeyboardInterrupt where Ctrl-C ended it."""
    run = run_or_failure(inputs_of(plan, chunk_of(plan, number.chunk), number.run))
    if run.interrupted:
        raise KeyboardInterrupt
    return run


def against(plan: Plan, run: Run) -> dict[str, str]:
    """Invariant, or FAILED, to the text of what counts against the design of a run."""
    if run.interrupted:
        raise KeyboardInterrupt
    if run.failure is not None:
        return {FAILED: str(run.failure)}
    return {name: violation.text for name, violation in counted(run, plan.condition).items()}


def play_part(plan: Plan, part: ChunkPart, wire: Wire | None = None) -> Summary:
    """Some runs of a chunk, each judged. ``wire``: to given services; if one of them fails, SystemFailedError."""
    chunk = chunk_of(plan, part.chunk)
    summary = Summary(chunk.design.name)
    begun = time.process_time()
    suspects: dict[tuple[str, str, str], Suspect] = {}
    for at in range(part.first, part.first + part.count):
        _play_one(plan, chunk, RunNumber(part.chunk, at), summary, suspects, wire)
    summary.suspects = list(suspects.values())
    summary.seconds = time.process_time() - begun
    return summary


def play_parts(plan: Plan, parts: Sequence[ChunkPart], wire: Wire | None = None) -> list[Summary]:
    """Each part, as ``play_part``."""
    return [play_part(plan, part, wire) for part in parts]


def _note_items(summary: Summary, run: Run, number: int) -> bool:
    """Whether a fault was met."""
    verdicts = {finding.invariant: finding.verdict for finding in run.findings}
    kinds = fault_items(run.faults, run.applied)
    for item in exercised(run.records) | verdict_items(verdicts) | kinds:
        summary.items.setdefault(item, number)
    return bool(kinds)


def _play_one(
    plan: Plan,
    chunk: Chunk,
    number: RunNumber,
    summary: Summary,
    suspects: dict[tuple[str, str, str], Suspect],
    wire: Wire | None,
) -> None:
    try:
        run = run_or_failure(replace(inputs_of(plan, chunk, number.run), wire=wire))
        found = against(plan, run)
    except Exception as error:  # An error of a monitor is a finding, like a violation.
        run, found = None, {FAILED: f"{type(error).__name__}: {error}"}
    if wire is not None and run is not None:
        run.finished()
    if chunk.canary:
        summary.canary_runs += 1
        summary.canary += plan.canary_breaks in found
        return
    summary.runs += 1
    if run is not None:
        summary.decisions += len(run.tape)
        faulted = _note_items(summary, run, number.run)
        summary.faulted += faulted
        summary.both += faulted and bool(found)
    summary.broken += bool(found)
    for invariant, text in found.items():
        form = failure_form(run.failure) if run is not None and run.failure is not None else form_of(text)
        suspect = Suspect(chunk.design.name, invariant, form, text, number)
        known = suspects.get(suspect.key)
        if known is not None:
            suspects[suspect.key] = msgspec.structs.replace(known, count=known.count + 1)
        elif len(suspects) < SUSPECTS_LIMIT:
            suspects[suspect.key] = suspect
        else:
            summary.further[invariant] = summary.further.get(invariant, 0) + 1
