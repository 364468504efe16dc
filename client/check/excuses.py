"""The excuses of a trace: its faults after which a monitor judges something less, as the monitor's definition says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from client.check.judge import MONITORS, Finding
from contract.invariants import NOT_EXERCISED
from contract.trace import AnyRecord, Crash, Killed


class Excuse(msgspec.Struct, frozen=True):
    """``after``: the fault, which is record ``seq``. ``text``: the excused part of the judgement, and the reason."""

    invariant: str
    after: str
    seq: int
    text: str


def fault_of(record: AnyRecord) -> str:
    """The fault that a record stands for, as definitions name it; "" for any other record."""
    if isinstance(record, Crash):
        return "crash kvm" if record.host < 0 else "crash perfcore"
    return f"end {record.scope}" if isinstance(record, Killed) else ""


def _named(fault: str, record: AnyRecord) -> str:
    return fault.replace("crash", "shutdown") if isinstance(record, Crash) and record.orderly else fault


def excuses_of(records: Iterable[AnyRecord], findings: Iterable[Finding]) -> list[Excuse]:
    """The excuses of the invariants that the trace exercised, each with the first fault that it is about. The end of a
    service that was told to stop excuses what its crash does, and is named as it was."""
    first: dict[str, AnyRecord] = {}
    for record in records:
        if fault := fault_of(record):
            first.setdefault(fault, record)
    if not first:
        return []
    exercised = {finding.invariant for finding in findings if finding.verdict != NOT_EXERCISED}
    return [
        Excuse(monitor.name, _named(fault, first[fault]), first[fault].seq, text)
        for monitor in MONITORS
        if monitor.name in exercised
        for fault, text in monitor.definition.excuses
        if fault in first
    ]


def by_text(excuses: Mapping[str, str]) -> dict[str, list[str]]:
    """The faults with the same text. ``excuses``: fault to text; "As for F." is the text of the fault F."""
    found: dict[str, list[str]] = {}
    for fault, text in excuses.items():
        same = text.removeprefix("As for ").removesuffix(".")
        found.setdefault(excuses.get(same, text), []).append(fault)
    return found


def all_excuses() -> dict[str, dict[str, str]]:
    """Invariant to fault to the excused part of the judgement, for the invariants that excuse anything."""
    return {monitor.name: dict(monitor.definition.excuses) for monitor in MONITORS if monitor.definition.excuses}
