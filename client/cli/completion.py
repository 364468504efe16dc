"""The words that a shell completes. Where none of them begins as the word does, the shell completes files."""

from __future__ import annotations

from collections.abc import Iterable


def scenario_names(incomplete: str) -> list[str]:
    from client.litmus import library

    return _beginning(incomplete, (path.stem for path in library()))


def design_names(incomplete: str) -> list[str]:
    """Names, and behind a plus the axes with their values."""
    from client.designs import all_designs
    from contract.design import axis_values

    name, plus, rest = incomplete.rpartition("+")
    designs = all_designs()
    if not plus:
        return _beginning(incomplete, designs)
    axes = next(iter(designs.values())).axes()
    return [f"{name}+{text}" for text in _beginning(rest, (f"{a}={v}" for a in axes for v in axis_values(a)))]


def invariant_names(incomplete: str) -> list[str]:
    from contract.invariants import INVARIANTS

    return _beginning(incomplete, INVARIANTS)


def format_names(incomplete: str) -> list[str]:
    from client.export.registry import FORMATS

    return _beginning(incomplete, FORMATS)


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
