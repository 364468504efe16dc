"""State of the silicon: CPUs, and one VMCS a vCPU."""

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
    """``task`` is what the host runs here ("" is the idle task); ``guest`` the vCPU in guest mode, "" in host mode.

    ``host_user``, ``host_kernel``, ``guest_user`` and ``guest_kernel`` count branches by mode and level, as counters
    that run freely would."""

    index: int
    lbr: LbrRing
    debugctl: int = 0
    task: str = ""
    guest: str = ""
    host_user: int = 0
    host_kernel: int = 0
    guest_user: int = 0
    guest_kernel: int = 0

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
    """State that the silicon keeps for a vCPU between entry and exit.

    ``nmi_first``: as in Controls. ``switched``: the guest has a whole LBR of its own in the registers; ``host_lbr`` is
    the host's meanwhile, if it is in use. ``forced`` is an exit that KVM has not heard of yet."""

    debugctl: int = 0
    passthrough: bool = False
    host_debugctl: int = 0
    keep_debugctl: bool = False
    nmi_first: bool = False
    switched: bool = False
    host_lbr: LbrImage | None = None
    forced: Exit | None = None

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
    """``cpus`` by number, ``vmcs`` by vCPU. ``serial``: the number of the next branch."""

    cpus: list[Cpu]
    vmcs: dict[str, Vmcs] = field(default_factory=dict)
    serial: int = 0

    def clone(self) -> Silicon:
        vmcs = {vcpu: vmcs.clone() for vcpu, vmcs in self.vmcs.items()}
        return Silicon([cpu.clone() for cpu in self.cpus], vmcs, self.serial)

    def key(self) -> tuple[Hashable, ...]:
        """Without the next serial number, which is above all others whatever it is."""
        cpus = tuple([cpu.key() for cpu in self.cpus])
        entered = [(cpu.guest, self.vmcs[cpu.guest].key()) for cpu in self.cpus if cpu.guest]
        forced = sorted((vcpu, marked(vmcs.forced)) for vcpu, vmcs in self.vmcs.items() if vmcs.forced is not None)
        return cpus, tuple(entered), tuple(forced)
