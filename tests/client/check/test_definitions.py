"""Each monitor has a definition, and the definition says which records the monitor handles."""

from __future__ import annotations

from client.check.judge import MONITORS
from client.check.monitor import Monitor
from contract.trace import AnyRecord
from tests.cases import cases

of_each = cases("invariant", MONITORS, ids=lambda i: i.name)


@of_each
def test_the_records_it_reads_are_those_it_handles(invariant: type[Monitor]) -> None:
    assert set(invariant.definition.reads) == set(invariant.HANDLERS)
    assert set(invariant.HANDLERS) <= set(AnyRecord.__args__)
    assert all(invariant.definition.reads.values())


@of_each
def test_each_part_is_there(invariant: type[Monitor]) -> None:
    found = invariant.definition

    for part in (found.text, found.broken_by, found.evidence, found.unseen):
        assert part.strip().endswith(".")
        assert "  " not in part
    assert bool(found.open_while) == invariant.liveness
