"""The axes of the contract between perf and KVM, and a design as one point on each of them.

An axis is a line of the 2019 argument or a mechanism that a posted version had. Cores read axes; no core ever asks for
a design's name. ``contract.design_check`` says which points are possible.
"""

from __future__ import annotations

import typing
from enum import StrEnum
from functools import lru_cache

import msgspec


class Axis(StrEnum):
    """Base of the axes. Each value carries its meaning in a few words."""

    about: str

    def __new__(cls, value: str, about: str = "") -> typing.Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.about = about
        return member


class Event(Axis):
    """The object that stands for the guest in host perf."""

    NONE = "none", "nothing: perf does not know of the guest's use"
    TASK_FLEXIBLE = "task-flexible", "a flexible event of the vCPU's thread"
    TASK_PINNED = "task-pinned", "a pinned event of the vCPU's thread"


class Admission(Axis):
    """The resource that the guest's event needs from the host's scheduler."""

    NONE = "none", "there is no event to admit"
    BYPASS = "bypass", "nothing: it never meets a resource"
    PRIVATE_SLOT = "private-slot", "the LBR slot, with a value that no host event has"
    ORDINARY_SLOT = "ordinary-slot", "the LBR slot as any host event, shared with equal filters; and pseudo counter 58"
    PSEUDO_COUNTER = "pseudo-counter", "pseudo counter 58 alone, never the LBR slot"


class Precedence(Axis):
    """The owner of the LBR if several users want it."""

    PERF_ORDER = "perf-order", "CPU-pinned, task-pinned, CPU-flexible, task-flexible"
    FIRST_COME = "first-come", "the user that opened first; a later user is refused with EBUSY"


class LosingAdd(Axis):
    """The filter that stays in the CPU's software filter after perf tried and failed to put an LBR event on."""

    LEAVES_FILTER = "leaves-filter", "its own filter, as the kernel does"
    UNDONE = "undone", "nothing"


class Save(Axis):
    """The agent that saves and restores the guest's LBR, and the moment."""

    PERF_SWITCH = "perf-switch", "perf, when the vCPU's thread is switched"
    PERF_EVENT = "perf-event", "perf, whenever the guest's event goes off and on"
    KVM_SWITCH = "kvm-switch", "KVM, in the preempt notifiers of the vCPU's thread"
    VMX_TRANSITION = "vmx-transition", "KVM, at every VM-entry and VM-exit, the host's LBR too"
    NONE = "none", "nobody"


class SaveSelect(Axis):
    """Whether LBR_SELECT is saved with the LBR."""

    YES = "yes", "always"
    NO = "no", "never"
    SINCE_V5_16 = "since-v5.16", "from v5.16 on: before, the constraint's flag never reached the event"


class Activation(Axis):
    """The moment at which a guest that has an LBR begins to use the host's."""

    LAZY = "lazy", "with its first access"
    LBR_ON = "lbr-on", "with its first access, or at a VM-entry with its DEBUGCTL.LBR set"
    EAGER = "eager", "with its first VM-entry"


class FirstAccess(Axis):
    """The first action at an intercepted access while there is no event."""

    ACCESS_THEN_CREATE = "access-then-create", "access the hardware, also if another user has it; then create the event"
    CREATE_THEN_ACCESS = "create-then-access", "create the event; then access the hardware, if the event is on"


class Release(Axis):
    """The moment at which a guest that stopped using the LBR gives its event back."""

    IDLE_SLICES = "two-idle-slices", "at the second sched-in after its last access, if its LBR is off"
    SCHED_IN_LBR_OFF = "sched-in-lbr-off", "at the first entry after a sched-in, if its LBR is off"
    UNUSED_SLICE = "unused-slice-lbr-off", "there too, but only if the guest did not use the LBR in the slice before"
    NEVER = "never", "not before the VM ends or user space says so"


class Passthrough(Axis):
    """The condition that turns passthrough of the LBR MSRs on."""

    ON_ACCESS = "on-access", "the first intercepted access of a slice"
    AT_ENTRY = "at-entry", "each entry with an event"
    ON_GRANT = "on-grant", "a grant that the host gave"
    ALWAYS = "always", "having an LBR"


