"""State of a KVM: its VMs and vCPUs, and the messages that it has not sent yet."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from msgspec.structs import replace

from contract.canonical import Event, Request, marked, register
from contract.control import GetMsr, GetMsrs, MachineSpec, MsrIoctl, SetMsr, SetMsrs, VmSpec
from contract.design import Design, EntryCheck, HostDebugctl, SaveSelect
from contract.effects import Effects
from contract.machine import AnyOp, Exit, GuestValue
from contract.messages import AnyMessage, LbrImage
from contract.x86 import LVT_NMI, LbrModel
from kvm_svc.hypervisor.claim import GuestClaim
from kvm_svc.hypervisor.grant import EarlyRevokes, KnownGrant
from kvm_svc.hypervisor.guest_pmu import GuestPmu
from kvm_svc.hypervisor.kernel_rules import KVM_RULES, KvmRules
from kvm_svc.hypervisor.own_clock import OwnClock


@dataclass(slots=True)
class Vm:
    """One VM."""

    spec: VmSpec
    """The VM as user space configured it, with later changes of its CPUID."""
    capabilities: int
    """Guest IA32_PERF_CAPABILITIES."""
    has_run: bool = False
    """A vCPU has run. Some kernels then keep ``capabilities`` and the CPUID as they are."""
    has_records: bool = False
    """``lbr_desc.records.nr`` is not 0."""
    lbr_enabled: bool = False
    """``intel_pmu_lbr_is_enabled``; ``kvm_svc.hypervisor.capabilities`` keeps it up to date."""

    def clone(self) -> Vm:
        return Vm(self.spec, self.capabilities, self.has_run, self.has_records, self.lbr_enabled)

    def key(self) -> tuple[Hashable, ...]:
        return marked(self.spec), self.capabilities, self.has_run, self.has_records, self.lbr_enabled


@dataclass(slots=True)
class Handling:
    """An exit, or an access of user space, that KVM is working on."""

    exit: Exit
    """The exit."""
    accessed: bool = False
    """The access to the register is done."""
    value: int = 0
    """The result of that access."""
    fault: bool = False
    """The hardware refused the access."""
    enabled: bool = False
    """The event was enabled again for this access."""
    by_user: bool = False
    """An ioctl of user space makes the access; there was no exit."""
    task: str = ""
    """Host task that makes the ioctl; "": the vCPU's thread."""

    def clone(self) -> Handling:
        return Handling(self.exit, self.accessed, self.value, self.fault, self.enabled, self.by_user, self.task)

    def key(self) -> tuple[Hashable, ...]:
        """Without the values of the exit, which the vCPU has taken over."""
        value = register(self.exit.msr, self.value)
        return (
            marked(replace(self.exit, values=[])),
            self.accessed,
            value,
            self.fault,
            self.enabled,
            self.by_user,
            self.task,
        )


@dataclass(slots=True)
class Ioctl:
    """KVM_SET_MSRS or KVM_GET_MSRS that waits for the host."""

    command: MsrIoctl
    """The ioctl."""
    values: list[int] = field(default_factory=list)
    """The values of the registers done so far; 0 for a register that was set."""
    handling: Handling | None = None
    """The access in progress; None: none."""

    def clone(self) -> Ioctl:
        return Ioctl(self.command, self.values[:], None if self.handling is None else self.handling.clone())

    def key(self) -> tuple[Hashable, ...]:
        handling = None if self.handling is None else self.handling.key()
        # A list of registers to read is long, and done from its beginning: the values are those of its first entries.
        values = tuple([register(msr, value) for msr, value in zip(registers(self.command), self.values, strict=False)])
        return marked(self.command), values, handling


def registers(command: MsrIoctl) -> list[int]:
    """The registers that an ioctl names, in order."""
    match command:
        case SetMsr(msr=msr) | GetMsr(msr=msr):
            return [msr]
        case SetMsrs(entries=entries):
            return [entry.msr for entry in entries]
        case GetMsrs(msrs=msrs):
            return msrs


