"""Scenarios of the library that are guest tests: what each finds out under each design, and that it can fail."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from client.check.verdict import Verdict, verdict_on
from client.litmus import Scenario, load
from contract.design import Denial, Design
from contract.designs import DESIGNS
from tests.client.check.runs import outcomes, play

LIBRARY = Path(__file__).parents[3] / "client/scenarios"
TESTS = [
    "guest-capabilities-are-read-only",
    "guest-clears-lbr",
    "guest-counts-branches",
    "guest-debugctl-bits",
    "guest-filters-branches",
    "guest-finds-lbr",
    "guest-lbr-unit-test",
]
POSTED = {name: design for name, design in DESIGNS.items() if name in ("v7", "v8", "merged", "kvm-switch", "revoke-gp")}
every_design = pytest.mark.parametrize("design", POSTED.values(), ids=POSTED)


def story(name: str) -> Scenario:
    return load(LIBRARY / f"{name}.litmus")


def verdict(scenario: Scenario, design: Design) -> Verdict:
    return verdict_on(scenario, play(scenario, design).records)


def without_lbr(scenario: Scenario) -> Scenario:
    vms = [msgspec.structs.replace(vm, lbr=False) for vm in scenario.vms]
    return msgspec.structs.replace(scenario, vms=vms)


@every_design
@pytest.mark.parametrize("name", TESTS)
def test_passes_in_a_guest_that_is_alone(name: str, design: Design) -> None:
    found = verdict(story(name), design)
    assert (found.verdict, found.unfinished) == ("held", {}), found.why
    assert "Source: " in story(name).purpose


@every_design
@pytest.mark.parametrize("name", [name for name in TESTS if name != "guest-capabilities-are-read-only"])
def test_fails_in_a_guest_without_lbr(name: str, design: Design) -> None:
    assert verdict(without_lbr(story(name)), design).verdict == "violated"


@every_design
@pytest.mark.parametrize(
    ("lbr", "base", "depth"),
    [("core2", 0x40, 4), ("nehalem", 0x680, 16), ("haswell", 0x680, 16), ("skylake", 0x680, 32)],
)
def test_finds_every_model(design: Design, lbr: str, base: int, depth: int) -> None:
    """Where the LBR has no call-stack mode, the event for the vCPU fails with EOPNOTSUPP though PERF_CAPABILITIES said
    that there is an LBR; a design that denies by #GP then hides it from the guest."""
    if lbr in ("core2", "nehalem") and design.denial is Denial.GP:
        base, depth = 0x680, 0
    scenario = story("guest-finds-lbr")
    machine = msgspec.structs.replace(scenario.machine, lbr=lbr, depth=0)
    seen = outcomes(play(msgspec.structs.replace(scenario, machine=machine), design).records)
    assert (seen["vm0/0:lbr_from"], seen["vm0/0:n"]) == (base, depth)


@every_design
def test_what_else_they_find(design: Design) -> None:
    """v8 handles no LBR_INFO where the LBR is not passed through; a mask drops bits, a table makes them fault."""
    cleared = outcomes(play(story("guest-clears-lbr"), design).records)
    assert cleared["vm0/0:no_info"] == (32 if design.name == "v8" else 0)
    bits = outcomes(play(story("guest-debugctl-bits"), design).records)
    assert (bits["vm0/0:given"], bits["vm0/0:faults"]) == (0x801, 0 if design.name in ("v7", "v8") else 0xF7FC)


BESIDE_HOST = {
    "v7": (5, 0, "witnessed"),
    "v8": (0, 16, "not witnessed"),
    "merged": (5, 0, "witnessed"),
    "kvm-switch": (8, 0, "witnessed"),
    "revoke-gp": (0, 1, "not witnessed"),
}
"""Entries of ten branches that are left, faults, and whether the guest is misled in silence."""


@every_design
def test_beside_a_host_event(design: Design) -> None:
    scenario = story("guest-test-beside-host")
    played = play(scenario, design)
    seen, final = outcomes(played.records), verdict_on(scenario, played.records).final
    assert final is not None
    assert (seen["vm0/0:seen"], seen["vm0/0:faults"], final.result) == BESIDE_HOST[design.name]