class Notifier(Axis):
    """How KVM learns that its guest loses the LBR."""

    NONE = "none", "not at all"
    ASYNC = "async", "Revoke; the host does not wait"
    ACKNOWLEDGED = "acknowledged", "Revoke; the host waits for Ack, at most until the grant's lease ends"


class StreamDelivery(Axis):
    """How the contract stream handles loss and order."""

    AS_IT_COMES = "as-it-comes", "nothing"
    REPAIRED = "repaired", "messages are resent until they are acknowledged, and taken in order"


class EntryCheck(Axis):
    """KVM's check on the vCPU's CPU, interrupts off, before VM-entry."""

    NONE = "none", "nothing"
    EVENT_STATE = "event-state", "the event must be ACTIVE, else the LBR MSRs are intercepted"
    INVERTED = "event-state-inverted", "the event must not be ACTIVE: v8 as posted"
    FENCE = "fence", "the grant must be the current one, else intercepted and DEBUGCTL.LBR off; accesses too"


class Denial(Axis):
    """The answer to an access of a guest that may not use the LBR."""

    SILENT = "silent", "nothing: the guest does not learn of it"
    READ_ZERO = "read-zero", "reads give 0, writes are dropped"
    GP = "gp", "#GP"
    FAIL_ENTRY = "fail-entry", "the guest is no longer entered"


class Recovery(Axis):
    """How a guest that lost the LBR gets it back."""

    STICKY = "sticky-error", "not while its event exists: ERROR stays"
    ENABLE_ON_ACCESS = "enable-on-access", "KVM enables the event again at each intercepted access"
    ASKS_AGAIN = "asks-again", "each access after the one that was denied asks for a fresh event"
    AVAILABLE = "told-available", "the host tells KVM when the LBR is free"


class DebugctlWrite(Axis):
    """The treatment of guest DEBUGCTL bits other than LBR and FREEZE_LBRS_ON_PMI."""

    MASK = "mask", "they are dropped"
    TABLE = "table", "LBR and BTF are dropped where unsupported, others give #GP"


class Enablement(Axis):
    """How user space gives a VM its LBR."""

    KVM_CAP = "kvm-cap", "by a KVM capability"
    PERF_CAPABILITIES = "perf-capabilities", "by LBR_FMT in the guest's PERF_CAPABILITIES"


class OtherThreads(Axis):
    """KVM's treatment of user-space accesses to LBR MSRs that another thread than the vCPU's makes."""

    SERVED = (
        "served",
        ("they access the hardware where that thread runs, and an event created for them follows that thread"),
    )
    REJECTED = "rejected", "KVM rejects them; the guest's event always follows the vCPU's thread"


class HostDebugctl(Axis):
    """The moment at which KVM saves the host's DEBUGCTL, which it writes back right after a VM-exit."""

    AT_LOAD = "at-vcpu-load", "at vcpu_load"
    AT_ENTRY = "at-entry", "at entry, interrupts off"
    AT_ENTRY_SINCE_V6_14 = "at-entry-since-v6.14", "at entry on kernels since v6.14, at vcpu_load before"
    NOT_SWITCHED = "not-switched", "never: the guest's value stays on in the host"


class Takes(Axis):
    """The counter resource that the guest's event takes."""

    NOTHING = "nothing", "nothing"
    PLACE = "place", "no counter, but a place in the CPU's event list, which is as long as there are counters"
    COUNTER = "counter", "a real counter, as perf_event_create_kernel_counter does by itself"


class HostEvents(Axis):
    """The state of host LBR events while the guest runs."""

    UNAFFECTED = "unaffected", "nothing"
    SWITCHED_OUT = "switched-out", "off at VM-entry, on again at VM-exit; those that count guests are refused"


class Condition(Axis):
    """The demand on the contract stream under which a claim counts, from the weakest to the strongest."""

    ANY = "any", "even if messages are lost, doubled, overtaken or late"
    COMPLETE = "complete", "while each message arrives once and in order, however late"
    PROMPT = "prompt", "while each message arrives once and in order, before anything else happens"


class DesignClaim(msgspec.Struct, frozen=True):
    """An invariant that a design promises to keep while ``condition`` holds."""

    invariant: str
    condition: Condition


