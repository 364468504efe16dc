"""The document of ``cost --json``."""

from __future__ import annotations

import msgspec

from client.cost.measure import Cost, Curve


class PriceDocument(msgspec.Struct):
    """Cycles of one operation, and where that is published."""

    low: int
    typical: int
    high: int
    source: str


class CostDocument(msgspec.Struct):
    """``cost``. ``curve``: cycles over one let of the scenario, null where it has none. ``picture``: the file."""

    scenario: str
    prices: dict[str, PriceDocument]
    designs: list[Cost]
    curve: Curve | None
    picture: str | None
