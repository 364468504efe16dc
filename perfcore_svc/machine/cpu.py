"""State of the silicon: CPUs, and one VMCS for each vCPU."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import marked
from contract.lbr_ring import LbrRing
from contract.machine import Exit
from contract.messages import LbrImage
from contract.x86 import DEBUGCTL_LBR


@dataclass(slots=True)
class Cpu:
    """One CPU."""

    index: int
    """Number of the CPU. Configuration."""
    lbr: LbrRing
    """The LBR."""
    debugctl: int = 0
    """IA32_DEBUGCTL of the mode that the CPU is in."""
    task: str = ""
    """The host task that runs here; "": the idle task."""
    guest: str = ""
    """The vCPU in guest mode; "" in host mode."""
    host_user: int = 0
    """Branches retired in host mode at user level, as a free-running counter counts them."""
    host_kernel: int = 0
    """The same in host mode at kernel level."""
    guest_user: int = 0
    """The same in guest mode at user level."""
    guest_kernel: int = 0
    """The same in guest mode at kernel level."""

    def clone(self) -> Cpu:
        return Cpu(
            self.index,
            self.lbr.clone(),
            self.debugctl,
            self.task,
            self.guest,
            self.host_user,
            self.host_kernel,
            self.guest_user,
            self.guest_kernel,
        )

    def key(self) -> tuple[Hashable, ...]:
        """Without the counts of branches: only their distance to what an event holds matters, and that is in the key of
        the event."""
        return self.lbr.key(), self.debugctl, self.task, self.guest

    @property
    def recording(self) -> bool:
        """Whether the LBR is on: by DEBUGCTL of the mode that the CPU is in, or by IA32_LBR_CTL in both."""
        return self.lbr.enabled if self.lbr.model.architectural else self.debugctl & DEBUGCTL_LBR != 0


@dataclass(slots=True)
class Vmcs:
    """State that the silicon keeps for a vCPU between entry and exit."""

    debugctl: int = 0
    """Guest IA32_DEBUGCTL, as the last exit saved it."""
    passthrough: bool = False
    """The LBR MSRs are not intercepted."""
    host_debugctl: int = 0
    """The value for DEBUGCTL after the exit."""
    keep_debugctl: bool = False
    """The guest's DEBUGCTL stays after the exit, instead of ``host_debugctl``."""
    nmi_first: bool = False
    """As in ``contract.machine.Controls``."""
    switched: bool = False
    """The guest has a whole LBR of its own in the registers."""
    host_lbr: LbrImage | None = None
    """The host's LBR while ``switched``, if the host uses it; else None."""
    forced: Exit | None = None
    """An exit that KVM does not know of yet; None: there is none."""

    def clone(self) -> Vmcs:
        return Vmcs(
            self.debugctl,
            self.passthrough,
            self.host_debugctl,
            self.keep_debugctl,
            self.nmi_first,
            self.switched,
            self.host_lbr,
            self.forced,
        )

    def key(self) -> tuple[Hashable, ...]:
        """While the guest is in guest mode. An entry writes all of it but ``forced`` again."""
        return (
            self.debugctl,
            self.passthrough,
            self.host_debugctl,
            self.keep_debugctl,
            self.nmi_first,
            self.switched,
            marked(self.host_lbr),
        )


@dataclass(slots=True)
class Silicon:
    """All state of the silicon of one host."""

    cpus: list[Cpu]
    """The CPUs, by number."""
    vmcs: dict[str, Vmcs] = field(default_factory=dict)
    """vCPU to its VMCS."""
    serial: int = 0
    """Serial number of the next branch."""

    def clone(self) -> Silicon:
        vmcs = {vcpu: vmcs.clone() for vcpu, vmcs in self.vmcs.items()}
        return Silicon([cpu.clone() for cpu in self.cpus], vmcs, self.serial)

    def key(self) -> tuple[Hashable, ...]:
        """Without the next serial number, which is above all others whatever it is."""
        cpus = tuple([cpu.key() for cpu in self.cpus])
        entered = [(cpu.guest, self.vmcs[cpu.guest].key()) for cpu in self.cpus if cpu.guest]
        forced = sorted((vcpu, marked(vmcs.forced)) for vcpu, vmcs in self.vmcs.items() if vmcs.forced is not None)
        return cpus, tuple(entered), tuple(forced)
