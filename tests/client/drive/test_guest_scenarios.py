"""Scenarios of the library that are guest tests: what each finds out under each design, and that it can fail."""

from __future__ import annotations

import msgspec

from client.litmus import Scenario
from client.run.verdict import Verdict, verdict_on
from contract.design import DebugctlWrite, Denial, Design, EntryCheck, FirstAccess, Takes
from tests.cases import cases
from tests.client.check.runs import outcomes, play
from tests.designs import DESIGNS, FAIL_ENTRY
from tests.library import library_scenario

TESTS = [
    "guest-capabilities-are-read-only",
    "guest-clears-lbr",
    "guest-counts-branches",
    "guest-debugctl-bits",
    "guest-filters-branches",
    "guest-finds-lbr",
    "guest-lbr-unit-test",
]
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)


def story(name: str) -> Scenario:
    return library_scenario(name)


def verdict(scenario: Scenario, design: Design) -> Verdict:
    return verdict_on(scenario, play(scenario, design).records)


def without_lbr(scenario: Scenario) -> Scenario:
    vms = [msgspec.structs.replace(vm, lbr=False) for vm in scenario.vms]
    return msgspec.structs.replace(scenario, vms=vms)


@every_design
@cases("name", TESTS)
def test_passes_in_a_guest_that_is_alone(name: str, design: Design) -> None:
    """The posted versions drop what the hardware refuses: the guest test does not ask for it, msr-legality does."""
    found = verdict(story(name), design)
    masks = name == "guest-debugctl-bits" and design.debugctl_write is DebugctlWrite.MASK
    drops = (name, design.name) == ("guest-filters-branches", "v8")
    broken = {f.invariant for f in found.findings if f.verdict == "violated"}
    expected = {"msr-legality"} if masks or drops else set()
    if design.takes is Takes.COUNTER:
        broken.discard("no-counter")  # not exercised by a guest that only looks for its LBR
    assert (broken, found.unfinished) == (expected, {}), found.reason
    assert found.final is not None
    assert found.final.result in ("held", "witnessed")
    assert "Source: " in story(name).purpose


@every_design
@cases("name", [name for name in TESTS if name != "guest-capabilities-are-read-only"])
def test_fails_in_a_guest_without_lbr(name: str, design: Design) -> None:
    assert verdict(without_lbr(story(name)), design).verdict == "violated"


@every_design
@cases(
    ("lbr", "base", "depth"),
    [("core2", 0x40, 4), ("nehalem", 0x680, 16), ("haswell", 0x680, 16), ("skylake", 0x680, 32)],
)
def test_finds_every_model(design: Design, lbr: str, base: int, depth: int) -> None:
    """Where the LBR has no call-stack mode, the event for the vCPU fails with EOPNOTSUPP though PERF_CAPABILITIES said
    that there is an LBR. A design that denies by #GP, or could only let the guest sleep for ever, then hides it. One
    that accesses the hardware first does not see the failure."""
    without_call_stack = lbr in ("core2", "nehalem")
    looks_first = design.first_access is FirstAccess.CREATE_THEN_ACCESS
    if without_call_stack and looks_first and design.denial in (Denial.GP, Denial.FAIL_ENTRY):
        base, depth = 0x680, 0
    scenario = story("guest-finds-lbr")
    machine = msgspec.structs.replace(scenario.machine, lbr=lbr, depth=0)
    seen = outcomes(play(msgspec.structs.replace(scenario, machine=machine), design).records)
    assert (seen["vm0/0:lbr_from"], seen["vm0/0:n"]) == (base, depth)


@every_design
def test_what_else_they_find(design: Design) -> None:
    """v8 handles no LBR_INFO where the LBR is not passed through; a mask drops bits, a table makes them fault."""
    cleared = outcomes(play(story("guest-clears-lbr"), design).records)
    never_passed_through = design.entry_check is EntryCheck.INVERTED
    assert cleared["vm0/0:no_info"] == (32 if never_passed_through else 0)
    bits = outcomes(play(story("guest-debugctl-bits"), design).records)
    masked = design.debugctl_write is DebugctlWrite.MASK
    assert (bits["vm0/0:given"], bits["vm0/0:faults"]) == (0x801, 0 if masked else 0xF7FC)


BESIDE_HOST = {
    "v7": (5, 0, "witnessed"),
    "v7-pinned": (5, 0, "witnessed"),
    "v8": (0, 16, "not witnessed"),
    "silent": (8, 0, "witnessed"),  # three of the host's among them
    "merged": (5, 0, "witnessed"),
    "merged-2023": (8, 0, "witnessed"),
    "first-come": (10, 0, "not witnessed"),
    "kvm-switch": (8, 0, "witnessed"),
    "vmx-transition": (10, 0, "not witnessed"),
    "mediated": (10, 0, "not witnessed"),
    "revoke-gp": (0, 1, "not witnessed"),
    "revoke-zero": (0, 0, "witnessed"),  # a zero tells nobody anything
    "revoke-ack": (0, 1, "not witnessed"),
    "fenced": (0, 1, "not witnessed"),
}
"""Entries of ten branches that are left, faults, and whether the guest is misled in silence."""


@cases("name", BESIDE_HOST)
def test_beside_a_host_event(name: str) -> None:
    scenario = story("guest-test-beside-host")
    played = play(scenario, DESIGNS[name])
    seen, final = outcomes(played.records), verdict_on(scenario, played.records).final
    assert final is not None
    assert (seen["vm0/0:seen"], seen["vm0/0:faults"], final.result) == BESIDE_HOST[name]


def test_beside_a_host_event_a_guest_that_is_not_entered_finds_nothing_out() -> None:
    """The one thread of the test stands still with it, so that the host event never goes."""
    scenario = story("guest-test-beside-host")
    found = verdict(scenario, FAIL_ENTRY)
    assert found.unfinished == {"host+vm0/0": "waits for Available"}
    assert found.verdict == "violated"
    assert found.reason == "no-starvation"
