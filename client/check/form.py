"""The form of a single record in a trace, without regard to earlier records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from contract.provenance import SERIAL_LIMIT
from contract.trace import AnyRecord, EventChange, EventFailed, EventOpen, Pmi, Retired, TaskExit


def _cpu(least: int, cpus: int, r: Any) -> None:
    if not least <= r.cpu < cpus:
        raise ValueError(f"cpu = {r.cpu}, expected {least} to {cpus - 1}")


def _burst(cpus: int, r: Retired | Pmi) -> None:
    _cpu(0, cpus, r)
    if r.count < 1 or not 0 <= r.first <= SERIAL_LIMIT - r.count:
        raise ValueError(f"{r.count} branches from serial {r.first}, serials are 0 to {SERIAL_LIMIT - 1}")


_NO_CPU = (EventChange, EventFailed, EventOpen, TaskExit)
"""Records that name no CPU if their event or task has none."""

FORM: dict[type, Callable[[int, Any], None]] = {
    kind: partial(_cpu, -1 if kind in _NO_CPU else 0) for kind in get_args(AnyRecord) if "cpu" in kind.__struct_fields__
} | {Retired: _burst, Pmi: _burst}
"""Type of record to a check. The check takes the number of CPUs and the record, and raises ValueError."""
