"""The machine stream: KVM's requests to the silicon, and the answers. It is reliable and ordered.

Every request names the vCPU and the CPU that KVM believes its thread is on. The condition of a request (an event's
state) is evaluated on that CPU together with the request, without interruption, as the kernel does with interrupts off.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from contract.messages import LbrImage

EXIT_CPUID = "cpuid"
EXIT_RDPMC = "rdpmc"
EXIT_HLT = "hlt"
"""The guest continues at once, because its wake-up is pending."""
EXIT_IO = "io"
EXIT_MSR_READ = "msr-read"
EXIT_MSR_WRITE = "msr-write"
EXIT_NMI = "nmi"
EXIT_EXTERNAL_INTERRUPT = "external-interrupt"


class GuestOp(msgspec.Struct, tag_field="op", tag=str.lower, frozen=True, gc=False):
    """One operation of a guest."""

    exits: ClassVar[str] = ""
    """The exit reason of an instruction that always leaves guest mode, "" for any other."""


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
    """It always exits, and touches nothing. ``leaf`` is EAX, None if the guest does not use the result. The guest reads
    the register ``output``, a name of ``CPUID_OUTPUTS`` (``contract.x86``)."""

    exits: ClassVar[str] = EXIT_CPUID

    leaf: int | None = None
    output: str = ""


class Rdpmc(GuestOp, frozen=True):
    """RDPMC with ``index`` in ECX. It always exits (RDPMC exiting)."""

    exits: ClassVar[str] = EXIT_RDPMC

    index: int


class Hlt(GuestOp, frozen=True):
    """It always exits. The event that wakes the guest is already pending."""

    exits: ClassVar[str] = EXIT_HLT


class Out(GuestOp, frozen=True):
    """A write to I/O port ``port``, which KVM leaves to user space."""

    exits: ClassVar[str] = EXIT_IO

    port: int


class Nop(GuestOp, frozen=True):
    """Runs without exit."""


AnyOp = Rdmsr | Wrmsr | Rdpmc | Branch | Cpuid | Hlt | Out | Nop


class GuestValue(msgspec.Struct, gc=False):
    """The result of one guest op: RDMSR's value, or a #GP."""

    value: int = 0
    fault: bool = False


class Check(msgspec.Struct, gc=False):
    """Entry check on ``event``. It gives the passthrough setting if the event is ACTIVE (under this ``grant``, if not
    0), and the setting if it is not. If not: with ``refuse`` there is no entry, and with ``strip`` the guest's
    DEBUGCTL.LBR is off."""

    event: int
    when_active: bool
    otherwise: bool
    refuse: bool = False
    grant: int = 0
    strip: bool = False


class Controls(msgspec.Struct, gc=False):
    """The VMCS controls of one entry. ``passthrough`` applies to the LBR MSRs; every other MSR is intercepted.

    The first instructions after the exit write DEBUGCTL: the value ``host_debugctl``; with None, the value at entry;
    with ``keep_debugctl``, the guest's value.

    ``lbr``: the guest's LBR. The MSR-load list loads it at the entry, and the MSR-store list stores it at the exit. The
    host's LBR is saved for that time if its DEBUGCTL.LBR is set; otherwise the exit clears the ring.

    ``nmi_first``: an NMI that ends guest mode is handled before DEBUGCTL is written, and its handler runs with DEBUGCTL
    0."""

    debugctl: int
    passthrough: bool
    host_debugctl: int | None = None
    keep_debugctl: bool = False
    lbr: LbrImage | None = None
    check: Check | None = None
    nmi_first: bool = False


class Request(msgspec.Struct, tag_field="request", tag=True, gc=False):
    vcpu: str
    cpu: int


class Enter(Request):
    """VM-entry, then the guest executes ``ops`` until one exits."""

    controls: Controls
    ops: list[AnyOp]


class Continue(Request):
    """The guest continues in guest mode. The answer is Exit if it was forced out in the meantime. ``kick``: force it
    out first (``kvm_vcpu_kick``), so that the next entry has new controls."""

    ops: list[AnyOp]
    kick: bool = False


class ReadMsr(Request):
    """RDMSR by host code on the vCPU's CPU. ``event`` not 0: only if that event is ACTIVE, under this ``grant`` if not
    0. ``task``: the host task that runs this code, if it is not the vCPU's thread; the access is on that task's CPU."""

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
    """Whether that event is ACTIVE on the vCPU's CPU, under this ``grant`` if not 0. Nothing is touched. ``task`` as in
    ReadMsr. The answer is MsrDone."""

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
    """Read the event that counts for a guest's counter, on any CPU."""

    event: int


SiliconRequest = Enter | Continue | ReadMsr | WriteMsr | Look | StoreLbr | LoadLbr
"""The requests that the silicon answers; perf answers the others."""
AnyRequest = SiliconRequest | ReadCounter


class Reply(msgspec.Struct, tag_field="reply", tag=True, gc=False):
    """Base of the silicon's answers."""


class Ran(Reply):
    """All ops are done, and the CPU is still in guest mode."""

    values: list[GuestValue]
    event_active: bool | None = None


class Exit(Reply):
    """A VM-exit. ``values``: the results of the ops that finished before it. For an MSR exit, ``msr``, ``write`` and
    ``value`` describe the access; for an RDPMC, ``value`` is its index. ``debugctl`` is the value that "save debug
    controls" put into the VMCS. ``lbr`` is the guest's LBR if ``Controls.lbr`` had one. ``frozen``: an overflow cleared
    the guest's DEBUGCTL.LBR before ``debugctl`` was saved."""

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
    """VM-entry did not happen: the check refused it (``checked``), or ``reason`` is a VMX entry failure."""

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
    """The count of the event since it was created; 0 if there is no such event."""

    count: int


class NotRunning(Reply):
    """The vCPU's thread is not on that CPU."""

    reason: str


AnyReply = Ran | Exit | EntryRefused | MsrDone | LbrStored | LbrLoaded | CounterRead | NotRunning
