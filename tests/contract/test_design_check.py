"""Each rule that makes a design impossible: refused with its reason, and accepted one value further."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from contract.design import (
    AXIS_FIELDS,
    AXIS_TYPES,
    Activation,
    Admission,
    Denial,
    Design,
    EntryCheck,
    Event,
    HostEvents,
    Notifier,
    Passthrough,
    Precedence,
    Recovery,
    Save,
    axis_values,
)
from contract.design_check import check_design, flaw
from contract.errors import RefusedError
from tests.cases import cases
from tests.contract.test_design_axes import points
from tests.designs import DESIGNS, FAIL_ENTRY, KVM_SWITCH, MEDIATED, MERGED, REVOKE_GP, VMX_TRANSITION

Change = dict[str, Any]

RULES: list[tuple[Design, Change, str, str, list[Change]]] = [
    (MERGED, {"admission": Admission.NONE}, "admission", "admitted somehow", [{"admission": Admission.BYPASS}]),
    (MERGED, {"save": Save.KVM_SWITCH}, "save", "KVM saves by itself only if no event", [{"save": Save.PERF_EVENT}]),
    (MERGED, {"save": Save.VMX_TRANSITION}, "save", "only if no event", [{"save": Save.NONE}]),
    (
        MERGED,
        {"host_events": HostEvents.SWITCHED_OUT},
        "host-events",
        "make way for a guest that owns the LBR",
        [{"host_events": HostEvents.UNAFFECTED}],
    ),
    (
        MERGED,
        {"precedence": Precedence.FIRST_COME},
        "precedence",
        "only for events that take the LBR slot",
        [
            {"precedence": Precedence.FIRST_COME, "admission": Admission.PRIVATE_SLOT},
            {"precedence": Precedence.FIRST_COME, "admission": Admission.ORDINARY_SLOT},
        ],
    ),
    (
        MERGED,
        {"precedence": Precedence.FIRST_COME, "admission": Admission.BYPASS},
        "precedence",
        "only for events that take the LBR slot",
        [{"admission": Admission.BYPASS}],
    ),
    (
        MERGED,
        {"passthrough": Passthrough.ON_GRANT},
        "passthrough",
        "there are no grants",
        [
            {"passthrough": Passthrough.ON_GRANT, "notifier": Notifier.ASYNC},
            {"passthrough": Passthrough.ON_GRANT, "notifier": Notifier.ACKNOWLEDGED},
            {"passthrough": Passthrough.ON_GRANT, "entry_check": EntryCheck.FENCE},
        ],
    ),
    (
        REVOKE_GP,
        {"notifier": Notifier.ACKNOWLEDGED, "event": Event.TASK_FLEXIBLE},
        "notifier",
        "cannot sleep until KVM answers",
        [{"notifier": Notifier.ACKNOWLEDGED}, {"event": Event.TASK_FLEXIBLE}],
    ),
    (
        MERGED,
        {"recovery": Recovery.AVAILABLE},
        "recovery",
        "nothing tells KVM: this needs a notifier",
        [{"recovery": Recovery.AVAILABLE, "notifier": Notifier.ASYNC}, {"recovery": Recovery.ENABLE_ON_ACCESS}],
    ),
    (
        FAIL_ENTRY,
        {"recovery": Recovery.ASKS_AGAIN},
        "denial",
        "a guest that is not entered makes no access",
        [{"recovery": Recovery.ASKS_AGAIN, "denial": Denial.GP}],
    ),
    (
        FAIL_ENTRY,
        {"entry_check": EntryCheck.NONE},
        "entry-check",
        "an entry fails by a check",
        [{"entry_check": EntryCheck.FENCE}, {"entry_check": EntryCheck.NONE, "denial": Denial.READ_ZERO}],
    ),
    (FAIL_ENTRY, {"entry_check": EntryCheck.INVERTED}, "entry-check", "finds the LBR lost", [{}]),
    (
        FAIL_ENTRY,
        {"passthrough": Passthrough.ON_ACCESS},
        "passthrough",
        "passed through from the first entry on",
        [{"passthrough": Passthrough.ALWAYS}, {"passthrough": Passthrough.ON_GRANT}],
    ),
    (
        KVM_SWITCH,
        {"save": Save.PERF_SWITCH},
        "save",
        "perf saves for an event, and there is no event",
        [{"save": Save.VMX_TRANSITION}],
    ),
    (
        KVM_SWITCH,
        {"save": Save.PERF_EVENT},
        "save",
        "perf saves for an event, and there is no event",
        [{"save": Save.NONE}],
    ),
    (
        KVM_SWITCH,
        {"passthrough": Passthrough.AT_ENTRY},
        "passthrough",
        "needs an event, and there is no event",
        [{"passthrough": Passthrough.ON_ACCESS}],
    ),
    (KVM_SWITCH, {"passthrough": Passthrough.ON_GRANT}, "passthrough", "needs an event", [{}]),
    (
        KVM_SWITCH,
        {"host_events": HostEvents.SWITCHED_OUT},
        "save",
        "host events are switched out only with save",
        [{"host_events": HostEvents.SWITCHED_OUT, "save": Save.VMX_TRANSITION}],
    ),
    (
        MEDIATED,
        {"activation": Activation.LAZY},
        "activation",
        "used from the first entry on",
        [{"activation": Activation.LAZY, "passthrough": Passthrough.ON_ACCESS}],
    ),
]


@cases(("base", "change", "axis", "reason", "possible"), RULES)
def test_an_impossible_value_is_refused_with_its_reason(
    base: Design, change: Change, axis: str, reason: str, possible: list[Change]
) -> None:
    found = flaw(replace(base, **change))
    assert found is not None
    assert found[0] == axis
    assert reason in found[1]


@cases(("base", "change", "axis", "reason", "possible"), RULES)
def test_the_neighbouring_design_is_possible(
    base: Design, change: Change, axis: str, reason: str, possible: list[Change]
) -> None:
    assert [flaw(replace(base, **change)) for change in possible] == [None] * len(possible)


def test_what_is_always_passed_through_may_begin_lazily_where_there_is_an_event() -> None:
    assert flaw(replace(MERGED, passthrough=Passthrough.ALWAYS, activation=Activation.LAZY)) is None


# Without an event ------------------------------------------------------------------------------------------

IDLE = {
    "admission": "none",
    "precedence": "perf-order",
    "shut-out": "no",
    "takes": "nothing",
    "losing-add": "leaves-filter",
    "release": "never",
    "notifier": "none",
    "delivery": "as-it-comes",
    "entry-check": "none",
    "denial": "silent",
    "recovery": "sticky-error",
}
"""Axes that act on the event, with their only value if there is no event."""


@cases(("axis", "shown"), [(axis, shown) for axis in IDLE for shown in axis_values(axis)])
def test_without_an_event_an_axis_that_acts_on_it_has_its_neutral_value(axis: str, shown: str) -> None:
    change: Change = {AXIS_FIELDS[axis]: axis_values(axis)[shown]}
    expected = (axis, f"{axis} = {shown} needs an event to act on; with event = none it is {IDLE[axis]}")
    assert flaw(replace(VMX_TRANSITION, **change)) == (None if shown == IDLE[axis] else expected)


def test_an_event_taken_away_leaves_an_admission_behind() -> None:
    found = flaw(replace(REVOKE_GP, event=Event.NONE))
    assert found is not None
    assert found[0] == "admission"


# All of them -----------------------------------------------------------------------------------------------


@cases("design", DESIGNS.values(), ids=lambda d: d.name)
def test_every_design_of_the_library_is_possible(design: Design) -> None:
    assert flaw(design) is None
    check_design(design)


def test_a_refusal_names_the_design_and_the_reason() -> None:
    with pytest.raises(
        RefusedError, match=r"design 'mine': recovery = told-available is impossible here: nothing tells KVM"
    ) as e:
        check_design(replace(MERGED, name="mine", recovery=Recovery.AVAILABLE))
    assert e.value.errno == "EINVAL"


@given(points)
def test_any_point_is_either_possible_or_named_with_the_axis_at_fault(point: dict[str, Any]) -> None:
    design = Design(name="d", about="", **point)
    found = flaw(design)
    if found is None:
        check_design(design)
        return
    axis, why = found
    assert axis in AXIS_TYPES
    assert why
    with pytest.raises(RefusedError):
        check_design(design)
