"""State of a KVM: its VMs and vCPUs, and what it has yet to tell the host."""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.control import MachineSpec, VmSpec
from contract.design import Design
from contract.machine import AnyOp, Exit, GuestValue
from contract.messages import AnyMessage, LbrImage
from contract.trace import TraceLog
from contract.x86 import LbrModel
from kvm_svc.hypervisor.guest_pmu import GuestPmu
from kvm_svc.hypervisor.rules import KVM_RULES, KvmRules


@dataclass(slots=True)
class Vm:
    """``capabilities``: guest IA32_PERF_CAPABILITIES; frozen once a vCPU ``has_run``. ``lbr_enabled``:
    ``intel_pmu_lbr_is_enabled``, which ``kvm_svc.hypervisor.capabilities`` keeps up to date."""

    spec: VmSpec
    capabilities: int
    has_run: bool = False
    lbr_enabled: bool = False


@dataclass(slots=True)
class Handling:
    """An exit that KVM is working on. ``accessed``: the register was touched already, ``value`` is what came of it;
    ``fault``: the hardware refused it. ``by_user``: no exit but an ioctl of user space, made by host task ``task``
    where that is not the vCPU's thread."""

    exit: Exit
    accessed: bool = False
    value: int = 0
    fault: bool = False
    by_user: bool = False
    task: str = ""


@dataclass(slots=True)
class LbrDesc:
    """``struct lbr_desc``: the host's event that stands for the guest, and passthrough of the LBR MSRs.

    ``event`` is the host's event id or 0, ``asked`` the request of a CreateEvent not yet answered, ``create_errno``
    what the last one failed with. ``passthrough``: the LBR MSRs are not intercepted. ``used``: the guest touched the
    LBR in this slice (``lbr_used`` of v7 and v8). ``in_use``: bit 58 of ``pmc_in_use`` (5.12). ``cleanup``: look at
    the first entry whether the event can go."""

    event: int = 0
    asked: int = 0
    create_errno: str = ""
    passthrough: bool = False
    used: bool = False
    in_use: bool = False
    cleanup: bool = False


@dataclass(slots=True)
class Claim:
    """What notifications told of the guest's right to the LBR.

    ``grant`` is the current grant, ``newest`` the highest ever heard of, ``state`` what the host last said of it.
    ``denied``: the host told KVM that this guest may not use the LBR; ``stopped``: user space did, for good;
    ``untold``: the guest has not met its denial yet."""

    grant: int = 0
    newest: int = 0
    state: str = ""
    denied: bool = False
    stopped: bool = False
    untold: bool = False

    @property
    def shut_off(self) -> bool:
        """Whether KVM knows that this guest may not use the LBR."""
        return self.denied or self.stopped


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
    ``host_debugctl`` what is written back after an exit. ``ioctl`` is an access by user space that waits for the
    host."""

    name: str
    vm: Vm
    cpu: int = -1
    guest_mode: bool = False
    kick: bool = False
    ops: list[AnyOp] = field(default_factory=list)
    values: list[GuestValue] = field(default_factory=list)
    handling: Handling | None = None
    ioctl: Handling | None = None
    debugctl: int = 0
    host_debugctl: int = 0
    lbr_desc: LbrDesc = field(default_factory=LbrDesc)
    claim: Claim = field(default_factory=Claim)
    saved: SavedLbr = field(default_factory=SavedLbr)
    pmu: GuestPmu = field(default_factory=GuestPmu)

    @property
    def waiting(self) -> bool:
        return self.lbr_desc.asked != 0 or self.pmu.waiting


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
