"""Designs as axes and back, and what is said of each axis and value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.design import (
    AXIS_FIELDS,
    AXIS_TYPES,
    QUESTIONS,
    Axis,
    Design,
    EntryCheck,
    Notifier,
    UnknownAxisError,
    axis_about,
    axis_values,
    design_from_axes,
)
from tests.cases import cases
from tests.designs import DESIGNS, FENCED, MERGED

AXES = [kind for kind in AXIS_TYPES.values() if issubclass(kind, Axis)]
points = st.fixed_dictionaries(
    {AXIS_FIELDS[axis]: st.sampled_from(list(axis_values(axis).values())) for axis in AXIS_TYPES}
)


def there_and_back(design: Design) -> Design:
    return design_from_axes(design.name, design.about, design.axes())


@cases("axis", AXIS_TYPES)
def test_every_value_of_an_axis_comes_back(axis: str) -> None:
    for shown, value in axis_values(axis).items():
        changed: dict[str, Any] = {AXIS_FIELDS[axis]: value}
        design = replace(MERGED, **changed)
        assert design.axes()[axis] == shown
        assert there_and_back(design) == replace(design, claims=()), "claims are no axis"


@given(points)
def test_any_point_comes_back(point: dict[str, Any]) -> None:
    design = Design(name="d", about="a", **point)
    back = there_and_back(design)
    assert back == design
    assert [type(getattr(back, field)) for field in AXIS_FIELDS.values()] == list(AXIS_TYPES.values())


@cases("design", DESIGNS.values(), ids=lambda d: d.name)
def test_every_design_of_the_library_comes_back(design: Design) -> None:
    assert there_and_back(design) == replace(design, claims=())


def test_axes_are_all_fields_but_name_about_and_claims_with_dashes() -> None:
    assert list(MERGED.axes()) == list(AXIS_TYPES) == list(AXIS_FIELDS)
    assert [field for field in Design.__struct_fields__ if field not in AXIS_FIELDS.values()] == [
        "name",
        "about",
        "claims",
    ]
    assert not any("_" in axis for axis in AXIS_TYPES)


@cases(
    ("change", "place", "text"),
    [
        ({"moon": "full"}, "moon", "unknown axis 'moon', expected one of event, "),
        ({"shut_out": "yes"}, "shut_out", "unknown axis 'shut_out'"),
        ({"event": "pinned"}, "event", "event = 'pinned', expected one of none, task-flexible, task-pinned"),
        ({"shut-out": "true"}, "shut-out", "shut-out = 'true', expected one of yes, no"),
        ({"save": "NONE"}, "save", "save = 'NONE', expected one of perf-switch"),
    ],
)
def test_an_unknown_axis_or_value_is_named(change: dict[str, str], place: str, text: str) -> None:
    with pytest.raises(UnknownAxisError, match=text) as error:
        design_from_axes("d", "", MERGED.axes() | change)
    assert error.value.axis == place


@cases("axis", AXIS_TYPES)
def test_a_missing_axis_is_named(axis: str) -> None:
    axes = MERGED.axes()
    del axes[axis]
    with pytest.raises(UnknownAxisError, match=f"no value for axis '{axis}'") as error:
        design_from_axes("d", "", axes)
    assert error.value.axis == axis


# Their texts -----------------------------------------------------------------------------------------------


@cases("kind", AXES, ids=lambda kind: kind.__name__)
def test_every_value_says_what_it_means_and_no_two_the_same(kind: type[Axis]) -> None:
    abouts = [value.about for value in kind]
    assert all(abouts)
    assert len(set(abouts)) == len(abouts)


@cases("kind", AXES, ids=lambda kind: kind.__name__)
def test_a_value_is_its_name_in_files(kind: type[Axis]) -> None:
    for value in kind:
        assert kind(str(value)) is value
        assert value == str(value) == value.value


@cases("axis", AXIS_TYPES)
def test_every_axis_says_what_it_is_about(axis: str) -> None:
    assert axis_about(axis)
    assert axis_about(axis) != bool.__doc__


def test_the_questions_are_those_that_have_yes_and_no() -> None:
    assert set(QUESTIONS) == {axis for axis, kind in AXIS_TYPES.items() if kind is bool}


@cases(
    ("notifier", "entry_check", "grants"),
    [
        (Notifier.NONE, EntryCheck.NONE, False),
        (Notifier.NONE, EntryCheck.EVENT_STATE, False),
        (Notifier.NONE, EntryCheck.FENCE, True),
        (Notifier.ASYNC, EntryCheck.NONE, True),
        (Notifier.ACKNOWLEDGED, EntryCheck.NONE, True),
    ],
)
def test_kvm_is_told_of_grants_by_a_notifier_or_for_a_fence(
    notifier: Notifier, entry_check: EntryCheck, grants: bool
) -> None:
    assert replace(FENCED, notifier=notifier, entry_check=entry_check).grants == grants
