"""capability-kept: the LBR that PERF_CAPABILITIES promises is there."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from contract.design import Design
from contract.trace import Access, AnyRecord, EventFailed, GuestEvent, GuestMsr, UserMsr
from tests.cases import cases
from tests.client.check.runs import HELD, HOST, IDLE, VIOLATED, finding, first, ordered, outcomes, renumbered, trace
from tests.designs import DESIGNS, FENCED, KVM_SWITCH, MERGED, REVOKE_GP, V8

NAME = "capability-kept"
LOAD = "host: run vm0/0 on cpu0;"
PROMISED = LOAD + "vm0/0: c = rdmsr PERF_CAPABILITIES;"
READ = PROMISED + "vm0/0: t = rdmsr LBR_TOS; vm0/0: f = rdmsr LBR_FROM[1];"
NO_CALL_STACK = "machine { cpus = 1; lbr = sandybridge; kernel = v5.12; }\nvm vm0 { lbr = on; }"
"""Perf refuses the guest's event with EOPNOTSUPP, and this kernel still offers the LBR."""


def verdict(records: list[AnyRecord]) -> str:
    return finding(renumbered(records), NAME).verdict


def changed(records: list[AnyRecord], kind: type, **changes: Any) -> list[AnyRecord]:
    at = [i for i, r in enumerate(records) if isinstance(r, kind)][-1]
    return [*records[:at], replace(records[at], **changes), *records[at + 1 :]]


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held(design: Design) -> None:
    on = "vm0/0: wrmsr DEBUGCTL, LBR|FREEZE_LBRS_ON_PMI; vm0/0: wrmsr LBR_SELECT, 1;"
    assert finding(trace(ordered(READ + on), design), NAME).verdict == HELD


@cases("steps", [LOAD + "vm0/0: t = rdmsr LBR_TOS;", PROMISED, PROMISED + "vm0/0: wrmsr DEBUGCTL, 0;"])
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == IDLE


def test_not_exercised_by_a_guest_that_is_promised_nothing() -> None:
    head = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = off; }"
    records = trace(ordered(READ, head=head), MERGED)

    assert outcomes(records)["vm0/0:t"] == "#GP"
    assert finding(records, NAME).verdict == IDLE


@cases(
    ("changes", "expected"),
    [
        ({"result": "gp"}, VIOLATED),
        ({"result": "gp", "denied": True}, HELD),
        ({"result": "gp", "msr": 0x680 + 8}, IDLE),
        ({"result": "gp", "write": True, "msr": 0x681, "written": 1 << 63}, HELD),
        ({"result": "gp", "write": True, "msr": 0x681, "written": 1}, VIOLATED),
        ({"msr": 0x1D9, "write": True, "written": 1, "value": 1}, HELD),
        ({"msr": 0x1D9, "write": True, "written": 1, "value": 0}, VIOLATED),
        ({"msr": 0x1D9, "write": True, "written": 0, "value": 0}, IDLE),
        ({"msr": 0x1D9, "write": True, "written": 0x801, "result": "gp"}, VIOLATED),
        ({"msr": 0x1D9, "write": True, "written": 0x2001, "result": "gp"}, HELD),
    ],
    ids=str,
)
def test_intercepted(changes: dict[str, Any], expected: str) -> None:
    records = trace(ordered(PROMISED + "vm0/0: t = rdmsr LBR_TOS;"), MERGED)
    assert verdict(changed(records, Access, **changes)) == expected


@cases(
    ("changes", "expected"),
    [
        ({}, HELD),
        ({"fault": True}, VIOLATED),
        ({"fault": True, "write": True, "value": 1 << 63}, HELD),
    ],
    ids=str,
)
def test_passed_through(changes: dict[str, Any], expected: str) -> None:
    assert verdict(changed(trace(ordered(READ), MERGED), GuestMsr, **changes)) == expected


def test_what_user_space_set_is_a_promise() -> None:
    records = changed(trace(ordered(LOAD + "vm0/0: t = rdmsr LBR_TOS;"), MERGED), Access, result="gp")
    promise = UserMsr(vcpu="vm0/0", msr=0x345, value=5, processed=True)

    assert verdict([records[0], promise, *records[1:]]) == VIOLATED
    for none in (replace(promise, value=0x2000), replace(promise, processed=False), replace(promise, msr=0x1D9)):
        assert verdict([records[0], none, *records[1:]]) == IDLE


def test_violated_by_info_registers_that_v8_does_not_know() -> None:
    """``intel_pmu_is_valid_lbr_msr`` of v7 and v8 compares INFO with its own first register twice."""
    violation, record = first(trace(ordered(PROMISED + "vm0/0: i = rdmsr LBR_INFO[0];"), V8), NAME)

    assert isinstance(record, Access)
    assert violation.text == "PERF_CAPABILITIES promises vm0/0 an LBR of format 5: MSR 0xdc0 gives #GP"


@cases(("design", "expected"), [(MERGED, VIOLATED), (FENCED, VIOLATED), (KVM_SWITCH, HELD)])
def test_an_lbr_for_which_perf_makes_no_event(design: Design, expected: str) -> None:
    records = trace(ordered(PROMISED + "vm0/0: t = rdmsr LBR_TOS;", head=NO_CALL_STACK), design)
    assert finding(records, NAME).verdict == expected


@cases(
    "changes",
    [{"errno": "EBUSY"}, {"guest": ""}, {"guest": "vm1/0"}, {"holder": "a mediated VM"}],
    ids=["busy", "a host event", "another guest", "mediated VMs"],
)
def test_a_refusal_for_the_sake_of_others_breaks_no_promise(changes: dict[str, str]) -> None:
    records = trace(ordered(PROMISED + "vm0/0: t = rdmsr LBR_TOS;", head=NO_CALL_STACK), MERGED)
    assert verdict(changed(records, EventFailed, **changes)) == HELD


@cases("design", [MERGED, FENCED], ids=lambda d: d.name)
def test_a_mediated_vm_is_another_user(design: Design) -> None:
    records = trace(ordered("host: mediate;" + PROMISED + "vm0/0: t = rdmsr LBR_TOS;"), design)
    (failed,) = [r for r in records if isinstance(r, EventFailed)]

    assert (failed.guest, failed.errno, failed.holder) == ("vm0/0", "EOPNOTSUPP", "a mediated VM")
    assert finding(records, NAME).verdict == HELD
    assert finding(records, "precedence").verdict != VIOLATED
    assert verdict(changed(records, EventFailed, holder="")) == VIOLATED


def test_an_event_that_could_be_made_later() -> None:
    records = trace(ordered(PROMISED + "vm0/0: t = rdmsr LBR_TOS;", head=NO_CALL_STACK), MERGED)
    at = [i for i, r in enumerate(records) if isinstance(r, GuestEvent)][-1]
    made = GuestEvent(vcpu="vm0/0", event=1, change="created")

    assert verdict([*records[: at + 1], made, *records[at + 1 :]]) == HELD


def test_a_denial_for_the_sake_of_the_host_breaks_no_promise() -> None:
    records = trace(ordered(READ + HOST + "vm0/0: t1 = rdmsr LBR_TOS;"), REVOKE_GP)

    assert outcomes(records)["vm0/0:t1"] == "#GP"
    assert finding(records, NAME).verdict == HELD
