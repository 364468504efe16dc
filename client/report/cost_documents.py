"""The document of ``cost --json``."""

from __future__ import annotations

import msgspec

from client.cost.measure import Cost, Curve


class PriceDocument(msgspec.Struct):
    """Cycles of one operation, and the publication that they come from."""

    low: int
    typical: int
    high: int
    source: str


class CostDocument(msgspec.Struct):
    """``cost``. ``curve``: cycles over one let of the scenario, null if the scenario has none. ``picture``: the
    file."""

    scenario: str
    prices: dict[str, PriceDocument]
    designs: list[Cost]
    curve: Curve | None
    picture: str | None
