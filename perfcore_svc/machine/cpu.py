"""State of one CPU, and of one VMCS."""

from __future__ import annotations

from dataclasses import dataclass

from contract.lbr_ring import LbrRing
from contract.machine import Exit
from contract.messages import LbrImage


@dataclass(slots=True)
class Cpu:
    """``task`` is what the host runs here ("" is the idle task); ``guest`` the vCPU in guest mode, "" in host mode.

    ``host_user``, ``host_kernel``, ``guest_user`` and ``guest_kernel`` count branches by mode and level, as counters
    that run freely would. ``traced_debugctl`` is the DEBUGCTL value that the trace last showed."""

    index: int
    lbr: LbrRing
    debugctl: int = 0
    task: str = ""
    guest: str = ""
    host_user: int = 0
    host_kernel: int = 0
    guest_user: int = 0
    guest_kernel: int = 0
    traced_debugctl: int = 0


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
