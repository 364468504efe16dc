"""The invariants that a design has to keep under a condition."""

from __future__ import annotations

from client.search.counted import owed
from contract.design import Condition
from tests.designs import FENCED, MEDIATED, V7


def test_what_is_owed_without_a_claim_for_faults_is_what_is_claimed_without_them() -> None:
    """Else the faults would count for what is broken without them."""
    assert MEDIATED.claimed(Condition.ANY) == ()
    claimed = frozenset(MEDIATED.claimed(Condition.COMPLETE))
    assert owed(MEDIATED, Condition.ANY) == owed(MEDIATED, Condition.COMPLETE) == claimed
    assert owed(FENCED, Condition.ANY) == frozenset(FENCED.claimed(Condition.ANY))
    assert owed(V7, Condition.ANY) is owed(V7, Condition.COMPLETE) is None
