"""The format of recorded cases: one JSON document for each line, with inputs and observations. Times in milliseconds.

A file may also hold lines of ``{id, condition, observed}``: the same case on another kernel. They need the case itself
in one of the files given together.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import msgspec

from client.files import json_value, read_content
from client.litmus.spelling import unknown
from contract.errors import InputError
from contract.spec import COUNTERS_LIMIT

SIZE_LIMIT = 1 << 28


class RecordedEvent(msgspec.Struct):
    id: str
    scope: str
    task: str | None
    pinned: bool
    exclusive: bool
    group: str | None
    open_disabled: bool
    bound_to_cpu: bool
    config: str


class RecordedOp(msgspec.Struct):
    op: str
    event: str


class RecordedPhase(msgspec.Struct):
    at_ms: float
    ops: list[RecordedOp]


class Share(msgspec.Struct):
    """``ratio`` is running / enabled within the phase, None if no enabled time passed; ``error``: read(2) gave 0
    bytes."""

    ratio: float | None = None
    first: float | None = None
    spread: float | None = None
    all: list[float | None] = []
    error: bool = False


class ObservedPhase(msgspec.Struct):
    """``snapshot_ms``: the time at which the events were read, after the operations and before the next ones."""

    op_errno: int | list[int]
    snapshot_ms: tuple[float, float]
    op_done_ms: list[float]
    events: dict[str, Share]


class Observed(msgspec.Struct):
    """Ticks of the multiplex timer were at ``tick_phase_ms`` + k * interval."""

    tick_phase_ms: float
    phases: list[ObservedPhase]


class Case(msgspec.Struct):
    id: str
    counters: int
    mux_interval_ms: float
    duration_ms: float
    tasks: list[str]
    schedule: list[tuple[str, float]] | None
    events: list[RecordedEvent]
    phases: list[RecordedPhase]
    observed: Observed
    unstable: bool = False
    sensitive: bool = False
    condition: str = "6.12"

    @property
    def name(self) -> str:
        return self.id if self.condition == "6.12" else f"{self.id} on {self.condition}"

    @property
    def soft(self) -> bool:
        """Several outcomes are right, because boots or kernels disagree."""
        return self.unstable or self.sensitive


Brief = float | str | None | list[float | str | None]
"""A share in short form: a ratio, ``off``, ``E`` for ERROR, or a list with one of these for each boot if boots
differ."""


class OtherPhase(msgspec.Struct):
    op_errno: int | list[int]
    snapshot_ms: tuple[float, float]
    events: dict[str, Brief]
    op_done_ms: list[float] | None = None


class OtherObserved(msgspec.Struct):
    phases: list[OtherPhase]
    tick_phase_ms: float | None = None
    unstable: bool = False


class OtherCondition(msgspec.Struct):
    id: str
    condition: str
    observed: OtherObserved


def _on_condition(base: Case, other: OtherCondition) -> Case:
    """The case on another kernel. Data not recorded there (the times of operations and ticks) come from the main
    record."""
    phases = []
    for seen, main in zip(other.observed.phases, base.observed.phases, strict=True):
        done = seen.op_done_ms or [min(ms, seen.snapshot_ms[0]) for ms in main.op_done_ms]
        phases.append(ObservedPhase(seen.op_errno, seen.snapshot_ms, done, _spelled_out(seen.events)))
    tick = other.observed.tick_phase_ms
    observed = Observed(base.observed.tick_phase_ms if tick is None else tick, phases)
    return msgspec.structs.replace(
        base, observed=observed, condition=other.condition, unstable=base.unstable or other.observed.unstable
    )


def _spelled_out(events: dict[str, Brief]) -> dict[str, Share]:
    shares = {}
    for name, brief in events.items():
        boots = brief if isinstance(brief, list) else [brief]
        ratios = [b if isinstance(b, float) else None for b in boots]
        shares[name] = Share(ratio=ratios[0], all=ratios, error=boots[0] == "E")
    return shares


def load_cases(paths: list[Path]) -> list[Case]:
    """All cases of these files, in order. Raises InputError naming file, line and place."""
    cases: list[Case] = []
    others: list[tuple[str, OtherCondition]] = []
    for path in paths:
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            if b'"condition"' in line[:400]:
                others.append((place, json_value(line, OtherCondition, place, "recorded case")))
            else:
                cases.append(_checked(json_value(line, Case, place, "recorded case"), place))
    known = {case.id: case for case in cases}
    for place, other in others:
        base = known.get(other.id)
        if base is None:
            raise InputError(f"the case {other.id!r} itself is in none of the files", place)
        if len(other.observed.phases) != len(base.phases):
            text = f"{other.id}: {len(base.phases)} phases, {len(other.observed.phases)} observed"
            raise InputError(text, place)
        cases.append(_checked(_on_condition(base, other), place))
    return cases


def _lines(path: Path) -> list[bytes]:
    content = read_content(path, SIZE_LIMIT)
    try:
        return (lzma.decompress(content) if path.suffix == ".xz" else content).splitlines()
    except lzma.LZMAError as error:
        raise InputError(f"not an xz file: {error}", str(path)) from None


def _checked(case: Case, place: str) -> Case:
    """Checks that the types cannot express."""
    if fault := _unplayable(case):
        raise InputError(f"{case.id}: {fault}", place)
    names = {event.id for event in case.events}
    ops = [op for phase in case.phases for op in phase.ops]
    if strange := [op.event for op in ops if op.event not in names]:
        raise InputError(f"{case.id}: operation on an event {strange[0]!r} that is not described", place)
    if strange := [op.op for op in ops if op.op not in OPERATIONS]:
        raise InputError(f"{case.id}: {unknown('operation', strange[0], OPERATIONS)}", place)
    if len(case.observed.phases) != len(case.phases):
        text = f"{case.id}: {len(case.phases)} phases, {len(case.observed.phases)} observed"
        raise InputError(text, place)
    for phase, seen in zip(case.phases, case.observed.phases, strict=True):
        if len(phase.ops) != len(seen.op_done_ms):
            raise InputError(f"{case.id}: {len(phase.ops)} operations, {len(seen.op_done_ms)} done", place)
    return case


def _unplayable(case: Case) -> str:
    """Why the model cannot replay these inputs; "" if it can."""
    times = [ms for seen in case.observed.phases for ms in (*seen.snapshot_ms, *seen.op_done_ms)]
    if not 1 <= case.mux_interval_ms <= LONGEST_MS:
        return f"mux_interval_ms = {case.mux_interval_ms:g}, expected 1 to {LONGEST_MS:g}"
    if not 1 <= case.counters <= COUNTERS_LIMIT:
        return f"counters = {case.counters}, expected 1 to {COUNTERS_LIMIT}"
    if not all(0 <= ms <= LONGEST_MS for ms in (case.duration_ms, case.observed.tick_phase_ms, *times)):
        return f"a time is negative or beyond {LONGEST_MS:g} ms"
    if case.schedule is not None and not (case.schedule and all(slot >= 0.1 for _, slot in case.schedule)):
        return "a schedule needs slots, each of 0.1 ms or more"
    tasks = {event.task for event in case.events if event.task} | {
        who for who, _ in case.schedule or [] if who != "idle"
    }
    if unknown := tasks - set(case.tasks):
        return f"unknown task {sorted(unknown)[0]!r}"
    return ""


LONGEST_MS = 100_000.0
OPERATIONS = ("open", "close", "enable", "disable", "enable_group", "disable_group")
