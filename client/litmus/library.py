"""The scenarios of the library, which are part of the package."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "scenarios"


def library(beginning: str = "") -> list[Path]:
    """The scenarios whose names begin with a prefix, by name."""
    return sorted(path for path in LIBRARY.glob("*.litmus") if path.stem.startswith(beginning))


def library_path(name: str) -> Path:
    return LIBRARY / f"{name}.litmus"
