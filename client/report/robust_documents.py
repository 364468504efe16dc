"""The document of ``matrix --faults all --json``."""

from __future__ import annotations

import msgspec

from client.search.robustness import RobustCell


class RobustDocument(msgspec.Struct):
    """``matrix --faults all``. ``kinds``: kind of fault to design to the cell, ``none`` first. ``runs``: all that were
    played. ``cut_short``: whether kinds are missing."""

    verdict: str
    exit_code: int
    cut_short: bool
    seed: int
    runs: int
    designs: list[str]
    scenarios: list[str]
    kinds: dict[str, dict[str, RobustCell]]
