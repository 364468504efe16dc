"""The monitors that see the breach of each rule of the contract."""

from __future__ import annotations

from collections.abc import Mapping

from client.check.judge import MONITORS
from contract.rules import RULES

UNJUDGED: Mapping[str, str] = {
    "R26": "it bounds memory, and no run of a scenario reaches the bound; tests lower it",
}
"""Rule that no monitor judges, to the reason."""


def judged_by() -> dict[str, list[str]]:
    """Rule to the invariants that its breach violates."""
    return {rule.id: [each.name for each in MONITORS if rule.id in each.definition.rules] for rule in RULES}
