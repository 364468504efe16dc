"""The host machine: host and guest mode, branches, interrupts, and the requests of the machine stream.

Theory of operation. A CPU is in host mode, running a task, or in guest mode, running a vCPU whose thread is that task.
KVM asks for an entry; the guest then executes on the silicon until something exits. When the guest's code runs out the
CPU stays in guest mode, so an interrupt may find it there. Host code never runs on a CPU in guest mode: the interrupt
forces an exit first. KVM learns of a forced exit when that vCPU's thread next steps.

VM-entry loads DEBUGCTL from the VMCS; VM-exit saves it there and zeroes the register (SDM vol. 3C, "Loading Host
State"). The LBR itself is not touched by either; whether the transition leaves a record of its own is model-specific;
here it does not. KVM's first instructions after an exit, with interrupts still off, belong to the exit and are a field
of the entry's controls.
"""

from __future__ import annotations

from collections.abc import Callable

from contract.effects import Effects
from contract.lbr_ring import is_image, mended, refused_register
from contract.machine import (
    EXIT_EXTERNAL_INTERRUPT,
    EXIT_MSR_READ,
    EXIT_MSR_WRITE,
    EXIT_NMI,
    AnyOp,
    AnyReply,
    Branch,
    Continue,
    Controls,
    Enter,
    EntryRefused,
    Exit,
    GuestValue,
    LbrLoaded,
    LbrStored,
    LoadLbr,
    Look,
    MsrDone,
    NotRunning,
    Ran,
    Rdmsr,
    Rdpmc,
    ReadMsr,
    SiliconRequest,
    StoreLbr,
    WriteMsr,
    Wrmsr,
)
from contract.messages import LbrImage
from contract.provenance import SERIAL_LIMIT, branch_base
from contract.trace import (
    GuestMsr,
    HostMsr,
    LbrRestore,
    LbrSave,
    Retired,
    VmEntry,
    VmEntryRefused,
    VmExit,
)
from contract.x86 import (
    DEBUGCTL_DEFINED,
    DEBUGCTL_FREEZE_LBRS_ON_PMI,
    DEBUGCTL_LBR,
    in_ranges,
)
from perfcore_svc.machine.board import Board
from perfcore_svc.machine.counters import Counters, NoCounters
from perfcore_svc.machine.cpu import Cpu, Silicon, Vmcs
from perfcore_svc.machine.msr import (
    GeneralProtectionError,
    rdmsr,
    wrmsr,
)

IsActive = Callable[[int, int], bool]
"""Whether an event is ACTIVE and, grant not 0, still under that grant; asked at the moment a request is carried out."""


_OF_ANY_TASK = (ReadMsr, WriteMsr, LoadLbr, Look)
"""Requests that another task than the vCPU's thread can make."""
_MSR_OPS = (Rdmsr, Wrmsr)
OVERFLOWS_AT_ONCE = 512
"""The most counter interrupts of one command of the host: some 0.1 s of work."""


