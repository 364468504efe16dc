"""The axes of the contract between perf and KVM, and a design as one point on each of them.

An axis is a line of the 2019 argument or a mechanism that a posted version had. Cores read axes;
no core ever asks for a design's name.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Event(StrEnum):
    """What stands for the guest in host perf."""

    NONE = "none"
    TASK_FLEXIBLE = "task-flexible"
    TASK_PINNED = "task-pinned"


class Enablement(StrEnum):
    """How user space gives a VM its LBR: a KVM capability, or LBR_FMT in the guest's PERF_CAPABILITIES."""

    KVM_CAP = "kvm-cap"
    PERF_CAPABILITIES = "perf-capabilities"


class Admission(StrEnum):
    """What the guest's event asks of the host's scheduler."""

    BYPASS = "bypass"
    PRIVATE_SLOT = "private-slot"
    ORDINARY_SLOT = "ordinary-slot"
    PSEUDO_COUNTER = "pseudo-counter"


class LosingAdd(StrEnum):
    """What an LBR event that perf tried to put on, and could not, leaves behind in the CPU's software filter."""

    LEAVES_FILTER = "leaves-filter"
    UNDONE = "undone"


class Save(StrEnum):
    """Who saves and restores the guest's LBR, and when."""

    PERF_SWITCH = "perf-switch"
    KVM_SWITCH = "kvm-switch"
    NONE = "none"


class FirstAccess(StrEnum):
    """What an intercepted access does first while there is no event."""

    ACCESS_THEN_CREATE = "access-then-create"
    CREATE_THEN_ACCESS = "create-then-access"


class Release(StrEnum):
    """When a guest that stopped using the LBR gives its event back."""

    IDLE_SLICES = "two-idle-slices"
    SCHED_IN_LBR_OFF = "sched-in-lbr-off"
    NEVER = "never"


class Passthrough(StrEnum):
    """What turns passthrough of the LBR MSRs on."""

    ON_ACCESS = "on-access"
    AT_ENTRY = "at-entry"
    ON_GRANT = "on-grant"


class Notifier(StrEnum):
    NONE = "none"
    ASYNC = "async"


class EntryCheck(StrEnum):
    """What KVM looks at on the vCPU's CPU, interrupts off, before VM-entry."""

    NONE = "none"
    EVENT_STATE = "event-state"
    INVERTED = "event-state-inverted"


class Denial(StrEnum):
    """What a guest that may not use the LBR gets when it touches it."""

    SILENT = "silent"
    READ_ZERO = "read-zero"
    GP = "gp"


class Recovery(StrEnum):
    """How a guest that lost the LBR gets it back."""

    STICKY = "sticky-error"
    AVAILABLE = "told-available"


class DebugctlWrite(StrEnum):
    """What becomes of guest DEBUGCTL bits beyond LBR and FREEZE_LBRS_ON_PMI."""

    MASK = "mask"
    TABLE = "table"


class HostDebugctl(StrEnum):
    """When KVM remembers the host's DEBUGCTL, to write it back right after a VM-exit."""

    AT_LOAD = "at-vcpu-load"
    AT_ENTRY = "at-entry"


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """One point on every axis. ``shut_out``: while the guest's event is on, the host's LBR enable, disable
    and read do nothing on that CPU (``cpuc->vcpu_lbr``, ``vlbr_exclude_host``). ``save_select``: LBR_SELECT
    is part of what is saved. ``info_known``: KVM recognises the INFO MSRs while it intercepts them."""

    name: str
    about: str
    event: Event
    admission: Admission = Admission.ORDINARY_SLOT
    shut_out: bool = False
    losing_add: LosingAdd = LosingAdd.LEAVES_FILTER
    save: Save = Save.PERF_SWITCH
    save_select: bool = True
    first_access: FirstAccess = FirstAccess.CREATE_THEN_ACCESS
    release: Release = Release.NEVER
    passthrough: Passthrough
    notifier: Notifier = Notifier.NONE
    entry_check: EntryCheck = EntryCheck.NONE
    denial: Denial
    recovery: Recovery = Recovery.STICKY
    debugctl_write: DebugctlWrite = DebugctlWrite.TABLE
    info_known: bool = True
    enablement: Enablement = Enablement.PERF_CAPABILITIES
    host_debugctl: HostDebugctl = HostDebugctl.AT_LOAD

    def axes(self) -> dict[str, str]:
        """Axis name to value, without name and purpose."""
        out = {}
        for field in self.__struct_fields__[2:]:
            value = getattr(self, field)
            out[field.replace("_", "-")] = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        return out
