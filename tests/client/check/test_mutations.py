"""Each monitor notices mutations of the production code, and some that no other monitor notices."""

from __future__ import annotations

import pytest

from contract.invariants import INVARIANTS
from contract.trace import AnyRecord
from tests.cases import cases
from tests.client.check.mutations import Mutation
from tests.client.check.mutations.table import LEAST, MUTATIONS, NEVER_ALONE
from tests.client.check.runs import broken, trace

ROWS = [(invariant, mutation) for invariant, mutations in MUTATIONS.items() for mutation in mutations]


def played(mutation: Mutation) -> list[AnyRecord]:
    return trace(mutation.story, mutation.design, *mutation.faults)


@cases(("invariant", "mutation"), ROWS)
def test_noticed(invariant: str, mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    before = broken(played(mutation))
    assert invariant not in before, "the story breaks it without the mutation"
    mutation.patch(monkeypatch)
    after = broken(played(mutation))

    assert invariant in after
    if mutation.alone:
        assert after - before == {invariant}


@cases("invariant", MUTATIONS)
def test_enough_of_them(invariant: str) -> None:
    mutations = MUTATIONS[invariant]
    assert len(mutations) >= LEAST
    assert len({mutation.name for mutation in mutations}) == len(mutations)
    assert len({mutation.about for mutation in mutations}) == len(mutations)
    assert any(mutation.alone for mutation in mutations) != (invariant in NEVER_ALONE)


def test_the_table_has_every_invariant() -> None:
    assert set(MUTATIONS) == set(INVARIANTS)
    assert set(NEVER_ALONE) <= set(MUTATIONS)
