"""Scenarios of the library that work examples through or show one mechanism each: under which design to look, what that
design breaks, and which does not break it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import msgspec

from client.litmus import Scenario, library
from client.run.verdict import verdict_on
from contract.kernels import KERNELS as NAMES
from contract.trace import AnyRecord, HostWait, LbrReset, LbrRestore, LbrSave
from tests.cases import cases
from tests.client.check.runs import VIOLATED, broken, outcomes, play, verdicts
from tests.client.drive import test_guest_scenarios, test_worked_examples
from tests.designs import DESIGNS, REVOKE_ACK, REVOKE_GP
from tests.library import library_scenario

HELD: dict[str, tuple[str, ...]] = {
    "central-story-in-full": ("vmx-transition", "revoke-gp", "revoke-ack", "fenced"),
    "mech-four-vms-three-kvms": ("revoke-gp", "revoke-ack", "fenced"),
    "mech-debugctl-faults-v8": ("v8",),
    "mech-debugctl-no-event-v8": ("v8",),
    "mech-mediated-all-make-way": ("mediated",),
    "mech-mediated-guest-time": ("mediated",),
    "mech-stale-host-debugctl-v616": ("merged",),
    "kvm-w05-freeze-without-lbr": ("merged",),
    "kvm-w08-identical-stack": ("merged", "v7", "v8"),
    "kvm-w14-user-enable-order": ("merged",),
    "mech-acknowledged-open-waits": ("revoke-ack",),
    "mech-capabilities-before-first-run": ("merged",),
    "mech-debugctl-table": ("merged", "fenced"),
    "mech-event-list-full": ("merged", "merged-2023"),
    "mech-fail-entry-sleeps": ("fail-entry",),
    "mech-from-sign-extension": ("merged",),
    "mech-get-msrs-from-another-thread": ("merged",),
    "guest-reads-cpuid": ("merged", "v8", "fenced"),
    "mech-migrate-counters-v616": ("merged", "fenced"),
    "mech-migrate-counters-v71": ("merged", "fenced"),
    "mech-rdpmc-v616": ("merged", "v8", "fenced"),
    "mech-recovers-each-vcpu": ("revoke-gp", "fenced"),
    "mech-recovers-twice": ("revoke-gp", "revoke-ack", "fenced"),
    "mech-revoke-is-lost": ("fenced",),
    "mech-user-select-v512": ("merged", "v8", "fenced"),
    "mech-user-select-v616": ("merged", "v8", "fenced"),
    "mech-user-msr-list": ("merged", "v8", "fenced"),
    "mech-guest-counter-beside-lbr": ("merged", "v8", "fenced"),
    "mech-guest-event-keeps-mediated-out": ("merged", "v8"),
    "mech-guest-keeps-bts-out": ("merged", "v7", "v8"),
    "mech-info-slip-v7": ("v7",),
    "mech-info-slip-v8": ("v8",),
    "mech-mediated-hides-lbr": ("merged",),
    "mech-mediated-host-events": ("mediated",),
    "mech-migrate-with-lbr": ("merged", "kvm-switch", "fenced"),
    "mech-no-call-stack-v616": ("merged",),
    "mech-no-pdcm-v512": ("merged",),
    "mech-no-pdcm-v616": ("merged",),
    "mech-pinned-failure-takes-guest-v512": ("merged",),
    "mech-pinned-failure-takes-guest-v53": ("merged",),
    "mech-counter-levels": ("merged", "fenced"),
    "mech-exclusive-pmu": ("merged", "fenced"),
    "no-lbr": ("merged", "fenced"),
    "arch-lbr-v616": ("merged", "fenced"),
    "mech-lvtpc-masked": ("merged", "v8", "fenced"),
    "mech-btf-drops-lbr-v71": ("merged",),
    "mech-pmi-masks-lvtpc-v616": ("merged", "fenced"),
    "mech-pmi-version-4": ("merged",),
    "mech-pmi-without-apic": ("merged", "v8", "fenced"),
    "mech-reset-merged": ("merged", "v8"),
    "mech-set-cpuid-v512": ("merged",),
    "mech-set-cpuid-v616": ("merged",),
    "mech-select-between-vms-v616": ("merged",),
    "mech-select-of-host-v616": ("merged",),
    "mech-three-vms-one-cpu": ("merged", "v7", "v8", "kvm-switch", "fenced"),
    "mech-two-kvms-one-cpu": ("merged", "v7", "v8", "fenced"),
    "mech-vmx-transition-both-record": ("vmx-transition",),
    "perf-e01-enable-ends-error": ("merged-2023",),
    "perf-e01-error-stays": ("v8",),
    "perf-e02-head-decides-v512": ("v8",),
    "perf-e02-stuck-head-v512": ("v8",),
    "perf-e02-stuck-head-v53": ("v8",),
    "perf-e04-created-in-error": ("v8", "revoke-gp"),
    "perf-e05-cpu-starves-task-v512": ("merged",),
    "perf-e05-cpu-starves-task-v53": ("merged",),
    "perf-e06-shares": ("merged",),
    "perf-e07-pinned-failure-v512": ("merged",),
    "perf-e07-pinned-failure-v53": ("merged",),
    "perf-e08-group-takes-turns": ("merged",),
    "perf-e11-no-counter-needed": ("v8", "merged"),
    "perf-e12-three-claims": ("merged",),
    "perf-e13-call-stacks": ("merged",),
    "perf-e14-reset-at-switch-in": ("merged",),
    "perf-e15-cpu-wide-reset": ("merged",),
    "perf-e15-cpu-wide-stack-v512": ("merged",),
    "perf-e15-cpu-wide-stack-v616": ("merged",),
    "perf-e15-next-task-is-restored": ("merged",),
    "perf-e17-one-filter-a-group": ("merged",),
    "perf-e18-mediated-and-host-events": ("merged",),
    "perf-e21-error-at-the-next-walk": ("v8",),
    "perf-e23-six-on-four": ("merged",),
    "perf-e25-task-events-take-turns": ("merged",),
    "perf-e27-pinned-sibling": ("merged",),
    "perf-e28-save-and-restore": ("merged", "v8"),
}
"""Scenario to the designs under which nothing breaks and its condition holds."""


class Defect(NamedTuple):
    """``design`` breaks ``invariants``, and the condition says how; ``whole`` breaks none of them."""

    design: str
    invariants: frozenset[str]
    whole: str


def defect(design: str, invariants: str, whole: str) -> Defect:
    return Defect(design, frozenset(invariants.split()), whole)


DEFECTS = {
    "arch-lbr-v512": defect("merged", "no-loss msr-legality capability-kept", "fenced"),
    "kvm-w01-cold-read-v7": defect("v7", "guest-clean no-leak", "merged"),
    "mech-btf-drops-lbr-v616": defect("merged", "capability-kept", "v8"),
    "mech-created-beside-host": defect("merged", "guest-clean no-leak precedence", "merged-2023"),
    "mech-creation-ignored-v7": defect("v7", "guest-clean no-leak agreement", "merged"),
    "mech-del-miscounts-call-stacks": defect("merged", "no-loss", "kvm-switch"),
    "mech-debugctl-mask": defect("v7", "msr-legality", "merged"),
    "mech-debugctl-on-in-error": defect("merged", "one-owner host-clean", "revoke-gp"),
    "mech-debugctl-on-without-event": defect("merged", "one-owner host-clean", "revoke-gp"),
    "mech-enable-leaks-2023": defect("merged-2023", "guest-clean no-leak no-loss", "fenced"),
    "mech-exclusive-keeps-off-v7": defect("v7", "no-silent-denial agreement", "merged"),
    "mech-first-come-guest": defect("first-come", "precedence", "revoke-gp"),
    "mech-first-come-host": defect("first-come", "precedence", "revoke-gp"),
    "mech-first-write-wiped-v7": defect("v7", "no-loss", "merged"),
    "mech-hole-loses-older": defect("merged", "no-loss", "kvm-switch"),
    "mech-host-finds-guest": defect("revoke-gp", "host-clean", "fenced"),
    "mech-host-pmi-freezes-guest": defect("merged", "no-loss", "fenced"),
    "mech-host-lbr-lost-at-exit": defect("v8", "host-served debugctl-restored", "revoke-gp"),
    "mech-recovers-disabled-event": defect("revoke-gp", "host-clean", "fenced"),
    "mech-losing-add-filter": defect("v8", "host-served", "revoke-gp"),
    "mech-losing-add-resets": defect("kvm-switch", "no-loss", "merged"),
    "mech-mediated-keeps-guest-event-out": defect("merged", "no-silent-denial", "fenced"),
    "mech-migrate-without-lbr": defect("merged", "no-loss", ""),
    "mech-no-call-stack-v512": defect("merged", "no-silent-denial capability-kept", "kvm-switch"),
    "mech-noncanonical-from": defect("merged", "msr-legality", "fenced"),
    "mech-release-lbr-off": defect("merged", "no-loss", "merged-2023"),
    "mech-release-two-idle-slices": defect("v7", "no-loss", "fenced"),
    "mech-reset-v7": defect("v7", "one-owner guest-clean no-leak no-silent-denial agreement", "fenced"),
    "mech-reserved-select-bit": defect("merged", "msr-legality", "fenced"),
    "mech-select-between-vms-v512": defect("merged", "no-loss", "kvm-switch"),
    "mech-select-of-host-v512": defect("merged", "no-loss", "kvm-switch"),
    "mech-shut-out-is-a-flag": defect("v7", "one-owner guest-clean no-leak", "revoke-gp"),
    "mech-skipped-restore": defect("merged", "guest-clean no-leak no-loss", "fenced"),
    "mech-user-reads-host": defect("merged", "user-clean", "fenced"),
    "mech-stale-host-debugctl-v512": defect("merged", "one-owner no-leak debugctl-restored", "merged-2023"),
    "mech-user-debugctl-v8": defect("v8", "agreement", "merged"),
    "mech-user-turns-lbr-on-first": defect("merged", "no-loss", "fenced"),
    "perf-e20-shut-out": defect("merged", "host-served precedence", "revoke-gp"),
}
"""Scenario to what is broken in it; a migration without the LBR loses it whatever the design."""

TESTED_ELSEWHERE = {
    *test_guest_scenarios.TESTS,
    *test_worked_examples.EXAMPLES,
    "central-story",
    "exclusive-group",
    "first-failure-shuts-the-door",
    "group-all-or-nothing",
    "guest-alone",
    "guest-test-beside-host",
    "host-filter-after-guest",
    "multiplexing",
    "pinned-error",
    "thread-switch",
    "two-vms-one-cpu",
    "user-space-reads-lbr",
    "v8-first-access-race",
}
CLAIMS_AND_RULES = re.compile(r"[cr][0-9]{2}-")
"""Scenarios of the thread's claims and of the contract's rules have tests of their own."""

AGREES = {*HELD, *DEFECTS}
ENDS = ("held", "witnessed")


@cache
def story(name: str) -> Scenario:
    return library_scenario(name)


@cache
def records(name: str, design: str) -> list[AnyRecord]:
    return play(story(name), DESIGNS[design]).records


def ends_in(scenario: Scenario, played: list[AnyRecord]) -> str:
    """The result of the final condition, for any design. Every thread must have finished."""
    assert scenario.final is not None
    final = msgspec.structs.replace(scenario.final, under=())
    found = verdict_on(msgspec.structs.replace(scenario, final=final), played)
    assert found.unfinished == {}
    assert found.final is not None
    return found.final.result


def test_every_scenario_is_in_a_table() -> None:
    there = {path.stem for path in library()}
    assert there >= AGREES | TESTED_ELSEWHERE
    assert {name for name in there - AGREES - TESTED_ELSEWHERE if not CLAIMS_AND_RULES.match(name)} == set()
    assert len(AGREES) == len(HELD) + len(DEFECTS)


@cases("name", sorted(AGREES))
def test_says_what_it_shows_and_whence(name: str) -> None:
    scenario = story(name)
    assert scenario.name == name
    shows, _, source = scenario.purpose.partition(" Source: ")
    assert shows
    assert source.endswith(".")
    assert scenario.final is not None


@cases("name", sorted(AGREES))
def test_is_asked_of_the_designs_of_the_table(name: str) -> None:
    final = story(name).final
    assert final is not None
    assert set(final.under) <= set(DESIGNS)
    assert not final.under or set(final.under) == set(HELD.get(name, (design_of(name),)))


@cases(("name", "design"), [(name, design) for name, found in HELD.items() for design in found])
def test_holds(name: str, design: str) -> None:
    found = verdict_on(story(name), records(name, design))
    assert (found.verdict, found.unfinished) == ("held", {}), found.reason


@cases("name", DEFECTS)
def test_shows_the_defect(name: str) -> None:
    design, invariants, _ = DEFECTS[name]
    assert ends_in(story(name), records(name, design)) in ENDS
    assert broken(records(name, design)) >= invariants


@cases("name", DEFECTS)
def test_a_defect_is_expected_of_its_design(name: str) -> None:
    """A scenario that shows a defect on purpose ends with 0 there, and says which invariants that breaks."""
    scenario, played = story(name), records(name, design_of(name))
    found = verdict_on(scenario, played)
    assert (found.verdict, found.surprises) == ("expected", []), found.reason
    assert all(expect.under == (design_of(name),) for expect in scenario.expects)
    named = {name for expect in scenario.expects for name in expect.invariants}
    assert named <= broken(played)


@cases("name", [name for name, found in DEFECTS.items() if found.whole])
def test_another_design_has_not_got_the_defect(name: str) -> None:
    _, invariants, whole = DEFECTS[name]
    assert ends_in(story(name), records(name, whole)) not in ENDS
    assert not broken(records(name, whole)) & invariants


# Rules of one kernel are not rules of another ------------------------------------------------------------

KERNELS = {name.replace(".", ""): name for name in NAMES}


def siblings(name: str) -> list[str]:
    """The kernels of the scenarios that differ from this one in their rule set only."""
    base, _, own = name.rpartition("-")
    return [kernel for suffix, kernel in KERNELS.items() if suffix != own and f"{base}-{suffix}" in AGREES]


def design_of(name: str) -> str:
    return HELD[name][0] if name in HELD else DEFECTS[name].design


PAIRS = [(name, kernel) for name in AGREES if name.rpartition("-")[2] in KERNELS for kernel in siblings(name)]


@cases(("name", "kernel"), sorted(PAIRS))
def test_the_other_kernel_ends_otherwise(name: str, kernel: str) -> None:
    scenario = story(name)
    other = msgspec.structs.replace(scenario, machine=msgspec.structs.replace(scenario.machine, kernel=kernel))
    assert ends_in(other, play(other, DESIGNS[design_of(name)]).records) not in ENDS


def test_two_behaviours_are_one_where_nothing_is_intercepted() -> None:
    """Nor are there two under v8, whose inverted check intercepts as long as the guest has the LBR."""
    for name in ("mech-noncanonical-from", "mech-reserved-select-bit"):
        for design, seen in (("mediated", "#GP"), ("v8", "ok")):
            found = outcomes(records(name, design))
            assert (found["vm0/0:w0"], found["vm0/0:w1"]) == (seen, seen)


# Limits of a final condition -----------------------------------------------------------------------------


def test_a_task_back_from_idle_is_not_restored() -> None:
    played = records("perf-e13-call-stacks", "merged")
    ring = [type(r) for r in played if isinstance(r, LbrReset | LbrSave | LbrRestore)]
    assert ring == [LbrReset, LbrSave, LbrReset, LbrReset, LbrSave, LbrRestore, LbrSave]


def test_the_open_waits_where_it_is_acknowledged_only() -> None:
    scenario = story("mech-acknowledged-open-waits")
    for design, waits in ((REVOKE_ACK, 1), (REVOKE_GP, 0)):
        assert len([r for r in play(scenario, design).records if isinstance(r, HostWait)]) == waits


def test_a_lost_revoke_harms_only_who_does_not_wait() -> None:
    scenario = story("mech-acknowledged-open-waits")
    waited = play(scenario, REVOKE_ACK, "drop:Revoke:1").records
    assert verdict_on(scenario, waited).verdict == "held"
    assert verdicts(play(scenario, REVOKE_GP, "drop:Revoke:1").records)["one-owner"] == VIOLATED
