"""Records of the silicon: retired branches, entries, exits, and each access to an MSR."""

from __future__ import annotations

from typing import ClassVar

from contract.messages import LbrImage
from contract.trace.record import Record


class SiliconRecord(Record):
    source: ClassVar[str] = "silicon"


class Switch(SiliconRecord):
    cpu: int
    prev: str
    next: str


class Retired(SiliconRecord):
    """``count`` branches of ``actor`` from serial ``first``. ``recorded``: they passed DEBUGCTL.LBR and LBR_SELECT."""

    cpu: int
    actor: int
    guest: bool
    branch: str
    privilege: str
    first: int
    count: int
    recorded: bool


class VmEntry(SiliconRecord):
    """``debugctl``: the value loaded for the guest; ``host_debugctl``: the value of the register just before.
    ``switched``: the host's whole LBR was saved, and the guest has an LBR of its own until the exit."""

    cpu: int
    vcpu: str
    debugctl: int
    passthrough: bool
    host_debugctl: int
    switched: bool = False


class VmEntryRefused(SiliconRecord):
    cpu: int
    vcpu: str
    reason: str


class VmExit(SiliconRecord):
    """``debugctl``: the value of the host's register after the exit and after KVM's first instructions. ``frozen``: an
    overflow of a host counter cleared the guest's DEBUGCTL.LBR before the exit saved it."""

    cpu: int
    vcpu: str
    reason: str
    debugctl: int
    msr: int = 0
    write: bool = False
    frozen: bool = False


class GuestMsr(SiliconRecord):
    """A passed-through access, executed by the guest on the hardware."""

    cpu: int
    vcpu: str
    write: bool
    msr: int
    value: int
    fault: bool


class HostMsr(SiliconRecord):
    """An access by host software. ``component``: perf or kvm. ``on_behalf``: the vCPU whose access is emulated, "" for
    none."""

    cpu: int
    component: str
    write: bool
    msr: int
    value: int
    fault: bool = False
    on_behalf: str = ""


class Pmi(SiliconRecord):
    """Counters of ``events`` overflowed. ``frozen``: the LBR is frozen while the handler runs. The handler executes
    ``count`` branches from serial ``first``; they are ``recorded`` if the LBR is on and not frozen."""

    cpu: int
    events: list[str]
    frozen: bool
    first: int
    count: int
    recorded: bool


class Throttle(SiliconRecord):
    """``throttled``: an event overflowed too often, and may not overflow until the next jiffy. Else: it may overflow
    again."""

    event: int
    name: str
    cpu: int
    throttled: bool


class LbrSave(SiliconRecord):
    """The ring was read for ``owner``: ``valid`` entries kept, newest first."""

    cpu: int
    component: str
    owner: str
    valid: int


class LbrRestore(SiliconRecord):
    """``image`` was written into the ring for ``owner``; ``select``: LBR_SELECT too."""

    cpu: int
    component: str
    owner: str
    image: LbrImage
    select: bool


class TaskExit(SiliconRecord):
    """A task of a host has exited. ``cpu``: the CPU it ran on, -1 if it did not run. ``host``: the number of its
    host."""

    task: str
    cpu: int
    host: int = 0


AnySiliconRecord = (
    Switch
    | Retired
    | VmEntry
    | VmEntryRefused
    | VmExit
    | GuestMsr
    | HostMsr
    | Pmi
    | Throttle
    | LbrSave
    | LbrRestore
    | TaskExit
)
