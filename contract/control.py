"""The commands that the driver may give each service. ``contract.results`` has the answers. Wire form:
``perf_control.proto``, ``kvm_control.proto``."""

from __future__ import annotations

import msgspec

from contract.design import Design
from contract.machine import AnyOp
from contract.messages import LbrImage
from contract.x86 import LVT_NMI


class MachineSpec(msgspec.Struct, frozen=True):
    """A host machine. ``lbr`` names an LBR generation, ``depth`` cuts its ring (0: the real depth). ``counters``:
    general counters of a CPU. ``fixed``: the number of its fixed counters (instructions, cycles, ref-cycles). ``pmu``:
    ``intel``, or ``armv8`` to replay cases that were recorded there (general counters and one for cycles).
    ``bus_lock``, ``rtm``: the CPU can trap bus locks, has transactions. ``mediated``: KVM runs with
    enable_mediated_pmu, and so offers guests no LBR.

    In a run with several hosts, ``host`` numbers them from 0, and CPUs are numbered through all hosts: this one has
    those from ``first_cpu``. Each host has its own range of serial numbers for branches and of ids for events."""

    cpus: int = 1
    lbr: str = "skylake"
    depth: int = 0
    counters: int = 4
    fixed: int = 3
    pmu: str = "intel"
    kernel: str = "v5.12"
    bus_lock: bool = False
    rtm: bool = False
    mediated: bool = False
    host: int = 0
    first_cpu: int = 0


class VmSpec(msgspec.Struct, frozen=True):
    """``lbr``: user space sets LBR_FMT in PERF_CAPABILITIES to the host's (or enables the KVM capability), which gives
    the guest an LBR if KVM takes it.

    The guest's CPUID: ``pmu`` is the PMU version of leaf 0xA (0: no PMU), ``pdcm`` that PERF_CAPABILITIES exists,
    ``model`` whether family and model are the ``host``'s or ``other``, ``bus_lock`` and ``rtm`` as in MachineSpec.
    ``counters`` and ``fixed`` are the counters of leaf 0xA, None for as many as the host has. KVM gives at most that
    many.

    ``apic``: the local APIC is in the kernel. If user space emulates it, KVM delivers no PMI."""

    name: str
    vcpus: int = 1
    lbr: bool = True
    pmu: int = 2
    pdcm: bool = True
    model: str = "host"
    bus_lock: bool = False
    rtm: bool = False
    counters: int | None = None
    fixed: int | None = None
    apic: bool = True

    def vcpu_names(self) -> list[str]:
        return [f"{self.name}/{i}" for i in range(self.vcpus)]


class PerfCommand(msgspec.Struct, tag_field="do", tag=True, gc=False):
    """Base of commands to the perf core."""


class ConfigurePerf(PerfCommand):
    """Start again: a new machine, no events, no sessions. ``vcpus`` names the vCPU threads, which are tasks.

    ``serial``: number of the first branch, 0 for the usual one. A host that starts again continues after the branches
    of its earlier lives, so each branch of a run has an origin of its own."""

    machine: MachineSpec
    design: Design
    tasks: list[str]
    vcpus: list[str]
    serial: int = 0


class RunTask(PerfCommand):
    """Switch ``task`` in on ``cpu``; the empty name is the idle task."""

    task: str
    cpu: int


class Open(PerfCommand):
    """``perf_event_open``. EINPROGRESS: it waits for a KVM; repeat the command to continue it. ``task`` empty: a CPU
    event. ``cpu`` -1: a task event that follows its task. ``branch`` empty: no branch stack, just a counter; else
    perf's branch filter names. ``group``: name of the leader to join ("" makes a leader). ``config``: the counted
    event, ``general`` (any general counter), an event with a fixed counter (instructions, cycles, ref-cycles), or a
    tracer (bts, pt). ``period``: branches between two PMIs that each take a sample (0: none).

    ``privilege``: with ``branch`` the levels of the branch filter, without it the levels that are counted; empty: the
    levels that are not excluded. ``exclude_host`` to ``exclude_kernel``: the bits of perf_event_attr. They affect
    counting only, not LBR_SELECT."""

    event: str
    cpu: int = -1
    task: str = ""
    pinned: bool = False
    branch: list[str] = []
    privilege: list[str] = msgspec.field(default_factory=lambda: ["user", "kernel"])
    disabled: bool = False
    group: str = ""
    exclusive: bool = False
    config: str = "general"
    exclude_guest: bool = False
    period: int = 0
    exclude_host: bool = False
    exclude_user: bool = False
    exclude_kernel: bool = False


