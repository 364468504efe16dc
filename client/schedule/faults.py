"""The faults that a trace shows, by the ids in its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from client.litmus.fault import FaultRule
from contract.trace import AnyRecord, Delivery


def rules_met(rules: Sequence[FaultRule], records: Iterable[AnyRecord]) -> list[bool]:
    """For each rule whether it has changed the fate of a message."""
    ids = {r.fault.partition(".")[0] for r in records if isinstance(r, Delivery) and r.fault} if rules else set()
    return [f"f{number}" in ids for number in range(1, len(rules) + 1)]


def unmet_text(fault: str) -> str:
    """Why a rule changes nothing."""
    if fault.startswith("reorder "):
        return f"fault '{fault}' did not apply: no message overtook one that it names, or none was sent"
    return f"fault '{fault}' matched no message"
