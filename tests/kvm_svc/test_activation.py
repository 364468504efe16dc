"""When a guest gets its event, and when it gives it back."""

from __future__ import annotations

from contract.design import Activation, DebugctlWrite, Design, Event, Release
from contract.machine import AnyOp, Cpuid, Nop, Rdmsr, Wrmsr
from contract.messages import CreateEvent, ReleaseEvent
from contract.trace import GuestEvent, LbrRestore, PassthroughSet
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import DESIGNS, KVM_SWITCH, MERGED
from tests.kvm_svc.rig import FROM0, Rig

WITH_EVENT = [design for design in DESIGNS.values() if design.event is not Event.NONE]
IDLE_SLICES = [design for design in DESIGNS.values() if design.release is Release.IDLE_SLICES]
NEVER_RELEASED = [design for design in DESIGNS.values() if design.release is Release.NEVER]
LBR_ACCESSES: dict[str, AnyOp] = {
    "rdmsr FROM": Rdmsr(FROM0),
    "wrmsr FROM": Wrmsr(FROM0, 0),
    "rdmsr TOS": Rdmsr(MSR_LBR_TOS),
}
ENABLING: dict[str, AnyOp] = {"wrmsr DEBUGCTL 1": Wrmsr(IA32_DEBUGCTL, 1)}
DEBUGCTL_ACCESSES: dict[str, AnyOp] = {
    "rdmsr DEBUGCTL": Rdmsr(IA32_DEBUGCTL),
    "wrmsr DEBUGCTL 0": Wrmsr(IA32_DEBUGCTL, 0),
}
NEITHER: dict[str, AnyOp] = {"cpuid": Cpuid(), "nop": Nop(), "rdmsr PERF_CAPABILITIES": Rdmsr(IA32_PERF_CAPABILITIES)}
ACCESSES: dict[str, AnyOp] = {**LBR_ACCESSES, **ENABLING, **DEBUGCTL_ACCESSES, **NEITHER}
with_event = cases("design", WITH_EVENT, ids=lambda d: d.name)
idle_slices = cases("design", IDLE_SLICES, ids=lambda d: d.name)


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases("access", ACCESSES)
def test_which_accesses_activate(design: Design, access: str) -> None:
    """Where DEBUGCTL is masked any access of it counts as use, and an eager guest needs none."""
    masked = design.debugctl_write is DebugctlWrite.MASK
    activates = {**LBR_ACCESSES, **ENABLING, **(DEBUGCTL_ACCESSES if masked else {})}
    activated = access in activates or design.activation is Activation.EAGER
    rig = Rig(design)

    rig.guest(ACCESSES[access])

    uses_events = design.event is not Event.NONE
    assert rig.sent(CreateEvent) == int(uses_events and activated)
    assert bool(rig.vcpu().lbr_desc.event) == (uses_events and activated)
    assert rig.vcpu().saved.active == (not uses_events and activated)


@with_event
def test_placing_a_vcpu_creates_nothing(design: Design) -> None:
    rig = Rig(design)
    rig.slice()

    assert (rig.sent(CreateEvent), rig.vcpu().lbr_desc.event) == (0, 0)


@with_event
def test_creating_twice_is_harmless(design: Design) -> None:
    rig = Rig(design)

    for op in (*LBR_ACCESSES.values(), *ENABLING.values(), *DEBUGCTL_ACCESSES.values(), *LBR_ACCESSES.values()):
        rig.guest(op)

    assert rig.sent(CreateEvent) == 1
    assert [r.change for r in rig.records(GuestEvent)] == ["created"]


def test_kvm_switch_starts_empty_once() -> None:
    rig = Rig(KVM_SWITCH)

    rig.guest(*LBR_ACCESSES.values())
    rig.debugctl(1)

    assert [r.image.from_ip for r in rig.records(LbrRestore)] == [[]]
    assert [r.enabled for r in rig.records(PassthroughSet)] == [True]


@idle_slices
def test_event_survives_one_idle_slice(design: Design) -> None:
    rig = Rig(design)
    rig.rdmsr(FROM0)
    event = rig.vcpu().lbr_desc.event

    rig.slice()
    assert (rig.vcpu().lbr_desc.event, rig.vcpu().lbr_desc.used, rig.vcpu().lbr_desc.passthrough) == (
        event,
        False,
        False,
    )

    rig.slice()
    assert rig.vcpu().lbr_desc.event == 0
    assert [r.change for r in rig.records(GuestEvent)] == ["created", "released"]
    assert rig.sent(ReleaseEvent) == 1


@idle_slices
def test_use_between_slices_keeps_the_event(design: Design) -> None:
    rig = Rig(design)

    for _ in range(3):
        rig.rdmsr(FROM0)
        rig.slice()

    assert [r.change for r in rig.records(GuestEvent)] == ["created"]


@idle_slices
def test_lbr_on_keeps_the_event(design: Design) -> None:
    rig = Rig(design)
    rig.debugctl(1)

    for _ in range(4):
        rig.slice()

    assert (rig.sent(ReleaseEvent), rig.sent(CreateEvent)) == (0, 1)


@idle_slices
def test_release_needs_no_entry(design: Design) -> None:
    """It is the notifier that releases; the guest need not run again."""
    rig = Rig(design)
    rig.rdmsr(FROM0)
    rig.slice()
    rig.slice()

    assert rig.sent(ReleaseEvent) == 1


def test_merged_releases_at_the_first_entry() -> None:
    rig = Rig(MERGED)
    rig.rdmsr(FROM0)
    rig.guest(Nop())

    rig.slice()
    assert rig.vcpu().lbr_desc.event

    rig.guest(Nop())
    assert rig.vcpu().lbr_desc.event == 0
    assert rig.vcpu().lbr_desc.passthrough is False


def test_merged_looks_at_nothing_but_the_bit() -> None:
    """The commit promises to spare an event used in the last slice; the code does not."""
    rig = Rig(MERGED)
    rig.guest(Wrmsr(FROM0, 0x10), Rdmsr(FROM0), Rdmsr(FROM0))
    assert rig.vcpu().lbr_desc.in_use

    rig.slice()

    assert rig.rdmsr(FROM0).value == 0
    assert [r.change for r in rig.records(GuestEvent)] == ["created", "released", "created"]


def test_merged_keeps_an_event_with_lbr_on() -> None:
    rig = Rig(MERGED)
    rig.debugctl(1)
    rig.guest(Wrmsr(FROM0, 0x10))

    for _ in range(3):
        rig.slice()
        rig.guest(Nop())

    assert rig.sent(ReleaseEvent) == 0


def test_merged_looks_once_in_a_slice() -> None:
    """LBR turned off later in the slice releases nothing before the next sched-in."""
    rig = Rig(MERGED)
    rig.debugctl(1)
    rig.slice()
    rig.guest(Nop())

    rig.debugctl(0)
    rig.guest(Cpuid(), Nop())
    assert rig.vcpu().lbr_desc.event

    rig.slice()
    rig.guest(Nop())
    assert rig.vcpu().lbr_desc.event == 0


@cases("design", NEVER_RELEASED, ids=lambda d: d.name)
def test_never_released(design: Design) -> None:
    rig = Rig(design)
    rig.rdmsr(FROM0)

    for _ in range(4):
        rig.slice()
        rig.guest(Nop())

    assert rig.sent(ReleaseEvent) == 0
    assert bool(rig.vcpu().lbr_desc.event) == (design.event is not Event.NONE)
    assert rig.vcpu().lbr_desc.passthrough