@dataclass(slots=True)
class LbrDesc:
    """``struct lbr_desc``: the host's event that stands for the guest, and passthrough of the LBR MSRs."""

    event: int = 0
    """Id of the event on the host; 0: none."""
    request: int = 0
    """Number of a CreateEvent or EnableEvent that is not answered yet; 0: none."""
    enabling: int = 0
    """Event of that EnableEvent; 0 for a CreateEvent."""
    for_access: bool = False
    """The access in progress uses the result of that CreateEvent."""
    create_errno: str = ""
    """Errno of the CreateEvent whose result the access uses; "": it succeeded."""
    passthrough: bool = False
    """The LBR MSRs are not intercepted."""
    used: bool = False
    """The guest touched the LBR in this slice (``lbr_used`` of v7 and v8)."""
    in_use: bool = False
    """Bit 58 of ``pmc_in_use`` (v5.12)."""
    cleanup: bool = False
    """The first entry of the slice checks whether the event can be released."""
    asked_early: bool = False
    """The event was asked for before any access (activation = eager)."""

    def clone(self) -> LbrDesc:
        return LbrDesc(
            self.event,
            self.request,
            self.enabling,
            self.for_access,
            self.create_errno,
            self.passthrough,
            self.used,
            self.in_use,
            self.cleanup,
            self.asked_early,
        )

    def key(self) -> tuple[Hashable, ...]:
        """``enabling`` and ``for_access`` tell of the request that is out, and of nothing without one."""
        asked = (Request(self.request), Event(self.enabling), self.for_access) if self.request else ()
        flags = self.passthrough, self.used, self.in_use, self.cleanup, self.asked_early
        return Event(self.event), asked, self.create_errno, flags


@dataclass(slots=True)
class KvmSavedLbr:
    """A guest's LBR that KVM itself saves."""

    active: bool = False
    """The guest uses the LBR."""
    snapshot: LbrImage | None = None
    """The saved LBR; None: none."""
    restore: bool = False
    """``snapshot`` is to be restored before the next entry."""
    arrived: LbrImage | None = None
    """The LBR that came with a migration. It goes into the ring at the first entry at which the guest's event is
    ACTIVE. None: none."""

    def clone(self) -> KvmSavedLbr:
        return KvmSavedLbr(self.active, self.snapshot, self.restore, self.arrived)

    def key(self) -> tuple[Hashable, ...]:
        return self.active, marked(self.snapshot), self.restore, marked(self.arrived)


@dataclass(slots=True)
class Vcpu:
    """One vCPU. Its thread is the host task of the same name."""

    name: str
    """Its name, ``VM/N``."""
    vm: Vm
    """Its VM."""
    cpu: int = -1
    """CPU of its thread in KVM's view, from the preempt notifiers; -1: off."""
    guest_mode: bool = False
    """The last entry has not exited yet, as far as KVM knows."""
    kick: bool = False
    """The guest has to exit before it runs on."""
    ops: list[AnyOp] = field(default_factory=list)
    """Guest code that is still to be executed, in order."""
    values: list[GuestValue] = field(default_factory=list)
    """Results of the guest code executed so far."""
    handling: Handling | None = None
    """The exit that KVM is working on; None: none."""
    ioctl: Ioctl | None = None
    """An ioctl of user space that waits for the host; None: none."""
    debugctl: int = 0
    """Guest IA32_DEBUGCTL in the VMCS."""
    host_debugctl: int = 0
    """The value that KVM writes into DEBUGCTL after an exit."""
    refused: bool = False
    """The guest is not entered: the thread sleeps until the LBR is the guest's again."""
    lbr_desc: LbrDesc = field(default_factory=LbrDesc)
    """The event that stands for the guest."""
    claim: GuestClaim = field(default_factory=GuestClaim)
    """The guest's claim to the LBR."""
    grant: KnownGrant = field(default_factory=KnownGrant)
    """The grant that KVM knows of."""
    saved: KvmSavedLbr = field(default_factory=KvmSavedLbr)
    """The LBR that KVM itself saves."""
    pmu: GuestPmu = field(default_factory=GuestPmu)
    """The guest's counters."""
    lvtpc: int = LVT_NMI
    """LVTPC of its local APIC."""

    def clone(self, vm: Vm) -> Vcpu:
        """In the copy of its VM."""
        return Vcpu(
            self.name,
            vm,
            self.cpu,
            self.guest_mode,
            self.kick,
            self.ops,
            self.values[:],
            None if self.handling is None else self.handling.clone(),
            None if self.ioctl is None else self.ioctl.clone(),
            self.debugctl,
            self.host_debugctl,
            self.refused,
            self.lbr_desc.clone(),
            self.claim.clone(),
            self.grant.clone(),
            self.saved.clone(),
            self.pmu.clone(),
            self.lvtpc,
        )

    def key(self) -> tuple[Hashable, ...]:
        msrs = self.debugctl, self.host_debugctl, self.lvtpc
        standing = self.cpu, self.guest_mode, self.kick, self.refused, msrs
        values = zip(self.ops, self.values, strict=False)
        done = tuple([(register(getattr(op, "msr", 0), value.value), value.fault) for op, value in values])
        work = None if self.handling is None else self.handling.key(), None if self.ioctl is None else self.ioctl.key()
        parts = self.lbr_desc.key(), self.claim.key(), self.grant.key(), self.saved.key(), self.pmu.key()
        return self.name, self.vm.spec.name, standing, marked(self.ops), done, work, parts

    @property
    def waiting(self) -> bool:
        return self.waits_for != ""

    @property
    def waits_for(self) -> str:
        """The message that the thread waits for; "" if it does not sleep."""
        if self.lbr_desc.request or self.pmu.waiting:
            return "EventCreated"
        return "Available" if self.refused else ""


