"""msr-legality: a guest's legal access does not fault, and an illegal one does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from client.check.legality import DEBUGCTL_RESERVED, faults, in_lbr_space, is_register
from contract.design import Denial, Design
from contract.lbr_ring import LbrRing
from contract.trace import (
    Access,
    AnyRecord,
    ClaimChange,
    EventChange,
    EventClose,
    Granted,
    GuestMsr,
    UserMsr,
    VcpuMoved,
)
from contract.x86 import DEBUGCTL_DEFINED, LBR_MODELS, lbr_model
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, VIOLATED, finding, first, ordered, renumbered, trace
from tests.designs import DESIGNS, FENCED, MERGED, REVOKE_GP, V7

NAME = "msr-legality"
LOAD = "host: run vm0/0 on cpu0;"
INTERCEPTED = LOAD + "vm0/0: t = rdmsr LBR_TOS;"
PASSED = INTERCEPTED + "vm0/0: f = rdmsr LBR_FROM[1];"
CANONICAL, NONCANONICAL = 0xFFFF_8000_0000_0000, 0x8000_0000_0000_0000


def verdict(records: list[AnyRecord]) -> str:
    return finding(renumbered(records), NAME).verdict


def changed(records: list[AnyRecord], kind: type, which: int = -1, **changes: Any) -> list[AnyRecord]:
    """The run with its last (or another) record of this kind changed."""
    at = [i for i, r in enumerate(records) if isinstance(r, kind)][which]
    return [*records[:at], replace(records[at], **changes), *records[at + 1 :]]


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases("steps", [USE, USE + HOST + AGAIN, PASSED], ids=["use", "loss", "read"])
def test_held(design: Design, steps: str) -> None:
    assert finding(trace(ordered(steps), design), NAME).verdict == HELD


@cases("steps", [LOAD + "vm0/0: branch 3;", HOST, LOAD + "vm0/0: c = rdmsr PERF_CAPABILITIES;"])
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == IDLE


# Registers of the LBR --------------------------------------------------------------------------------------


@cases(
    ("changes", "expected"),
    [
        ({"fault": True}, VIOLATED),
        ({"write": True, "value": CANONICAL}, HELD),
        ({"write": True, "value": CANONICAL, "fault": True}, VIOLATED),
        ({"write": True, "value": NONCANONICAL}, VIOLATED),
        ({"write": True, "value": NONCANONICAL, "fault": True}, HELD),
        ({"write": True, "msr": 0x1C8, "value": 0x3FF}, HELD),
        ({"write": True, "msr": 0x1C8, "value": 0x400}, VIOLATED),
        ({"write": True, "msr": 0xDC0, "value": 0xE000_0000_0000_FFFF}, HELD),
        ({"write": True, "msr": 0xDC0, "value": 1 << 16}, VIOLATED),
    ],
    ids=str,
)
def test_passed_through(changes: dict[str, Any], expected: str) -> None:
    records = trace(ordered(PASSED), MERGED)
    assert verdict(changed(records, GuestMsr, **changes)) == expected


@cases(
    ("changes", "expected"),
    [
        ({"write": True, "written": 3}, HELD),
        ({"write": True, "msr": 0x683, "written": CANONICAL}, HELD),
        ({"write": True, "msr": 0x683, "written": NONCANONICAL}, VIOLATED),
        ({"write": True, "msr": 0x683, "written": NONCANONICAL, "result": "dropped"}, VIOLATED),
        ({"write": True, "msr": 0x683, "written": NONCANONICAL, "result": "gp"}, HELD),
        ({"msr": 0x680 + 8}, VIOLATED),
        ({"msr": 0x680 + 8, "result": "gp"}, HELD),
        ({"msr": 0x40}, VIOLATED),
        ({"msr": 0x345, "write": True, "written": 5}, VIOLATED),
        ({"msr": 0x345, "write": True, "written": 5, "result": "gp"}, HELD),
        ({"msr": 0x1D9, "write": True, "written": 0}, HELD),
        ({"msr": 0x1D9, "write": True, "written": 3, "result": "gp"}, VIOLATED),
        ({"msr": 0x1D9, "write": True, "written": 0x2000}, VIOLATED),
        ({"msr": 0x1D9, "write": True, "written": 0x2000, "result": "gp"}, HELD),
        ({"msr": 0x1D9, "result": "gp"}, VIOLATED),
        ({"msr": 0x1D9, "write": True, "written": 0x40, "result": "gp"}, IDLE),
        ({"msr": 0xC1, "result": "gp"}, IDLE),
    ],
    ids=str,
)
def test_intercepted(changes: dict[str, Any], expected: str) -> None:
    records = trace(ordered(INTERCEPTED), MERGED)
    assert verdict(changed(records, Access, **changes)) == expected


@cases(("capabilities", "expected"), [(0, VIOLATED), (0x2000, VIOLATED), (0x2005, HELD)])
def test_an_lbr_that_was_promised_not_to_be_there(capabilities: int, expected: str) -> None:
    """By user space, which set it; or by what the guest read."""
    records = trace(ordered(INTERCEPTED), MERGED)
    set_ = UserMsr(vcpu="vm0/0", msr=0x345, value=capabilities, processed=True)
    read = Access(vcpu="vm0/0", cpu=0, write=False, msr=0x345, value=capabilities, result="done")

    for shown in (set_, read):
        assert verdict([records[0], shown, *records[1:]]) == expected
    for hidden in (replace(set_, processed=False), replace(set_, read=True), replace(read, result="gp")):
        assert verdict([records[0], hidden, *records[1:]]) == HELD


@cases(("design", "expected"), [(MERGED, VIOLATED), (V7, VIOLATED), (FENCED, HELD)])
def test_a_write_that_the_host_has_to_fix_up(design: Design, expected: str) -> None:
    """The host's fix-up drops it unseen by the guest; the fence gives the guest its #GP."""
    steps = LOAD + "vm0/0: w = wrmsr LBR_FROM[3], 0x8000000000000000;"
    assert finding(trace(ordered(steps), design), NAME).verdict == expected


