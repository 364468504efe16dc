"""State of a KVM: its VMs and vCPUs, and what it has yet to tell the host."""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.control import MachineSpec, MsrIoctl, VmSpec
from contract.design import Design, EntryCheck, HostDebugctl, SaveSelect
from contract.machine import AnyOp, Exit, GuestValue
from contract.messages import AnyMessage, LbrImage
from contract.trace import TraceLog
from contract.x86 import LVT_NMI, LbrModel
from kvm_svc.hypervisor.claim import Claim
from kvm_svc.hypervisor.guest_pmu import GuestPmu
from kvm_svc.hypervisor.rules import KVM_RULES, KvmRules


@dataclass(slots=True)
class Vm:
    """``capabilities``: guest IA32_PERF_CAPABILITIES; some kernels freeze it once a vCPU ``has_run``. ``has_records``:
    ``lbr_desc.records.nr`` is not 0. ``lbr_enabled``: ``intel_pmu_lbr_is_enabled``, which
    ``kvm_svc.hypervisor.capabilities`` keeps up to date."""

    spec: VmSpec
    capabilities: int
    has_run: bool = False
    has_records: bool = False
    lbr_enabled: bool = False


@dataclass(slots=True)
class Handling:
    """An exit that KVM is working on. ``accessed``: the register was touched already, ``value`` is what came of it;
    ``fault``: the hardware refused it. ``enabled``: the event was enabled anew for this access. ``by_user``: no exit
    but an ioctl of user space, made by host task ``task`` where that is not the vCPU's thread."""

    exit: Exit
    accessed: bool = False
    value: int = 0
    fault: bool = False
    enabled: bool = False
    by_user: bool = False
    task: str = ""


@dataclass(slots=True)
class Ioctl:
    """KVM_SET_MSRS or KVM_GET_MSRS that waits for the host. ``values``: of the registers done so far, 0 where they were
    set; ``handling``: the access at hand."""

    command: MsrIoctl
    values: list[int] = field(default_factory=list)
    handling: Handling | None = None


@dataclass(slots=True)
class LbrDesc:
    """``struct lbr_desc``: the host's event that stands for the guest, and passthrough of the LBR MSRs.

    ``event`` is the host's event id or 0, ``asked`` the request of a CreateEvent or EnableEvent not yet answered,
    ``enabling`` the event of an EnableEvent, ``heeded`` that the access at hand looks at what comes of a CreateEvent,
    and ``create_errno`` what it then failed with. ``passthrough``: the LBR MSRs are not intercepted. ``used``: the
    guest touched the LBR in this slice (``lbr_used`` of v7 and v8). ``in_use``: bit 58 of ``pmc_in_use`` (v5.12).
    ``cleanup``: look at the first entry whether the event can go. ``tried``: an event was asked for before any access
    (eager)."""

    event: int = 0
    asked: int = 0
    enabling: int = 0
    heeded: bool = False
    create_errno: str = ""
    passthrough: bool = False
    used: bool = False
    in_use: bool = False
    cleanup: bool = False
    tried: bool = False


@dataclass(slots=True)
class SavedLbr:
    """A guest's LBR that KVM itself saves. ``active``: the guest uses the LBR; ``snapshot`` is its saved LBR,
    ``restore`` that it must go back before the next entry. ``arrived``: it came with a migration and goes into the ring
    at the first entry at which the guest's event is ACTIVE."""

    active: bool = False
    snapshot: LbrImage | None = None
    restore: bool = False
    arrived: LbrImage | None = None


@dataclass(slots=True)
class Vcpu:
    """One vCPU, whose thread is the host task of the same name.

    ``cpu`` is where KVM believes the thread is (-1: off), as its notifiers told. ``guest_mode``: the last entry has not
    exited as far as KVM knows; ``kick``: it must before the guest runs on. ``debugctl`` is the VMCS field,
    ``host_debugctl`` what is written back after an exit. ``refused``: it is not entered, the thread sleeps until the
    LBR is the guest's again. ``ioctl`` is an access by user space that waits for the host. ``lvtpc`` is that register
    of its local APIC."""

    name: str
    vm: Vm
    cpu: int = -1
    guest_mode: bool = False
    kick: bool = False
    ops: list[AnyOp] = field(default_factory=list)
    values: list[GuestValue] = field(default_factory=list)
    handling: Handling | None = None
    ioctl: Ioctl | None = None
    debugctl: int = 0
    host_debugctl: int = 0
    refused: bool = False
    lbr_desc: LbrDesc = field(default_factory=LbrDesc)
    claim: Claim = field(default_factory=Claim)
    saved: SavedLbr = field(default_factory=SavedLbr)
    pmu: GuestPmu = field(default_factory=GuestPmu)
    lvtpc: int = LVT_NMI

    @property
    def waiting(self) -> bool:
        return self.waits_for != ""

    @property
    def waits_for(self) -> str:
        """What lets the thread go on: a message, or "" if it does not sleep."""
        if self.lbr_desc.asked or self.pmu.waiting:
            return "EventCreated"
        return "Available" if self.refused else ""


@dataclass(slots=True)
class Hypervisor:
    """``early_revokes``: event to grant, of a Revoke that came before the news of that event (R6).
    ``outgoing`` are messages for the host that the endpoint has yet to number and send."""

    machine: MachineSpec
    model: LbrModel
    design: Design
    log: TraceLog
    vms: dict[str, Vm] = field(default_factory=dict)
    vcpus: dict[str, Vcpu] = field(default_factory=dict)
    early_revokes: dict[int, int] = field(default_factory=dict)
    outgoing: list[AnyMessage] = field(default_factory=list)
    requests: int = 0

    @property
    def rules(self) -> KvmRules:
        return KVM_RULES[self.machine.kernel]

    @property
    def fenced(self) -> bool:
        """Whether every use of the LBR names the grant that it goes by."""
        return self.design.entry_check is EntryCheck.FENCE

    @property
    def remembers_at_load(self) -> bool:
        """Whether the host's DEBUGCTL is remembered at vcpu_load, and may be stale by the time of an entry."""
        when = self.design.host_debugctl
        return when is HostDebugctl.AT_LOAD or (
            when is HostDebugctl.AT_ENTRY_SINCE_V6_14 and not self.rules.fresh_host_debugctl
        )

    @property
    def saves_select(self) -> bool:
        """Whether LBR_SELECT is part of what KVM itself saves."""
        return self.design.save_select is not SaveSelect.NO
