"""The rules of the contract by id: the designs that keep each, and ways to take a rule away from a design.

Their text is in ``protos/lbrlab/v1/contract.proto``. R1 to R8 hold in every design, except that a design keeps either
R4 or R9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contract.design import (
    Admission,
    Denial,
    Design,
    EntryCheck,
    Event,
    HostDebugctl,
    LosingAdd,
    Notifier,
    OtherThreads,
    Precedence,
    Recovery,
    Save,
    SaveSelect,
    StreamDelivery,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """``kept``: whether a design keeps it. ``without``: axis values that each take the rule away."""

    id: str
    kept: Callable[[Design], bool]
    without: tuple[tuple[str, str], ...] = ()


def _always(design: Design) -> bool:
    return True


def _arbitrated(design: Design) -> bool:
    return design.admission is Admission.PRIVATE_SLOT and design.precedence is Precedence.PERF_ORDER


def _whole(design: Design) -> bool:
    apart = design.save not in (Save.NONE, Save.PERF_SWITCH)
    return design.whole_ring and apart and design.save_select is SaveSelect.YES


def _acknowledged(design: Design) -> bool:
    return design.notifier is Notifier.ACKNOWLEDGED


RULES: tuple[Rule, ...] = (
    Rule("R1", _always),
    Rule("R2", _always),
    Rule("R3", _always),
    Rule("R4", lambda d: d.delivery is StreamDelivery.AS_IT_COMES),
    Rule("R5", _always),
    Rule("R6", lambda d: d.grants),
    Rule("R7", _always),
    Rule("R8", lambda d: d.event is not Event.NONE),
    Rule("R9", lambda d: d.delivery is StreamDelivery.REPAIRED, (("delivery", "as-it-comes"),)),
    Rule("R10", _arbitrated, (("admission", "pseudo-counter"), ("precedence", "first-come"))),
    Rule("R11", lambda d: d.losing_add is LosingAdd.UNDONE, (("losing-add", "leaves-filter"),)),
    Rule("R12", lambda d: d.entry_check is EntryCheck.FENCE, (("entry-check", "none"), ("entry-check", "event-state"))),
    Rule("R13", _whole, (("whole-ring", "no"), ("save-select", "no"), ("save", "none"), ("save", "perf-switch"))),
    Rule("R14", lambda d: d.notifier is not Notifier.NONE, (("notifier", "none"),)),
    Rule("R15", lambda d: d.denial is Denial.GP, (("denial", "silent"),)),
    Rule(
        "R16",
        lambda d: d.recovery is Recovery.ASKS_AGAIN,
        (("recovery", "sticky-error"), ("recovery", "enable-on-access")),
    ),
    Rule("R17", lambda d: d.host_debugctl is HostDebugctl.AT_ENTRY, (("host-debugctl", "at-vcpu-load"),)),
    Rule("R18", _acknowledged),
    Rule("R19", _acknowledged),
    Rule("R20", lambda d: d.other_threads is OtherThreads.REJECTED, (("other-threads", "served"),)),
    Rule("R21", _always),
    Rule("R22", _always),
    Rule("R23", _always),
    Rule("R24", _always),
    Rule("R25", _always),
    Rule("R26", _always),
)