class Machine:
    """The silicon at work: ``state`` is all that it remembers, of which ``cpus`` and ``vmcs`` are parts. ``operations``
    counts what has a price."""

    __slots__ = (
        "actors", "board", "cpus", "effects", "first_cpu", "model", "operations", "passed", "pmi", "state", "vmcs"
    )  # fmt: skip

    def __init__(
        self, board: Board, state: Silicon, effects: Effects, operations: dict[str, int] | None = None
    ) -> None:
        self.board = board
        self.model, self.passed, self.actors, self.first_cpu = board.model, board.passed, board.actors, board.first_cpu
        self.state = state
        self.cpus, self.vmcs = state.cpus, state.vmcs
        self.effects = effects
        self.operations = {} if operations is None else operations
        self.pmi: Counters = NoCounters()

    def count(self, operation: str, times: int = 1) -> None:
        self.operations[operation] = self.operations.get(operation, 0) + times

    # Host code -------------------------------------------------------------------------------------------

    def interrupt(self, cpu: Cpu) -> None:
        """Force the CPU into host mode: send an IPI, which makes a running guest exit."""
        if cpu.guest:
            self.count("ipi")
            vmcs = self.vmcs[cpu.guest]
            vmcs.forced = self._exit(cpu, vmcs, EXIT_EXTERNAL_INTERRUPT, [])

    def host_retire(self, cpu: Cpu, branch: str, privilege: str, count: int) -> int:
        """Branches of the host, with the interrupts that they cause. Returns the number retired: fewer than ``count``
        after ``OVERFLOWS_AT_ONCE`` interrupts."""
        left = count
        for _ in range(OVERFLOWS_AT_ONCE):
            room = self.pmi.room(cpu, privilege)
            burst = min(left, room)
            self.retire(cpu, branch, privilege, burst)
            left -= burst
            if burst == room:
                self.pmi.overflow(cpu, _freezes(cpu))
            if not left:
                break
        return count - left

    def handler_branches(self, cpu: Cpu, count: int, recording: bool) -> tuple[int, bool]:
        """The branches of an interrupt handler: first serial, and whether the LBR records them."""
        first = self._serials(count)
        address = branch_base(self.actors[cpu.task], False, "call", "kernel") + 2 * first
        return first, recording and cpu.lbr.retire(address, count, "call", "kernel")

    def retire(self, cpu: Cpu, branch: str, privilege: str, count: int) -> None:
        """Branches of the mode and task or vCPU that is on this CPU."""
        guest = bool(cpu.guest)
        actor = self.actors[cpu.guest or cpu.task]
        first = self._serials(count)
        if privilege == "user":
            if guest:
                cpu.guest_user += count
            else:
                cpu.host_user += count
        elif guest:
            cpu.guest_kernel += count
        else:
            cpu.host_kernel += count
        recorded = False
        if cpu.recording:
            address = branch_base(actor, guest, branch, privilege) + 2 * first
            recorded = cpu.lbr.retire(address, count, branch, privilege)
        self.effects.add(Retired(cpu.index, actor, guest, branch, privilege, first, count, recorded))

    def _serials(self, count: int) -> int:
        """The first of ``count`` serial numbers. A burst does not wrap around: its addresses would run into the next
        field."""
        serial = self.state.serial
        first = serial if serial + count <= SERIAL_LIMIT else self.board.first_serial
        self.state.serial = first + count
        return first

    # The machine stream ----------------------------------------------------------------------------------

    def handle(self, request: SiliconRequest, is_active: IsActive) -> AnyReply:
        """Answer KVM."""
        if isinstance(request, _OF_ANY_TASK) and request.task:
            return self._for_another_thread(request, is_active)
        if not self.first_cpu <= request.cpu < len(self.cpus):
            return NotRunning(f"there is no cpu{request.cpu}")
        cpu = self.cpus[request.cpu]
        vmcs = self.vmcs.get(request.vcpu) or Vmcs()
        if isinstance(request, Continue) and vmcs.forced is not None:
            exit_, vmcs.forced = vmcs.forced, None
            return exit_
        if request.vcpu not in self.actors or cpu.task != request.vcpu:
            return NotRunning(f"the thread of {request.vcpu} is not on cpu{request.cpu}")
        if isinstance(request, Continue):
            if cpu.guest != request.vcpu:
                return NotRunning(f"{request.vcpu} is not in guest mode on cpu{request.cpu}")
            if request.kick:
                self.count("ipi")
                return self._exit(cpu, vmcs, EXIT_EXTERNAL_INTERRUPT, [])
            return self._run(cpu, vmcs, request.ops, None)
        if cpu.guest:
            return NotRunning(f"cpu{request.cpu} is in guest mode")
        if isinstance(request, Enter):
            return self._enter(cpu, vmcs, request, is_active)
        return self._host_access(cpu, request, is_active)

    def _for_another_thread(self, request: ReadMsr | WriteMsr | LoadLbr | Look, is_active: IsActive) -> AnyReply:
        """KVM's code in the context of a task that is not the vCPU's thread."""
        cpu = next((cpu for cpu in self.cpus if cpu.task == request.task), None)
        if cpu is None or request.vcpu not in self.actors:
            return NotRunning(f"{request.task} is on no CPU")
        if cpu.guest:
            return NotRunning(f"cpu{cpu.index} is in guest mode")
        return self._host_access(cpu, request, is_active)

    def _enter(self, cpu: Cpu, vmcs: Vmcs, request: Enter, is_active: IsActive) -> AnyReply:
        """A VM-entry, in one piece with the check that the controls may ask for: the merged kernel's, or the fence."""
        controls = request.controls
        passthrough, debugctl, active = controls.passthrough, controls.debugctl, None
        if (check := controls.check) is not None:
            active = is_active(check.event, check.grant)
            passthrough = check.when_active if active else check.otherwise
            if not active and check.refuse:
                self.effects.add(VmEntryRefused(cpu.index, request.vcpu, "the entry check"))
                return EntryRefused("the entry check", checked=True)
            if not active and check.strip:
                debugctl &= ~DEBUGCTL_LBR
        if reason := self._entry_failure(cpu, controls):
            self.effects.add(VmEntryRefused(cpu.index, request.vcpu, reason))
            return EntryRefused(reason)
        self.vmcs[request.vcpu] = vmcs
        vmcs.switched = controls.lbr is not None
        if controls.lbr is not None:
            self._load_guest_lbr(cpu, vmcs, request.vcpu, controls.lbr)
        self.pmi.enter_guest(cpu)
        self.count("vmentry")
        self.effects.add(VmEntry(cpu.index, request.vcpu, debugctl, passthrough, cpu.debugctl, vmcs.switched))
        vmcs.host_debugctl = cpu.debugctl if controls.host_debugctl is None else controls.host_debugctl
        vmcs.keep_debugctl, vmcs.passthrough, vmcs.forced = controls.keep_debugctl, passthrough, None
        vmcs.nmi_first = controls.nmi_first
        vmcs.debugctl = cpu.debugctl = debugctl
        cpu.guest = request.vcpu
        return self._run(cpu, vmcs, request.ops, active)

    def _entry_failure(self, cpu: Cpu, controls: Controls) -> str:
        """Why the VMCS of this entry is invalid, "" if it is not (SDM vol. 3C, "VM-Entry Failures")."""
        if controls.debugctl & ~DEBUGCTL_DEFINED:
            return "invalid-guest-state: reserved DEBUGCTL bits"
        if controls.lbr is None:
            return ""
        if controls.lbr != LbrImage() and not is_image(self.model, controls.lbr):
            return "msr-load: this is no image of this LBR"
        bad = refused_register(self.model, controls.lbr)
        return f"msr-load: {bad:#x}" if bad >= 0 else ""

    # The MSR-load and MSR-store lists of an entry that switches the whole LBR

    def _load_guest_lbr(self, cpu: Cpu, vmcs: Vmcs, vcpu: str, image: LbrImage) -> None:
        vmcs.host_lbr = None
        if cpu.recording:
            vmcs.host_lbr = self.store_lbr(cpu, "kvm", "host")
        self.count("msr-load", self.model.registers)
        cpu.lbr.load(image, with_select=True)
        self.effects.add(LbrRestore(cpu.index, "vmx", vcpu, image, select=True))

    def _store_guest_lbr(self, cpu: Cpu, vmcs: Vmcs, vcpu: str) -> LbrImage:
        """The guest's LBR, with FROM values corrected as software has to before it loads them again."""
        self.count("msr-store", self.model.registers)
        self.effects.add(LbrSave(cpu.index, "vmx", vcpu, self.model.depth))
        image = cpu.lbr.store()
        self.count("msr-load", self.model.registers)
        host = vmcs.host_lbr or LbrImage()
        cpu.lbr.load(host, with_select=True)
        self.effects.add(LbrRestore(cpu.index, "vmx", "host", host, select=True))
        return mended(self.model, image)

    def _run(self, cpu: Cpu, vmcs: Vmcs, ops: list[AnyOp], active: bool | None) -> Ran | Exit:
        """Execute guest code until it is done, faults (its last value says so), or exits."""
        values: list[GuestValue] = []
        for op in ops:
            if isinstance(op, _MSR_OPS):
                if not (vmcs.passthrough and in_ranges(self.passed, op.msr)):
                    write = isinstance(op, Wrmsr)
                    exit_ = self._exit(cpu, vmcs, EXIT_MSR_WRITE if write else EXIT_MSR_READ, values, op.msr)
                    exit_.write, exit_.event_active = write, active
                    exit_.value = op.value if isinstance(op, Wrmsr) else 0
                    return exit_
                value = self._guest_access(cpu, op)
                values.append(value)
                if value.fault:
                    break
            elif isinstance(op, Branch):
                room = self.pmi.room(cpu, op.privilege)
                burst = min(op.count, room)
                self.retire(cpu, op.branch, op.privilege, burst)
                if burst == op.count:
                    values.append(GuestValue())
                if burst == room:
                    return self._overflow_exit(cpu, vmcs, values, burst % op.count, active)
            elif op.exits:
                exit_ = self._exit(cpu, vmcs, op.exits, values)
                exit_.value = op.index if isinstance(op, Rdpmc) else 0
                exit_.event_active = active
                return exit_
            else:
                values.append(GuestValue())
        return Ran(values, active)

    def _overflow_exit(self, cpu: Cpu, vmcs: Vmcs, values: list[GuestValue], partial: int, active: bool | None) -> Exit:
        """A host counter overflows in guest mode. DEBUGCTL is the guest's, so its FREEZE_LBRS_ON_PMI decides: before
        perfmon version 4 the overflow clears DEBUGCTL.LBR, and the exit saves that. From version 4 on it sets
        LBRS_FROZEN, which the host's handler clears before the next entry."""
        freezes = _freezes(cpu)
        cleared = freezes and not self.model.streamlined_freeze
        if cleared:
            cpu.debugctl &= ~DEBUGCTL_LBR
        exit_ = self._exit(cpu, vmcs, EXIT_NMI, values, frozen=cleared)
        exit_.partial, exit_.event_active = partial, active
        self._nmi(cpu, vmcs, freezes and not cleared)
        return exit_

    def _guest_access(self, cpu: Cpu, op: Rdmsr | Wrmsr) -> GuestValue:
        result = GuestValue(op.value if isinstance(op, Wrmsr) else 0)
        try:
            if isinstance(op, Wrmsr):
                self.count("wrmsr")
                wrmsr(cpu, op.msr, op.value)
            else:
                self.count("rdmsr")
                result.value = rdmsr(cpu, op.msr)
        except GeneralProtectionError:
            result.fault = True
        self.effects.add(GuestMsr(cpu.index, cpu.guest, isinstance(op, Wrmsr), op.msr, result.value, result.fault))
        return result

    def _exit(
        self, cpu: Cpu, vmcs: Vmcs, reason: str, values: list[GuestValue], msr: int = 0, *, frozen: bool = False
    ) -> Exit:
        self.count("vmexit")
        if msr:
            self.count("msr-exit")
        vmcs.debugctl = cpu.debugctl
        vcpu, cpu.guest = cpu.guest, ""
        lbr = self._store_guest_lbr(cpu, vmcs, vcpu) if vmcs.switched else None
        cpu.debugctl = vmcs.debugctl if vmcs.keep_debugctl else vmcs.host_debugctl
        if cpu.debugctl:
            self.count("wrmsr")
        self.effects.add(VmExit(cpu.index, vcpu, reason, cpu.debugctl, msr, reason == EXIT_MSR_WRITE, frozen))
        self.pmi.leave_guest(cpu)
        return Exit(reason, values, vmcs.debugctl, msr, lbr=lbr, frozen=frozen)

    def _nmi(self, cpu: Cpu, vmcs: Vmcs, frozen: bool) -> None:
        """The interrupt that ended guest mode. The exit has set DEBUGCTL to 0, and KVM's first instructions write the
        host's value: before the handler (``vmx_handle_exit_irqoff``), or after it (``vmx_vcpu_enter_exit``, v6.3)."""
        if not vmcs.nmi_first:
            self.pmi.overflow(cpu, frozen)
            return
        restored, cpu.debugctl = cpu.debugctl, 0
        self.pmi.overflow(cpu, frozen)
        cpu.debugctl = restored

    # KVM's own code on the vCPU's CPU ----------------------------------------------------------------------

    def _host_access(
        self, cpu: Cpu, request: ReadMsr | WriteMsr | Look | StoreLbr | LoadLbr, is_active: IsActive
    ) -> AnyReply:
        if isinstance(request, Look):
            return MsrDone(met=is_active(request.event, request.grant))
        if isinstance(request, StoreLbr):
            return LbrStored(self.store_lbr(cpu, "kvm", request.vcpu))
        if isinstance(request, LoadLbr):
            if request.image != LbrImage() and not is_image(self.model, request.image):
                return NotRunning("this is no image of this LBR")
            self.load_lbr(cpu, "kvm", request.vcpu, request.image, request.select)
            return LbrLoaded()
        if request.event and not is_active(request.event, request.grant):
            return MsrDone(met=False)
        write = isinstance(request, WriteMsr)
        done = MsrDone(met=True, value=request.value if isinstance(request, WriteMsr) else 0)
        try:
            if isinstance(request, WriteMsr):
                self.count("wrmsr")
                wrmsr(cpu, request.msr, request.value)
            else:
                self.count("rdmsr")
                done.value = rdmsr(cpu, request.msr)
        except GeneralProtectionError:
            done.fault = True
        self.effects.add(HostMsr(cpu.index, "kvm", write, request.msr, done.value, done.fault, request.vcpu))
        return done

    def store_lbr(self, cpu: Cpu, by: str, owner: str) -> LbrImage:
        """Read the whole LBR."""
        self.count("rdmsr", self.model.registers)
        self.count("lbr-save")
        self.effects.add(LbrSave(cpu.index, by, owner, self.model.depth))
        return cpu.lbr.store()

    def load_lbr(self, cpu: Cpu, by: str, owner: str, image: LbrImage, with_select: bool) -> None:
        """Write the whole LBR, FROM values mended as ``lbr_from_signext_quirk_wr`` does."""
        self.count("wrmsr", self.model.entry_registers + 1 + with_select)
        self.count("lbr-restore")
        image = mended(self.model, image)
        cpu.lbr.load(image, with_select)
        self.effects.add(LbrRestore(cpu.index, by, owner, image, with_select))


def _freezes(cpu: Cpu) -> bool:
    """Whether an overflow now stops the LBR: by DEBUGCTL of the mode that the CPU is in."""
    return cpu.recording and cpu.debugctl & DEBUGCTL_FREEZE_LBRS_ON_PMI != 0
