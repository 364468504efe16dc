"""State of one CPU, and of one VMCS."""

from __future__ import annotations

from dataclasses import dataclass

from contract.lbr_ring import LbrRing
from contract.machine import Exit
from contract.messages import LbrImage


@dataclass(slots=True)
class Cpu:
    """``task`` is what the host runs here ("" is the idle task); ``guest`` the vCPU in guest mode, "" in host mode.

    ``retired`` and ``retired_guest`` count branches of either mode, as free-running counters would, ``retired_by_user``
    those of the guest at user level. ``traced_debugctl``
    is the DEBUGCTL value that the trace last showed."""

    index: int
    lbr: LbrRing
    debugctl: int = 0
    task: str = ""
    guest: str = ""
    retired: int = 0
    retired_guest: int = 0
    retired_by_user: int = 0
    traced_debugctl: int = 0


@dataclass(slots=True)
class Vmcs:
    """What the silicon keeps for a vCPU between entry and exit. ``switched``: the guest has a whole LBR of its own in
    the registers; ``host_lbr`` is the host's meanwhile, if it is in use. ``forced`` is an exit that KVM has not heard
    of yet."""

    debugctl: int = 0
    passthrough: bool = False
    host_debugctl: int = 0
    keep_debugctl: bool = False
    switched: bool = False
    host_lbr: LbrImage | None = None
    forced: Exit | None = None
