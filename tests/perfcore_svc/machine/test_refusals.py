"""Requests that are refused and what stays as it was; what an exit says of the check; images; call-stack mode."""

from __future__ import annotations

from contract.lbr_ring import LbrRing
from contract.machine import Branch, Check, Cpuid, EntryRefused, LbrLoaded, LoadLbr, NotRunning, Ran
from contract.messages import LbrImage
from contract.trace import LbrRestore, LbrSave, VmEntry, VmExit
from contract.x86 import SELECT_CALL_STACK, lbr_model
from tests.cases import cases
from tests.perfcore_svc.hosts import picture
from tests.perfcore_svc.machine.bench import ACTIVE_EVENT, FROM0, LBR, RESERVED, Bench, kinds, left


@cases(("event", "active"), [(ACTIVE_EVENT, True), (8, False)])
def test_a_cpuid_exit_says_what_the_entry_check_saw(event: int, active: bool) -> None:
    exit_ = left(Bench().enter(Cpuid(), check=Check(event, when_active=True, otherwise=False)))
    assert exit_.event_active is active


def test_a_refused_request_leaves_no_vmcs() -> None:
    m = Bench()
    m.go_on()
    m.enter(debugctl=RESERVED)
    m.enter(lbr=LbrImage(0, 4))
    m.enter(lbr=LbrImage(0, 0, [1 << 47, 0, 0, 0], FOUR, FOUR))
    m.enter(check=Check(8, when_active=True, otherwise=False, refuse=True))
    m.ask(LoadLbr("nobody", 0, LbrImage()))
    assert m.vmcs == {}
    assert isinstance(m.enter(), Ran)
    assert list(m.vmcs) == ["v"]


def test_a_switched_lbr_is_on_record() -> None:
    m = Bench()
    image = LbrImage(6, 3, [1, 2, 3, 4], [5, 6, 7, 8], FOUR)
    m.enter(Cpuid(), lbr=image)
    assert kinds(m.effects) == [LbrRestore, VmEntry, LbrSave, LbrRestore, VmExit]
    restores = [(r.component, r.owner, r.image, r.select) for r in m.effects.records if isinstance(r, LbrRestore)]
    assert restores == [("vmx", "v", image, True), ("vmx", "host", LbrImage(), True)]
    assert [(r.component, r.owner, r.valid) for r in m.effects.records if isinstance(r, LbrSave)] == [("vmx", "v", 4)]


FOUR = [0] * 4
BAD_IMAGES = [
    LbrImage(0, 4),
    LbrImage(0, -1),
    LbrImage(1 << 10, 0),
    LbrImage(0, 0, [1] * 3, FOUR, FOUR),
    LbrImage(0, 0, FOUR, [1] * 5, FOUR),
    LbrImage(0, 0, FOUR, FOUR, [1] * 8),
]


@cases("image", BAD_IMAGES)
def test_a_malformed_image_refuses_the_entry_and_nothing_changes(image: LbrImage) -> None:
    m = Bench()
    m.cpus[0].debugctl = LBR
    before = picture(m.cpus)
    assert m.enter(Branch(1), lbr=image) == EntryRefused("msr-load: this is no image of this LBR")
    assert picture(m.cpus) == before
    assert m.operations == {}


@cases("image", BAD_IMAGES)
def test_a_malformed_image_is_not_loaded(image: LbrImage) -> None:
    m = Bench()
    before = picture(m.cpus)
    assert m.ask(LoadLbr("v", 0, image)) == NotRunning("this is no image of this LBR")
    assert picture(m.cpus) == before
    assert (m.effects.records, m.operations) == ([], {})


def test_loading_an_image_mends_from_values_where_the_part_needs_it() -> None:
    stored = 0x1FFF_8000_1234_5678
    for lbr, loaded in (("haswell", stored | 3 << 61), ("skylake", stored)):
        m = Bench(lbr)
        assert m.ask(LoadLbr("v", 0, LbrImage(0, 0, [stored, 0, 0, 0], FOUR, FOUR))) == LbrLoaded()
        assert m.cpus[0].lbr.from_ip == [loaded, 0, 0, 0]
        assert m.cpus[0].lbr.get(FROM0) == loaded


@cases("kind", ["jmp", "jcc", "ind_jmp"])
def test_call_stack_mode_records_only_calls_and_returns(kind: str) -> None:
    """Even where LBR_SELECT suppresses no jumps, as a guest may have set it."""
    ring = LbrRing(lbr_model("skylake", 4))
    ring.select = SELECT_CALL_STACK
    assert ring.retire(100, 2, "call", "user")
    before = ring.store()
    assert not ring.retire(200, 1, kind, "user")
    assert ring.store() == before
    assert ring.retire(300, 1, "return", "user")
    assert ring.from_ip.count(0) == 3
