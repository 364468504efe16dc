"""Intercepted accesses of LBR MSRs: which are valid, and what they give with an event, without, and with a lost one."""

from __future__ import annotations

from contract.control import Close, Enable, MachineSpec, Open, Retire
from contract.design import Design
from contract.messages import CreateEvent
from contract.trace import Access, GuestMsr, HostMsr
from contract.x86 import LBR_MODELS, MSR_LBR_INFO, MSR_LBR_SELECT, MSR_LBR_TOS, LbrModel
from tests.cases import cases
from tests.designs import DESIGNS, MERGED, REVOKE_GP, V7, V8
from tests.kvm_svc.rig import FROM0, Rig

NONCANONICAL = 0x0008_0000_0000_0000
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)


def edges(model: LbrModel) -> tuple[set[int], set[int]]:
    """First and last register of every bank, and their neighbours that are none."""
    banks = [model.from_base, model.to_base, *([model.info_base] if model.info_base else [])]
    inside = {MSR_LBR_TOS} | {base + i for base in banks for i in (0, model.depth - 1)}
    return inside, {0x1C7, 0x1CA, *(base - 1 for base in banks), *(base + model.depth for base in banks)} - inside


LEGACY = {name: model for name, model in LBR_MODELS.items() if model.has_tos}


@cases("model", LEGACY.values(), ids=LEGACY)
def test_valid_set(model: LbrModel) -> None:
    inside, outside = edges(model)
    rig = Rig(MERGED, machine=MachineSpec(lbr=model.name))

    assert [hex(msr) for msr in sorted(inside) if rig.rdmsr(msr).fault] == []
    assert [hex(msr) for msr in sorted(outside) if not rig.rdmsr(msr).fault] == []
    assert [hex(msr) for msr in sorted(outside) if rig.wrmsr(msr, 0)] == []


@cases("model", [*LEGACY.values(), LBR_MODELS["arch"]], ids=lambda model: model.name)
def test_select_is_valid_on_every_model(model: LbrModel) -> None:
    """``intel_pmu_is_valid_lbr_msr`` asks no model about 0x1C8."""
    assert not Rig(MERGED, machine=MachineSpec(lbr=model.name)).rdmsr(MSR_LBR_SELECT).fault


def test_info_does_not_exist_before_skylake() -> None:
    assert Rig(MERGED, machine=MachineSpec(lbr="haswell")).rdmsr(MSR_LBR_INFO).fault


@every_design
def test_nothing_is_valid_without_lbr(design: Design) -> None:
    rig = Rig(design, lbr=False)

    for msr in (MSR_LBR_SELECT, MSR_LBR_TOS, FROM0, MSR_LBR_INFO):
        assert rig.rdmsr(msr).fault
        assert not rig.wrmsr(msr, 0)
    assert rig.sent(CreateEvent) == 0
    assert {(r.result, r.denied) for r in rig.records(Access)} == {("gp", False)}
    assert not rig.records(HostMsr)


@every_design
def test_info_slip_of_v7_and_v8(design: Design) -> None:
    """Their range test of INFO is never true: the first touch faults."""
    assert Rig(design).rdmsr(MSR_LBR_INFO).fault == (not design.info_known)


def test_info_opens_with_the_window() -> None:
    rig = Rig(V7)

    assert rig.rdmsr(MSR_LBR_INFO).fault
    assert not rig.rdmsr(FROM0).fault
    assert not rig.rdmsr(MSR_LBR_INFO).fault
    assert [r.msr for r in rig.records(GuestMsr)] == [MSR_LBR_INFO]


@cases(
    ("design", "read", "write", "denied"),
    [(MERGED, "zero", "dropped", True), (V8, "gp", "gp", True), (V7, "done", "done", False)],
    ids=lambda v: v.name if isinstance(v, Design) else None,
)
def test_creation_fails(design: Design, read: str, write: str, denied: bool) -> None:
    """A host without call-stack mode refuses the event. v7 has touched the hardware by then and does not look."""
    rig = Rig(design, machine=MachineSpec(lbr="nehalem"))

    value = rig.rdmsr(FROM0)
    assert rig.wrmsr(FROM0, 0x10) == (write != "gp")

    assert (value.value, value.fault) == (0, read == "gp")
    first = rig.records(Access)[0]
    assert (first.result, first.denied) == (read, denied)
    if denied:
        assert [(r.result, r.denied) for r in rig.records(Access)] == [(read, True), (write, True)]
        assert not rig.records(HostMsr)
        assert rig.sent(CreateEvent) == 2


@cases("design", [V8, REVOKE_GP], ids=lambda d: d.name)
def test_host_was_first(design: Design) -> None:
    """The guest's event goes to ERROR in the walk that should put it on."""
    rig = Rig(design)
    rig.host_event()

    assert rig.rdmsr(FROM0).fault
    assert not rig.wrmsr(FROM0, 0x10)
    assert {(r.result, r.denied) for r in rig.records(Access)} == {("gp", True)}
    assert not rig.records(HostMsr)


def lost_to_the_door(kernel: str) -> Rig:
    """merged never meets the LBR slot, but since v5.7 a pinned event that fails keeps later ones of its walk off."""
    rig = Rig(MERGED, machine=MachineSpec(depth=8, counters=1, kernel=kernel))
    rig.perf(Open("c0", 0, pinned=True))
    rig.perf(Open("c1", task="vm0/0", pinned=True))
    rig.debugctl(1)
    rig.wrmsr(FROM0, 0x10)
    rig.perf(Enable("c1"))
    return rig


def test_lost_event_reads_zero_and_drops_writes() -> None:
    rig = lost_to_the_door("v5.12")
    touched = len(rig.records(HostMsr)) + len(rig.records(GuestMsr))

    assert (rig.rdmsr(FROM0).value, rig.wrmsr(FROM0, 0x20)) == (0, True)

    assert [(r.result, r.denied) for r in rig.records(Access)[-2:]] == [("zero", True), ("dropped", True)]
    assert len(rig.records(HostMsr)) + len(rig.records(GuestMsr)) == touched
    assert rig.vcpu().lbr_desc.event
    assert not rig.vcpu().lbr_desc.in_use


def test_older_kernels_keep_the_door_open() -> None:
    assert lost_to_the_door("v5.3").rdmsr(FROM0).value == 0x10


@cases("design", [MERGED, REVOKE_GP], ids=lambda d: d.name)
def test_same_wrmsr_two_behaviours(design: Design) -> None:
    """KVM's unchecked write faults in the host, whose fix-up drops it; passed through, the guest gets the #GP."""
    rig = Rig(design)

    assert rig.wrmsr(FROM0, NONCANONICAL)
    assert [(r.result, r.denied) for r in rig.records(Access)] == [("dropped", False)]
    assert [(r.fault, r.component) for r in rig.records(HostMsr)] == [(True, "kvm")]

    assert not rig.wrmsr(FROM0, NONCANONICAL)
    assert [(r.fault, r.vcpu) for r in rig.records(GuestMsr)] == [(True, "vm0/0")]
    assert rig.rdmsr(FROM0).value == 0


def cold_read(design: Design) -> int:
    rig = Rig(design)
    rig.host_event()
    rig.perf(Retire(0, 40))
    rig.perf(Close("h0"))
    return rig.rdmsr(FROM0).value


def test_cold_read() -> None:
    """v7 goes to the hardware first and hands out what the host left there; a new first user clears it."""
    assert cold_read(V7) != 0
    assert [cold_read(design) for design in (V8, MERGED, REVOKE_GP)] == [0, 0, 0]