class Design(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One point on every axis. ``claims``: the promises of its authors. No core reads them, and the wire does not carry
    them."""

    name: str
    about: str
    claims: tuple[DesignClaim, ...] = ()
    event: Event
    admission: Admission
    precedence: Precedence
    shut_out: bool
    takes: Takes
    losing_add: LosingAdd
    save: Save
    save_select: SaveSelect
    whole_ring: bool
    activation: Activation
    first_access: FirstAccess
    release: Release
    passthrough: Passthrough
    notifier: Notifier
    delivery: StreamDelivery
    entry_check: EntryCheck
    denial: Denial
    recovery: Recovery
    debugctl_write: DebugctlWrite
    info_known: bool
    enablement: Enablement
    other_threads: OtherThreads
    host_debugctl: HostDebugctl
    host_events: HostEvents

    def axes(self) -> dict[str, str]:
        """Axis name to value, without name, purpose and claims."""
        return _axes(self).copy()

    def promises(self) -> dict[str, str]:
        """Invariant to the condition of its claim."""
        return {claim.invariant: str(claim.condition) for claim in self.claims}

    def claimed(self, condition: Condition) -> tuple[str, ...]:
        """The invariants that it promises to keep under ``condition``. A claim under a weaker condition is included."""
        order = list(Condition)
        return tuple(c.invariant for c in self.claims if order.index(c.condition) <= order.index(condition))

    @property
    def pinned(self) -> bool:
        return self.event is Event.TASK_PINNED

    @property
    def grants(self) -> bool:
        """Whether the host tells KVM of grants (R6)."""
        return self.notifier is not Notifier.NONE or self.entry_check is EntryCheck.FENCE


@lru_cache(maxsize=256)
def _axes(design: Design) -> dict[str, str]:
    return {axis: _shown(getattr(design, field)) for axis, field in AXIS_FIELDS.items()}


def _shown(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


AXIS_FIELDS: dict[str, str] = {field.replace("_", "-"): field for field in Design.__struct_fields__[3:]}
"""Axis name to the field of Design."""
AXIS_TYPES: dict[str, type] = {axis: typing.get_type_hints(Design)[field] for axis, field in AXIS_FIELDS.items()}
"""Axis name to the Axis whose values it has, or bool."""
QUESTIONS: dict[str, str] = {
    "shut-out": "While the guest's event is on, the host's LBR enable, disable and read have no effect on that CPU.",
    "whole-ring": (
        "yes: saves keep every entry, a guest begins with zeros, and the host finds no entries of a guest; no: as "
        "perf does."
    ),
    "info-known": "KVM recognises the INFO MSRs while it intercepts them.",
}
"""The question that an axis asks, if its values are yes and no."""


def axis_about(axis: str) -> str:
    """The subject of an axis."""
    return QUESTIONS.get(axis) or (AXIS_TYPES[axis].__doc__ or "")


def axis_values(axis: str) -> dict[str, object]:
    """The values of an axis by the names that they have in files and on the wire."""
    kind = AXIS_TYPES[axis]
    return {"yes": True, "no": False} if kind is bool else {str(value): value for value in kind}  # type: ignore[attr-defined]


class UnknownAxisError(ValueError):
    """``axis`` is the place of the error, the text says what is wrong."""

    def __init__(self, axis: str, message: str) -> None:
        super().__init__(message)
        self.axis = axis


def design_from_axes(name: str, about: str, axes: dict[str, str]) -> Design:
    """The inverse of ``Design.axes``. Raises UnknownAxisError for an unknown or missing axis and an unknown value."""
    values: dict[str, object] = {}
    for axis, value in axes.items():
        if axis not in AXIS_TYPES:
            raise UnknownAxisError(axis, f"unknown axis {axis!r}, expected one of {', '.join(AXIS_TYPES)}")
        known = axis_values(axis)
        if value not in known:
            raise UnknownAxisError(axis, f"{axis} = {value!r}, expected one of {', '.join(known)}")
        values[AXIS_FIELDS[axis]] = known[value]
    if missing := [axis for axis in AXIS_TYPES if axis not in axes]:
        raise UnknownAxisError(missing[0], f"no value for axis {missing[0]!r}")
    return Design(name=name, about=about, **values)  # type: ignore[arg-type]
