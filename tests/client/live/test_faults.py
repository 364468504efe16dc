"""Rules of faults that a live run can have."""

from __future__ import annotations

import pytest

from client.litmus.fault_rules import parse_fault
from client.live.faults import chances_of
from contract.errors import InputError
from tests.cases import cases


def test_rules_become_chances_of_a_million() -> None:
    texts = ("drop p=0.01", "duplicate p=0.25", "corrupt", "reorder p=0.5 seed=7", "delay by 2ms")
    chances = chances_of([parse_fault(text) for text in texts])

    assert (chances.drop, chances.duplicate, chances.corrupt, chances.overtake) == (10_000, 250_000, 1_000_000, 500_000)
    assert (chances.delay_ns, chances.seed) == (2_000_000, 7)


@cases(
    "rule",
    [
        "drop Revoke p=0.1", "drop p=0.1 kvm0>host", "drop 1", "crash kvm0 at 1ms", "delay by 2ms p=0.5", "delay by 3",
        "delay by 2s", "hold by 2ms", "reorder by 3", "corrupt field grant", "drop after 1ms",
    ],
)  # fmt: skip
def test_other_rules_are_refused(rule: str) -> None:
    with pytest.raises(InputError, match=r"--fault '.*': "):
        chances_of([parse_fault(rule)])
