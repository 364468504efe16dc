"""The results of a benchmark, and small statistics."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` in ``unit``; ``aim`` is what was hoped for, "" where nothing was."""

    name: str
    value: float
    unit: str
    aim: str = ""
    note: str = ""


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float], unit: str, scale: float = 1.0) -> str:
    """``min .. max``"""
    return f"{min(values) * scale:.4g} .. {max(values) * scale:.4g} {unit}, {len(values)} rounds"
