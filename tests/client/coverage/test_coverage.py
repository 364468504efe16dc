"""Items of coverage: each rule has a record, each name is known, and a run exercises what it shows."""

from __future__ import annotations

from client.coverage import ALL, exercised, fault_items
from client.coverage.trace import RULE_RECORDS
from client.litmus import library_path, load
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from contract.invariants import HELD, INVARIANTS, VIOLATED
from contract.rules import RULES
from tests.designs import DESIGNS, FENCED, MERGED, REVOKE_ACK, REVOKE_GP

STORY = load(library_path("central-story"))


def test_each_rule_has_its_record() -> None:
    assert list(RULE_RECORDS) == [rule.id for rule in RULES]


def test_only_known_items_are_exercised() -> None:
    for design in (FENCED, MERGED, REVOKE_ACK):
        assert exercised(run(Inputs(STORY, design)).records) <= set(ALL)


def test_only_known_changes_of_a_session_are_exercised_under_faults() -> None:
    """A crash and a shutdown begin a new epoch, whose session begins closed."""
    seen = set[str]()
    for rule in (f"{kind} {service} at Revoke" for kind in ("crash", "shutdown") for service in ("kvm0", "perfcore")):
        seen |= exercised(run(Inputs(STORY, FENCED, Schedule((parse_fault(rule),)))).records)
    assert seen <= set(ALL)
    assert {"rule R24", "message Drain", "message Drained", "session draining>leaving", "session leaving>ended"} <= seen


def test_a_run_exercises_the_rules_of_its_design() -> None:
    fenced, merged, ack = (exercised(run(Inputs(STORY, d)).records) for d in (FENCED, MERGED, REVOKE_ACK))
    assert {"rule R9", "rule R12", "rule R13", "rule R15", "rule R16", "message Received"} <= fenced
    assert {"rule R9", "rule R12", "rule R14"} & merged == set()
    assert {"rule R18", "rule R19", "message Ack"} <= ack
    assert {"session closed>greeting", "session greeting>open", "session closed>open"} <= fenced
    assert {"claim none>asked", "claim asked>held", "claim held>lost", "claim lost>denied"} <= fenced


def test_faults_are_named_by_the_rules_that_were_met() -> None:
    rules = (parse_fault("delay Revoke by 3"), parse_fault("drop Available"))
    played = run(Inputs(STORY, FENCED, Schedule(rules)))
    assert fault_items(played.faults, played.applied) == {"fault delay"}


def test_a_lost_revoke_of_the_library_never_completes_unless_it_is_sent_again() -> None:
    lost = load(library_path("mech-revoke-is-lost"))
    verdicts = {design.name: run(Inputs(lost, design)).verdict_of("revoke-completes") for design in (FENCED, REVOKE_GP)}
    assert verdicts == {"fenced": "held", "revoke-gp": "violated"}


SHOWN_IN = (
    ("arch-lbr-v512", "first-draft"),
    ("arch-lbr-v616", "v7"),
    ("c03-exclusive-host-user", "fail-entry"),
    ("c06-silent-malfunction", "first-draft"),
    ("c06-silent-malfunction", "silent"),
    ("c24-notifier-is-lost-or-late", "fenced"),
    ("central-story-in-full", "v8"),
    ("central-story", "revoke-ack"),
    ("mech-revoke-is-lost", "first-draft"),
    ("mech-user-reads-host", "fail-entry"),
    ("mech-user-reads-host", "fenced"),
)
"""Scenarios and designs that keep each invariant, and break each one."""
BROKEN_BY_CODE = {"stream-kept", "grants-kept"}
"""No axis takes these rules away: only wrong code breaks them (``tests/client/check/mutations``)."""


def test_the_library_keeps_and_breaks_each_invariant() -> None:
    """An invariant that is exercised only where it breaks shows nothing where it does not."""
    seen: dict[str, set[str]] = {name: set() for name in INVARIANTS}
    for scenario, design in SHOWN_IN:
        for finding in run(Inputs(load(library_path(scenario)), DESIGNS[design])).findings:
            seen[finding.invariant].add(finding.verdict)
    assert {name for name, verdicts in seen.items() if HELD in verdicts} == set(INVARIANTS)
    assert {name for name, verdicts in seen.items() if VIOLATED in verdicts} == set(INVARIANTS) - BROKEN_BY_CODE
