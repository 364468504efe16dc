"""The machine stream: what KVM asks of the silicon, and what the silicon answers. Reliable and ordered.

Every request names the vCPU and the CPU that KVM believes its thread is on. The condition of a request
(an event's state) is evaluated on that CPU in one piece with the request, as the kernel does with
interrupts off.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from contract.messages import LbrImage


class GuestOp(msgspec.Struct, tag_field="op", tag=str.lower, frozen=True):
    """One thing a guest does."""

    exits: ClassVar[str] = ""
    """The exit reason of an instruction that leaves guest mode whatever the controls say, "" for any other."""


class Rdmsr(GuestOp, frozen=True):
    msr: int


class Wrmsr(GuestOp, frozen=True):
    msr: int
    value: int


class Branch(GuestOp, frozen=True):
    """``count`` branches of one kind at one privilege level."""

    count: int
    branch: str = "jmp"
    privilege: str = "kernel"


class Cpuid(GuestOp, frozen=True):
    """Exits always, touches nothing. ``leaf`` is EAX, None where the guest does not look at what it gets; it reads the
    register ``output``, a name of ``CPUID_OUTPUTS`` (``contract.x86``)."""

    exits: ClassVar[str] = "cpuid"

    leaf: int | None = None
    output: str = ""


class Rdpmc(GuestOp, frozen=True):
    """RDPMC with ``index`` in ECX; exits always (RDPMC exiting)."""

    exits: ClassVar[str] = "rdpmc"

    index: int


class Hlt(GuestOp, frozen=True):
    """Exits always; what wakes the guest is there already."""

    exits: ClassVar[str] = "hlt"


class Out(GuestOp, frozen=True):
    """A write to I/O port ``port``, which KVM leaves to user space."""

    exits: ClassVar[str] = "io"

    port: int


class Nop(GuestOp, frozen=True):
    """Runs without exit."""


AnyOp = Rdmsr | Wrmsr | Rdpmc | Branch | Cpuid | Hlt | Out | Nop


class GuestValue(msgspec.Struct):
    """What one guest op gave: RDMSR's value, or a #GP."""

    value: int = 0
    fault: bool = False


class Check(msgspec.Struct):
    """Entry check on ``event``: which passthrough setting holds if it is ACTIVE (under this ``grant``, where not 0),
    and which if not. If not, ``refuse``: there is no entry; ``strip``: the guest's DEBUGCTL.LBR is off."""

    event: int
    when_active: bool
    otherwise: bool
    refuse: bool = False
    grant: int = 0
    strip: bool = False


class Controls(msgspec.Struct):
    """The VMCS controls of one entry. ``passthrough`` applies to the LBR MSRs, every other MSR is intercepted.

    What the first instructions after the exit write into DEBUGCTL: ``host_debugctl``, or None: what it held at entry;
    or, ``keep_debugctl``, what the guest had in it.

    ``lbr``: the guest's LBR, which the MSR-load list puts in and the MSR-store list takes out at the exit. The host's
    own is put aside for that time if its DEBUGCTL.LBR is set; otherwise the exit clears the ring.

    ``nmi_first``: an NMI that ends guest mode is handled before DEBUGCTL is written, so that its handler runs with
    DEBUGCTL 0."""

    debugctl: int
    passthrough: bool
    host_debugctl: int | None = None
    keep_debugctl: bool = False
    lbr: LbrImage | None = None
    check: Check | None = None
    nmi_first: bool = False


class Request(msgspec.Struct, tag_field="request", tag=True):
    vcpu: str
    cpu: int


class Enter(Request):
    """VM-entry, then the guest executes ``ops`` until one exits."""

    controls: Controls
    ops: list[AnyOp]


class Continue(Request):
    """The guest goes on without having left guest mode. Answered by Exit if it was forced out meanwhile.
    ``kick``: force it out first (``kvm_vcpu_kick``), so that the next entry has new controls."""

    ops: list[AnyOp]
    kick: bool = False


class ReadMsr(Request):
    """RDMSR by host code on the vCPU's CPU. ``event`` not 0: only if that event is ACTIVE, under this ``grant`` where
    not 0. ``task``: the host task whose code this is, wherever it runs, where that is not the vCPU's thread."""

    msr: int
    event: int = 0
    task: str = ""
    grant: int = 0


class WriteMsr(Request):
    msr: int
    value: int
    event: int = 0
    task: str = ""
    grant: int = 0


class Look(Request):
    """Whether that event is ACTIVE on the vCPU's CPU, under this ``grant`` where not 0; nothing is touched. ``task`` as
    in ReadMsr. Answered by MsrDone."""

    event: int
    grant: int = 0
    task: str = ""


class StoreLbr(Request):
    """Read the whole LBR into an image."""


class LoadLbr(Request):
    """Write an image into the LBR. Empty lists: clear it."""

    image: LbrImage
    select: bool = True
    task: str = ""


class ReadCounter(Request):
    """Read the event that counts for a guest's counter, wherever it is."""

    event: int


SiliconRequest = Enter | Continue | ReadMsr | WriteMsr | Look | StoreLbr | LoadLbr
"""What the silicon answers; perf answers the rest."""
AnyRequest = SiliconRequest | ReadCounter


class Reply(msgspec.Struct, tag_field="reply", tag=True):
    """Base of the silicon's answers."""


class Ran(Reply):
    """All ops are done and the CPU is still in guest mode."""

    values: list[GuestValue]
    event_active: bool | None = None


class Exit(Reply):
    """A VM-exit. ``values`` of the ops finished before it; for an MSR exit ``msr``, ``write`` and ``value`` tell the
    access, for an RDPMC ``value`` is its index. ``debugctl`` is what "save debug controls" put into the VMCS; ``lbr``
    is the guest's LBR where ``Controls.lbr`` had one. ``frozen``: an overflow cleared the guest's DEBUGCTL.LBR before
    ``debugctl`` was saved."""

    reason: str
    values: list[GuestValue]
    debugctl: int
    msr: int = 0
    write: bool = False
    value: int = 0
    lbr: LbrImage | None = None
    event_active: bool | None = None
    partial: int = 0
    frozen: bool = False


class EntryRefused(Reply):
    """VM-entry did not happen: by the check (``checked``), or ``reason`` is a VMX entry failure."""

    reason: str
    checked: bool = False


class MsrDone(Reply):
    """``met`` false: the condition did not hold and nothing was touched. ``fault``: the access itself gave #GP."""

    met: bool
    value: int = 0
    fault: bool = False


class LbrStored(Reply):
    image: LbrImage


class LbrLoaded(Reply):
    pass


class CounterRead(Reply):
    """What the event has counted since it was created; 0 where there is no such event."""

    count: int


class NotRunning(Reply):
    """The vCPU's thread is not on that CPU."""

    why: str


AnyReply = Ran | Exit | EntryRefused | MsrDone | LbrStored | LbrLoaded | CounterRead | NotRunning
