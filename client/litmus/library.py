"""The scenarios that come along."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "scenarios"


def library(beginning: str = "") -> list[Path]:
    """Those whose names begin so, by name."""
    return sorted(path for path in LIBRARY.glob("*.litmus") if path.stem.startswith(beginning))


def library_path(name: str) -> Path:
    return LIBRARY / f"{name}.litmus"
