"""Records of KVM: vCPUs, accesses of guests and of user space, events, grants."""

from __future__ import annotations

from typing import ClassVar

from contract.trace.record import Record


class KvmRecord(Record):
    source: ClassVar[str] = "kvm"


class VcpuLoad(KvmRecord):
    vcpu: str
    cpu: int


class VcpuPut(KvmRecord):
    vcpu: str
    cpu: int


class UserExit(KvmRecord):
    """KVM_RUN returns to user space with ``reason``; the thread stays on its CPU, outside the kernel's run loop."""

    vcpu: str
    cpu: int
    reason: str


class UserReturn(KvmRecord):
    """User space calls KVM_RUN again: ``vcpu_load`` on the same CPU, with no switch in between."""

    vcpu: str
    cpu: int


class VcpuWait(KvmRecord):
    """The vCPU thread sleeps until ``message`` comes."""

    vcpu: str
    message: str


class VcpuWake(KvmRecord):
    vcpu: str


class Access(KvmRecord):
    """An intercepted access as the guest sees it. ``result``: ``done``, ``zero`` (read as 0), ``dropped`` (write
    ignored), ``gp``. ``denied``: the reason is that the guest may not use the LBR now, not that the access is wrong.
    ``value`` of a write is the stored value, ``written`` the value that the guest wrote."""

    vcpu: str
    cpu: int
    write: bool
    msr: int
    value: int
    result: str
    denied: bool = False
    written: int = 0


class UserMsr(KvmRecord):
    """KVM_SET_MSRS or, ``read``, KVM_GET_MSRS: ``value`` is the value of the register afterwards. ``processed`` false:
    KVM processed 0 MSRs. ``task``: the thread that made the ioctl, "" for the vCPU's own. ``touches_lbr``: ``msr``
    belongs to the LBR, and KVM read or wrote it."""

    vcpu: str
    msr: int
    value: int
    processed: bool
    read: bool = False
    task: str = ""
    touches_lbr: bool = False


class VcpuMoved(KvmRecord):
    """User space migrates a vCPU. ``action``: it ``saved`` or ``loaded`` the state. ``lbr``: with its LBR."""

    vcpu: str
    action: str
    debugctl: int
    lbr: bool


class PassthroughSet(KvmRecord):
    vcpu: str
    enabled: bool
    reason: str


class GuestEvent(KvmRecord):
    """KVM's end of the vCPU's event. ``change``: ``created``, ``failed``, ``released``."""

    vcpu: str
    event: int
    change: str
    reason: str = ""


class CounterEvent(KvmRecord):
    """KVM's end of the host event that counts for the guest's counter ``counter``. ``change``: ``created``, ``failed``,
    ``paused``, ``resumed``, ``released``."""

    vcpu: str
    counter: int
    event: int
    change: str
    reason: str = ""


class GuestPmi(KvmRecord):
    """A PMI is injected into the guest with the next entry, unless its LVTPC is ``masked``. ``status``: its
    PERF_GLOBAL_STATUS. ``frozen``: KVM cleared its DEBUGCTL.LBR (FREEZE_LBRS_ON_PMI). ``masks_lvtpc``: its delivery
    masked LVTPC."""

    vcpu: str
    cpu: int
    status: int
    frozen: bool
    masked: bool = False
    masks_lvtpc: bool = False


class ClaimChange(KvmRecord):
    """The state of the guest's claim to the LBR in KVM (``kvm_svc.hypervisor.claim``)."""

    vcpu: str
    old: str
    new: str
    reason: str


class VcpuReset(KvmRecord):
    vcpu: str


class CpuidSet(KvmRecord):
    """KVM_SET_CPUID2 of all vCPUs of the VM ``vm``, and the CPUID that user space gives it. ``lbr``: the guest has an
    LBR afterwards. ``errno`` not empty: rejected, and nothing changed."""

    vm: str
    pmu: int
    counters: int
    fixed: int
    pdcm: bool
    model: str
    lbr: bool
    errno: str = ""


class Granted(KvmRecord):
    """KVM now holds ``grant`` (0: none) for this vCPU."""

    vcpu: str
    grant: int
    reason: str


class Warn(KvmRecord):
    """A warning that KVM would print in the kernel log."""

    vcpu: str
    text: str


AnyKvmRecord = (
    VcpuLoad
    | VcpuPut
    | UserExit
    | UserReturn
    | VcpuWait
    | VcpuWake
    | Access
    | UserMsr
    | VcpuMoved
    | PassthroughSet
    | GuestEvent
    | CounterEvent
    | GuestPmi
    | ClaimChange
    | VcpuReset
    | CpuidSet
    | Granted
    | Warn
)
