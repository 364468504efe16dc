"""The points on the axes that no system can have, each with the reason.

A combination is refused only if one axis asks for something that the others make impossible. An unwise combination is
allowed, because the lab exists to show its effects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from contract.design import (
    AXIS_FIELDS,
    Activation,
    Admission,
    Denial,
    Design,
    EntryCheck,
    Event,
    HostEvents,
    LosingAdd,
    Notifier,
    Passthrough,
    Precedence,
    Recovery,
    Release,
    Save,
    StreamDelivery,
    Takes,
)
from contract.errors import RefusedError

NEUTRAL: dict[str, object] = {
    "admission": Admission.NONE,
    "precedence": Precedence.PERF_ORDER,
    "shut_out": False,
    "takes": Takes.NOTHING,
    "losing_add": LosingAdd.LEAVES_FILTER,
    "release": Release.NEVER,
    "notifier": Notifier.NONE,
    "delivery": StreamDelivery.AS_IT_COMES,
    "entry_check": EntryCheck.NONE,
    "denial": Denial.SILENT,
    "recovery": Recovery.STICKY,
}
"""If perf has no event for the guest, these axes have no effect."""

Test = Callable[[Design], bool]

_IMPOSSIBLE: tuple[tuple[str, Test, str], ...] = (
    ("admission", lambda d: d.admission is Admission.NONE, "an event has to be admitted somehow"),
    (
        "save",
        lambda d: d.save in (Save.KVM_SWITCH, Save.VMX_TRANSITION),
        "KVM saves by itself only if no event stands for the guest (event = none)",
    ),
    (
        "host-events",
        lambda d: d.host_events is HostEvents.SWITCHED_OUT,
        "host events make way for a guest that owns the LBR, not for an event (event = none)",
    ),
    (
        "precedence",
        lambda d: (
            d.precedence is Precedence.FIRST_COME
            and d.admission not in (Admission.PRIVATE_SLOT, Admission.ORDINARY_SLOT)
        ),
        "the order of arrival is known only for events that take the LBR slot (admission = private-slot or "
        "ordinary-slot)",
    ),
    (
        "passthrough",
        lambda d: d.passthrough is Passthrough.ON_GRANT and not d.grants,
        "there are no grants: they need a notifier, or entry-check = fence",
    ),
    (
        "notifier",
        lambda d: d.notifier is Notifier.ACKNOWLEDGED and d.event is not Event.TASK_PINNED,
        "the timer that rotates flexible events cannot sleep until KVM answers (event = task-pinned)",
    ),
    (
        "recovery",
        lambda d: d.recovery is Recovery.AVAILABLE and d.notifier is Notifier.NONE,
        "nothing tells KVM: this needs a notifier",
    ),
    (
        "denial",
        lambda d: d.denial is Denial.FAIL_ENTRY and d.recovery is not Recovery.AVAILABLE,
        "a guest that is not entered makes no access; only a message can let it in again (recovery = told-available)",
    ),
    (
        "entry-check",
        lambda d: d.denial is Denial.FAIL_ENTRY and d.entry_check not in (EntryCheck.EVENT_STATE, EntryCheck.FENCE),
        "an entry fails by a check that finds the LBR lost (entry-check = event-state or fence)",
    ),
    (
        "passthrough",
        lambda d: d.denial is Denial.FAIL_ENTRY and d.passthrough is Passthrough.ON_ACCESS,
        "with denial = fail-entry no access is denied: the LBR is passed through from the first entry on",
    ),
)


def flaw(design: Design) -> tuple[str, str] | None:
    """The first axis whose value the others make impossible, and why; None if the design is possible."""
    if design.event is Event.NONE:
        for axis, field in AXIS_FIELDS.items():
            if field in NEUTRAL and getattr(design, field) != NEUTRAL[field]:
                value, neutral = design.axes()[axis], _text(NEUTRAL[field])
                return axis, f"{axis} = {value} needs an event to act on; with event = none it is {neutral}"
        return _without_event(design)
    for axis, impossible, why in _IMPOSSIBLE:
        if impossible(design):
            return axis, f"{axis} = {design.axes()[axis]} is impossible here: {why}"
    return None


@lru_cache(maxsize=256)
def check_design(design: Design) -> None:
    """Raises RefusedError naming the axis, and why its value is impossible."""
    if found := flaw(design):
        raise RefusedError(f"design {design.name!r}: {found[1]}")


def _without_event(design: Design) -> tuple[str, str] | None:
    if design.save in (Save.PERF_SWITCH, Save.PERF_EVENT):
        return "save", f"save = {design.save} is impossible here: perf saves for an event, and there is no event"
    if design.passthrough in (Passthrough.ON_GRANT, Passthrough.AT_ENTRY):
        return "passthrough", f"passthrough = {design.passthrough} needs an event, and there is no event"
    if design.host_events is HostEvents.SWITCHED_OUT and design.save is not Save.VMX_TRANSITION:
        return "save", "host events are switched out only with save = vmx-transition"
    if design.passthrough is Passthrough.ALWAYS and design.activation is not Activation.EAGER:
        return "activation", "an LBR that is always passed through is used from the first entry on (activation = eager)"
    return None


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
