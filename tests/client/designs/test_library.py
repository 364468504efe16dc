"""Each scenario of the library under each design: no claim is broken, but for known reasons, and no verdict needs
evidence. One pass over all of them, since playing and judging take most of the time."""

from __future__ import annotations

import pytest

from client.check.judge import judge
from client.designs import DESIGNS
from client.run.inputs import Inputs
from client.run.run import run
from contract.design import Condition
from contract.errors import InputError
from tests.client.check.test_evidence import verdicts_without
from tests.library import library_scenarios

KNOWN = {
    (
        "fenced",
        "mech-migrate-without-lbr",
        "no-loss",
    ): "user space leaves the LBR behind, and nothing that arrives says that there was one",
}
"""Design, scenario and invariant of each broken claim, with the reason."""


@pytest.mark.parametrize("name", DESIGNS)
def test_no_claim_is_broken_and_no_verdict_needs_evidence(name: str) -> None:
    design = DESIGNS[name]
    broken: set[tuple[str, str, str]] = set()
    played = 0
    for story in library_scenarios():
        try:
            records = run(Inputs(story, design)).records
        except InputError:  # The scenario is impossible under this design.
            continue
        played += 1
        claimed = design.claimed(Condition.ANY if story.faults else Condition.PROMPT)
        findings = judge(records)
        assert verdicts_without(records) == {f.invariant: f.verdict for f in findings}, story.name
        broken |= {(name, story.name, f.invariant) for f in findings if f.violations and f.invariant in claimed}
    assert played > 100
    assert broken == {known for known in KNOWN if known[0] == name}