def test_violated_by_dropping_reserved_bits() -> None:
    violation, record = first(trace(ordered(LOAD + "vm0/0: wrmsr DEBUGCTL, 0x2000;"), V7), NAME)

    assert isinstance(record, Access)
    assert violation.text == "vm0/0: the write of 0x2000 to MSR 0x1d9 is not legal, and gives no #GP (it is done)"


# Denials ---------------------------------------------------------------------------------------------------

DENIED = USE + HOST + "vm0/0: t1 = rdmsr LBR_TOS;"


def test_a_denial_by_another_answer_than_the_designs() -> None:
    records = trace(ordered(DENIED), REVOKE_GP)
    assert verdict(records) == HELD
    zero = trace(ordered(DENIED), replace(REVOKE_GP, denial=Denial.READ_ZERO))
    assert verdict(zero) == HELD
    assert verdict(changed(zero, Access, result="gp")) == VIOLATED


def without(records: list[AnyRecord], kept: type | None, loses: tuple[type, ...]) -> list[AnyRecord]:
    """The run without the records that show the loss, but for one kind of them."""
    served = next(r.seq for r in records if isinstance(r, GuestMsr))
    gone = tuple(kind for kind in loses if kind is not kept)
    return [r for r in records if r.seq < served or not isinstance(r, gone)]


@cases("kept", [EventChange, Granted, None], ids=str)
def test_a_denial_needs_a_loss(kept: type | None) -> None:
    records = trace(ordered(DENIED), REVOKE_GP)
    found = verdict(without(records, kept, (EventChange, Granted)))

    assert found == (HELD if kept else VIOLATED)


@cases(
    "loss",
    [
        ClaimChange(vcpu="vm0/0", old="held", new="stopped", reason=""),
        VcpuMoved(vcpu="vm0/0", action="loaded", debugctl=0, lbr=False),
        EventClose(event=1, name="vlbr:vm0/0"),
    ],
    ids=lambda r: type(r).__name__,
)
def test_other_losses(loss: AnyRecord) -> None:
    """And the nearest that are none: of another vCPU, or another change of the claim."""
    records = without(trace(ordered(DENIED), REVOKE_GP), None, (EventChange, Granted))
    at = next(i for i, r in enumerate(records) if isinstance(r, Access) and r.denied)

    assert verdict([*records[:at], loss, *records[at:]]) == HELD
    if isinstance(loss, ClaimChange):
        assert verdict([*records[:at], replace(loss, new="held"), *records[at:]]) == VIOLATED


def test_a_grant_that_is_given_is_no_loss() -> None:
    records = without(trace(ordered(DENIED), REVOKE_GP), None, (EventChange, Granted))
    at = next(i for i, r in enumerate(records) if isinstance(r, Access) and r.denied)
    given_ = Granted(vcpu="vm0/0", grant=7, reason="")

    assert verdict([*records[:at], given_, *records[at:]]) == VIOLATED
    assert verdict([*records[:at], replace(given_, grant=0), *records[at:]]) == HELD


# The rules against those of the silicon --------------------------------------------------------------------

MODELS = [lbr_model(name, 0) for name, model in LBR_MODELS.items() if model.has_lbr]
VALUES = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.builds(lambda a, b: (a << 47 | b) & (1 << 64) - 1, st.integers(0, 0x1FFFF), st.integers(0, 7)),
    st.sampled_from([0, 0x3FF, 0x400, 1 << 9, 0xFFFF, 1 << 16, 1 << 61, 7 << 61, 1 << 60, (1 << 64) - 1]),
)


@given(st.sampled_from(MODELS), st.data())
def test_the_silicon_takes_what_is_legal_and_nothing_else(model: Any, data: st.DataObject) -> None:
    """Two statements of one rule."""
    msr = data.draw(st.sampled_from([m for m in range(0x2000) if is_register(model, m)]))
    value = data.draw(VALUES)

    assert LbrRing(model).takes(msr, value) != faults(model, msr, value)


@cases("model", MODELS, ids=lambda m: m.name)
def test_the_registers_are_the_models(model: Any) -> None:
    registers = {msr for msr in range(0x2000) if is_register(model, msr)}

    assert registers == {msr for msr in range(0x2000) if LbrRing(model).get(msr) is not None}
    assert all(map(in_lbr_space, registers))


def test_reserved_and_defined_bits_make_the_whole_of_debugctl() -> None:
    assert DEBUGCTL_RESERVED ^ DEBUGCTL_DEFINED == (1 << 64) - 1