@dataclass(slots=True)
class KvmState:
    """All state of the hypervisor."""

    vms: dict[str, Vm] = field(default_factory=dict)
    """Name to VM."""
    vcpus: dict[str, Vcpu] = field(default_factory=dict)
    """Name to vCPU."""
    early_revokes: EarlyRevokes = field(default_factory=EarlyRevokes)
    """The Revokes that came before the EventCreated of their event (R6)."""
    requests: int = 0
    """Number of the newest request."""
    own_clock: OwnClock = field(default_factory=OwnClock)
    """The clock by which leases are judged."""

    def clone(self) -> KvmState:
        vms = {name: vm.clone() for name, vm in self.vms.items()}
        vcpus = {name: vcpu.clone(vms[vcpu.vm.spec.name]) for name, vcpu in self.vcpus.items()}
        return KvmState(vms, vcpus, self.early_revokes.clone(), self.requests, self.own_clock.clone())

    def key(self) -> tuple[Hashable, ...]:
        """Without the newest request: the next is above all others."""
        vms, vcpus = self.vms.values(), self.vcpus.values()
        return (
            tuple([vm.key() for vm in vms]),
            tuple([vcpu.key() for vcpu in vcpus]),
            self.early_revokes.key(),
            self.own_clock.key(),
        )


class Hypervisor:
    """KVM at work. ``state`` is all its state; ``vms``, ``vcpus`` and ``early_revokes`` are parts of it.

    Of the step under way: ``outgoing`` are messages for the host that the endpoint has yet to number and send."""

    __slots__ = (
        "clock",
        "design",
        "early_revokes",
        "effects",
        "fenced",
        "machine",
        "model",
        "outgoing",
        "state",
        "vcpus",
        "vms",
    )

    def __init__(
        self, machine: MachineSpec, model: LbrModel, design: Design, state: KvmState, effects: Effects
    ) -> None:
        self.machine = machine
        self.model = model
        self.design = design
        self.fenced = design.entry_check is EntryCheck.FENCE
        """Whether every use of the LBR names the grant that it relies on."""
        self.effects = effects
        self.clock = effects.clock
        self.state = state
        self.vms, self.vcpus, self.early_revokes = state.vms, state.vcpus, state.early_revokes
        self.outgoing: list[AnyMessage] = []

    def own_time(self) -> int:
        """The time that KVM's clock shows now, nanoseconds."""
        return self.state.own_clock.at(self.clock.now)

    def next_request(self) -> int:
        self.state.requests += 1
        return self.state.requests

    @property
    def rules(self) -> KvmRules:
        return KVM_RULES[self.machine.kernel]

    @property
    def remembers_at_load(self) -> bool:
        """Whether the host's DEBUGCTL is saved at vcpu_load, and may be out of date at an entry."""
        when = self.design.host_debugctl
        return when is HostDebugctl.AT_LOAD or (
            when is HostDebugctl.AT_ENTRY_SINCE_V6_14 and not self.rules.fresh_host_debugctl
        )

    @property
    def saves_select(self) -> bool:
        """Whether KVM saves LBR_SELECT with the LBR."""
        return self.design.save_select is not SaveSelect.NO
