"""Everything that a run can exercise, by name: ``rule R12``, ``claim held>lost``, ``violated one-owner``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from client.litmus.fault_kinds import FAULT_KINDS
from contract.design import AXIS_FIELDS, axis_values
from contract.design import AXIS_TYPES as AXES
from contract.invariants import INVARIANTS, NOT_EXERCISED, VIOLATED
from contract.messages import MESSAGE_KINDS
from contract.rules import RULES
from contract.session import TRANSITIONS as SESSION
from kvm_svc.hypervisor.claim import TRANSITIONS as CLAIM
from perfcore_svc.perf.event import TRANSITIONS as EVENT

Item = str

GROUPS: dict[str, str] = {
    "rule": "rules of the contract",
    "message": "messages",
    "event": "changes of state of an event in perf",
    "claim": "changes of a guest's claim in KVM",
    "session": "changes of a session, at either end",
    "exercised": "invariants that something could have broken",
    "violated": "invariants that are violated",
    "axis": "values of the axes of the designs",
    "fault": "kinds of faults",
}
"""Group to its subject. The name of an item begins with its group."""


def arrow(group: str, old: str, new: str) -> Item:
    return f"{group} {old}>{new}"


def _arrows() -> Iterable[Item]:
    yield from (arrow("event", old.name, new.name) for old, new in EVENT)
    yield from (arrow("claim", str(old), str(new)) for (old, _), new in CLAIM.items())
    yield from (arrow("session", str(old), str(new)) for (old, _), new in SESSION.items())


def _axes() -> Iterable[Item]:
    return (f"axis {axis}={value}" for axis in AXIS_FIELDS if AXES[axis] for value in axis_values(axis))


ALL: tuple[Item, ...] = tuple(
    dict.fromkeys(
        [
            *(f"rule {rule.id}" for rule in RULES),
            *(f"message {kind}" for kind in MESSAGE_KINDS),
            *_arrows(),
            *(f"exercised {name}" for name in INVARIANTS),
            *(f"violated {name}" for name in INVARIANTS),
            *_axes(),
            *(f"fault {kind}" for kind in FAULT_KINDS),
        ]
    )
)
"""Each item once, by group."""


def group_of(item: Item) -> str:
    return item.partition(" ")[0]


@cache
def _axis_item(axis: str, value: str) -> Item:
    return f"axis {axis}={value}"


def axis_items(axes: Mapping[str, str]) -> set[Item]:
    """``axes``: as in the Setup record of a trace."""
    return {_axis_item(axis, value) for axis, value in axes.items()}


def verdict_items(verdicts: Mapping[str, str]) -> set[Item]:
    """The invariants that a run exercises and violates. ``verdicts``: invariant to verdict."""
    return {f"exercised {name}" for name, verdict in verdicts.items() if verdict != NOT_EXERCISED} | {
        f"violated {name}" for name, verdict in verdicts.items() if verdict == VIOLATED
    }
