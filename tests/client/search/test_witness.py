"""A witness names the faults of its run."""

from __future__ import annotations

import pytest

from client.schedule.decisions import Deliver, parse_decision
from client.schedule.incidents import Incident
from client.search.witness import as_rule


@pytest.mark.parametrize(
    ("in_tape", "rule"),
    [
        ("drop host>kvm0 6 Revoke f1.2", "drop Revoke"),
        ("clock kvm0 1250000 f2.1", "clock kvm0 rate 1.25"),
        ("crash kvm0 f1.1", "crash kvm0"),
        ("stall perfcore", "stall perfcore"),
    ],
)
def test_its_faults_are_told_as_rules(in_tape: str, rule: str) -> None:
    fault = parse_decision(in_tape)
    assert isinstance(fault, Deliver | Incident)
    assert as_rule(fault) == rule
