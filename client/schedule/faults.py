"""The faults that a trace shows, by the ids in its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from contract.trace import AnyIncidentRecord, AnyRecord, Crash, Delivery, Killed, ShuttingDown

SHOWN = (Delivery, *AnyIncidentRecord.__args__, Crash, Killed, ShuttingDown)
"""The records that name a fault."""
_SHOWN = frozenset(SHOWN)


def rules_met(rules: Sequence[FaultRule], records: Iterable[AnyRecord]) -> list[bool]:
    """For each rule whether it has changed the fate of a message, or has struck."""
    if not rules:
        return []
    shown = [r for r in records if type(r) in _SHOWN]  # An isinstance for each record would cost more.
    ids = {r.fault.partition(".")[0] for r in shown if isinstance(r, SHOWN) and r.fault}
    return [f"f{number}" in ids for number in range(1, len(rules) + 1)]


def is_drawn(fault: str) -> bool:
    """Whether the rule with this text has a probability, so that it may change nothing without an error."""
    return parse_fault(fault).chance < 1


def unmet_text(fault: str) -> str:
    """Why a rule without a probability changes nothing."""
    if fault.startswith("reorder "):
        return f"fault '{fault}' did not apply: no message overtook one that it names, or none was sent"
    if FAULT_KINDS[fault.split()[0]].strikes != "message":
        return f"fault '{fault}' did not strike"
    return f"fault '{fault}' matched no message"