class Enable(PerfCommand):
    """``group``: the whole group, member by member (PERF_IOC_FLAG_GROUP). EINPROGRESS as for Open."""

    event: str
    group: bool = False


class Disable(PerfCommand):
    event: str
    group: bool = False


class SetMuxInterval(PerfCommand):
    """``perf_event_mux_interval_ms`` of ``cpu`` (-1: of all): ``ns`` between ticks, at least one millisecond. Ticks
    fall on ``phase`` + k * ``ns`` nanoseconds."""

    ns: int
    cpu: int = -1
    phase: int = 0


class Mediate(PerfCommand):
    """A VM with a mediated vPMU is created (``create``) or destroyed. Fails with EBUSY while events that count guests
    are open."""

    create: bool


class Close(PerfCommand):
    event: str


class Read(PerfCommand):
    """``read(2)`` on the event: a Counted, or EOF in ERROR."""

    event: str


class Sample(PerfCommand):
    """A PMI of this event now: the branch stack that its sample carries."""

    event: str


class Retire(PerfCommand):
    """Host code on ``cpu``, in the context of the task there, executes ``count`` branches. EINPROGRESS with the number
    executed: many of them interrupt, and the caller asks for the rest, so that no other call waits long."""

    cpu: int
    count: int
    branch: str = "jmp"
    privilege: str = "kernel"


class Advance(PerfCommand):
    """Virtual time advances by ``ns``."""

    ns: int


class FireHostTimer(PerfCommand):
    """A timer of the host's end of ``session`` has run out; see ``contract.trace.Timer``."""

    session: str
    timer: str


class LoseLink(PerfCommand):
    """The link to the KVM of ``session`` is lost. ENOENT: there is no such session."""

    session: str


class DrainSession(PerfCommand):
    """The host ends a session in order. ENOENT: there is no such session. EINVAL: it is not open."""

    session: str
    reason: str


class EndSession(PerfCommand):
    """The KVM of ``session`` is gone: the threads of its vCPUs exit. ENOENT: there is no such session."""

    session: str


class ExitTask(PerfCommand):
    """A host task exits, and its events go with it. It does not run again, unless it is the thread of a vCPU whose KVM
    begins a new life. ESRCH: there is no such task."""

    task: str


class PerfSnapshot(PerfCommand):
    pass


AnyPerfCommand = (
    ConfigurePerf
    | RunTask
    | Open
    | Enable
    | Disable
    | SetMuxInterval
    | Mediate
    | Close
    | Read
    | Sample
    | Retire
    | Advance
    | FireHostTimer
    | LoseLink
    | DrainSession
    | EndSession
    | ExitTask
    | PerfSnapshot
)


class KvmCommand(msgspec.Struct, tag_field="do", tag=True, gc=False):
    """Base of commands to KVM."""


class ConfigureKvm(KvmCommand):
    """Start again as session ``kvm`` with these VMs: send Hello and register every vCPU. ``epoch``: the number of this
    life of the KVM, from 1 (R5, R22)."""

    kvm: str
    machine: MachineSpec
    design: Design
    vms: list[VmSpec]
    epoch: int = 1


class StepVcpu(KvmCommand):
    """One step of the vCPU's thread. ``ops`` is the guest code to start; empty: continue the code that was started."""

    vcpu: str
    ops: list[AnyOp] = []


class SetMsr(KvmCommand):
    """KVM_SET_MSRS of one register by host task ``thread``, the vCPU's own if none is named: 1 taken, 0 rejected.
    EINPROGRESS: the ioctl waits for the host, call it again."""

    vcpu: str
    msr: int
    value: int
    thread: str = ""


class GetMsr(KvmCommand):
    """KVM_GET_MSRS of one register. ENOENT: rejected. Otherwise as SetMsr."""

    vcpu: str
    msr: int
    thread: str = ""


class MsrEntry(msgspec.Struct, frozen=True):
    """``struct kvm_msr_entry``"""

    msr: int
    value: int


class SetMsrs(KvmCommand):
    """KVM_SET_MSRS of a list, in its order, up to the first register that KVM rejects. Gives the number of registers
    taken. E2BIG for ``MSRS_LIMIT`` or more; EINPROGRESS as for SetMsr."""

    vcpu: str
    entries: list[MsrEntry]
    thread: str = ""


