"""The documents of ``designs --json`` and ``invariants --json``."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from client.check.judge import MONITORS
from client.check.monitor import Monitor
from contract.design import AXIS_FIELDS, Design, axis_about, axis_values
from contract.trace import kind_of


class ValueDocument(msgspec.Struct):
    """A value of an axis, and the designs that have it."""

    about: str
    designs: list[str]


class AxisDocument(msgspec.Struct):
    about: str
    values: dict[str, ValueDocument]


def designs_document(designs: list[Design]) -> dict[str, dict[str, object]]:
    """``designs``: name to purpose, axes, and claims (invariant to the condition of the promise)."""
    return {
        design.name: {"about": design.about, "axes": design.axes(), "claims": design.promises()} for design in designs
    }


def axes_document(designs: list[Design]) -> dict[str, AxisDocument]:
    """``designs --axes``: axis to its meaning, and to the designs that have each value."""
    return {
        axis: AxisDocument(
            axis_about(axis),
            {
                name: ValueDocument(getattr(value, "about", ""), [d.name for d in designs if d.axes()[axis] == name])
                for name, value in axis_values(axis).items()
            },
        )
        for axis in AXIS_FIELDS
    }


class InvariantDocument(msgspec.Struct, kw_only=True):
    """``liveness``: something good happens in the end; otherwise safety: nothing bad happens. ``reads``: kind of record
    to the data that the monitor takes from it. ``excuses``: fault to the part of the judgement that is excused
    after it. The other fields are those of ``client.check.definition.Definition``."""

    about: str
    liveness: bool
    text: str
    broken_by: str
    evidence: str
    open_while: str
    reads: dict[str, str]
    unseen: str
    excuses: dict[str, str]
    rules: list[str]


def invariant_document(invariant: type[Monitor]) -> InvariantDocument:
    definition = invariant.definition
    return InvariantDocument(
        about=invariant.about,
        liveness=invariant.liveness,
        text=definition.text,
        broken_by=definition.broken_by,
        evidence=definition.evidence,
        open_while=definition.open_while,
        reads={kind_of(record): taken for record, taken in definition.reads.items()},
        unseen=definition.unseen,
        rules=list(definition.rules),
        excuses=dict(definition.excuses),
    )


def invariants_document(invariants: Iterable[type[Monitor]] = MONITORS) -> dict[str, InvariantDocument]:
    """``invariants``: name to definition."""
    return {invariant.name: invariant_document(invariant) for invariant in invariants}