class GetMsrs(KvmCommand):
    """KVM_GET_MSRS of a list, as SetMsrs. Gives a MsrsRead."""

    vcpu: str
    msrs: list[int]
    thread: str = ""


MSRS_LIMIT = 256
"""MAX_IO_MSRS: an ioctl takes fewer registers than this."""
MsrIoctl = SetMsr | GetMsr | SetMsrs | GetMsrs


class StopLbr(KvmCommand):
    """User space makes the vCPU stop using the LBR: event released, passthrough off, the guest denied as the design
    says."""

    vcpu: str


class ResetVcpu(KvmCommand):
    """The vCPU is reset, as by INIT (``kvm_vcpu_reset``): DEBUGCTL and the counters are 0, the LBR MSRs stay as they
    are. EBUSY while guest code runs."""

    vcpu: str


class SetCpuid(KvmCommand):
    """KVM_SET_CPUID2 for every vCPU of the VM that ``vcpu`` belongs to: user space gives the same to all. None: that
    part of the CPUID stays as it is. EINVAL if the kernel takes no other CPUID after the first KVM_RUN; EBUSY while one
    of the vCPUs has an unfinished step."""

    vcpu: str
    pmu: int | None = None
    counters: int | None = None
    fixed: int | None = None
    pdcm: bool | None = None
    model: str | None = None


class FireKvmTimer(KvmCommand):
    """A timer of KVM's has run out; see ``contract.trace.Timer``."""

    timer: str


class KvmLoseLink(KvmCommand):
    """The link to the host is lost."""


class KvmMendLink(KvmCommand):
    """The link to the host is up again: KVM resumes its session. EINVAL: it was not lost."""


class SetClockRate(KvmCommand):
    """The clock of this KVM runs at ``rate`` millionths of virtual time from now on. The KVM judges leases and its own
    timers by it."""

    rate: int


class KvmDrain(KvmCommand):
    """KVM ends its session in order. EINVAL: it is not open."""

    reason: str


class VcpuImage(msgspec.Struct):
    """State of a vCPU that user space carries to another host. ``msrs``: the save list of the source's kernel
    (KVM_GET_MSR_INDEX_LIST), in its order, without what the guest lacks. ``lbr`` None: it contains no LBR MSRs, and the
    guest finds its LBR empty (no list of KVM has them, QEMU does not ask for them). ``debugctl`` is None in the same
    cases. ``capabilities``: PERF_CAPABILITIES of the VM that user space sets up at the other end. ``owes_denial``: the
    guest lost its LBR and has not been told; an image with LBR MSRs carries that too. ``lvtpc``: the LVTPC of its local
    APIC (KVM_GET_LAPIC)."""

    debugctl: int = 0
    capabilities: int = 0
    lbr: LbrImage | None = None
    msrs: list[MsrEntry] = []
    owes_denial: bool = False
    lvtpc: int = LVT_NMI


class SaveVcpu(KvmCommand):
    """User space reads the state of a vCPU, by the vCPU's thread, which must be on a CPU and between two pieces of
    guest code (else EAGAIN). ``lbr``: also read DEBUGCTL and the LBR MSRs. The vCPU does not change."""

    vcpu: str
    lbr: bool = False


class LoadVcpu(KvmCommand):
    """User space sets up a vCPU that has not run here from an image: this KVM forgets everything it knew of the vCPU.
    EINVAL: this KVM cannot give the guest the features in the image."""

    vcpu: str
    image: VcpuImage


class CloseVcpu(KvmCommand):
    """User space closes a vCPU that continues elsewhere (``kvm_pmu_destroy``): KVM releases the host events of its
    counters."""

    vcpu: str


class EndVcpu(KvmCommand):
    """The thread of a vCPU has exited, and the vCPU ends with it (``kvm_vcpu_destroy``): KVM forgets it."""

    vcpu: str


class KvmSnapshot(KvmCommand):
    pass


AnyKvmCommand = (
    ConfigureKvm
    | StepVcpu
    | MsrIoctl
    | StopLbr
    | ResetVcpu
    | SetCpuid
    | SaveVcpu
    | LoadVcpu
    | CloseVcpu
    | EndVcpu
    | FireKvmTimer
    | KvmLoseLink
    | KvmMendLink
    | SetClockRate
    | KvmDrain
    | KvmSnapshot
)
