"""The differences between kernel versions, as data."""

from __future__ import annotations

from enum import Enum, auto

import msgspec
from msgspec.structs import replace


class ExclusiveRule(Enum):
    """The condition that keeps an exclusive group off (facts/perf 1.7)."""

    ANY_EVENT_ON = auto()
    """Up to v5.10: any event of the PMU that is on, of any class and context."""
    OWN_LIST = auto()
    """Since v5.11 (1908dc911792): an event of the same class and context that is on."""


class RotationRule(Enum):
    """The group that a tick moves to the tail (facts/perf 1.12)."""

    FIRST_ACTIVE = auto()
    """v5.3: the first that is on; none if none is on, and those that wait starve."""
    FIRST_ACTIVE_OR_FIRST = auto()
    """Since v5.5 (7fa343b7fdc4): the first that is on, else the first of the list."""


class KernelRules(msgspec.Struct, frozen=True):
    """The rules of one kernel."""

    name: str
    exclusive: ExclusiveRule
    rotation: RotationRule
    pinned_failure_shuts_door: bool
    """Since v5.7: a pinned group that does not fit keeps off every later pinned group of that walk (facts/perf 1.6)."""
    refusal_shuts_door: bool
    """Since v5.7: a flexible group that was refused without a try does the same. Before, it had no effect (facts/perf
    1.6)."""
    removal_ends_rotation: bool
    """Since v5.7 (90c91dfb86d0): a context that loses its last event is no longer marked for rotation (facts/perf
    1.12)."""
    idle_context_keeps_rotation: bool
    """Up to v6.1: flexible events that are scheduled out leave the mark of their context if none of its events is on
    (``ctx_sched_out`` returns at once if ``nr_active`` is 0; facts/perf 1.12)."""
    quiet_install: bool
    """Since v5.5: installing an event that is OFF into a context with events causes no reschedule (facts/perf 1.9)."""
    lbr_data_on_task: bool
    """Since v6.15: saved LBR stacks belong to tasks, and are saved for CPU-wide call-stack events, too (facts/perf
    3.4)."""
    select_flag_kept: bool
    """Since v5.16: the flag that saves LBR_SELECT reaches an event that has it from its constraint (facts/perf 3.7)."""
    reset_clears_select: bool
    """Since v5.16: a reset while a guest's event is on clears LBR_SELECT (facts/perf 3.2)."""


KERNEL_RULES: dict[str, KernelRules] = {
    k.name: k
    for k in (
        KernelRules(
            "v5.3",
            ExclusiveRule.ANY_EVENT_ON,
            RotationRule.FIRST_ACTIVE,
            pinned_failure_shuts_door=False,
            refusal_shuts_door=False,
            removal_ends_rotation=False,
            idle_context_keeps_rotation=True,
            quiet_install=False,
            lbr_data_on_task=False,
            select_flag_kept=False,
            reset_clears_select=False,
        ),
        KernelRules(
            "v5.12",
            ExclusiveRule.OWN_LIST,
            RotationRule.FIRST_ACTIVE_OR_FIRST,
            pinned_failure_shuts_door=True,
            refusal_shuts_door=True,
            removal_ends_rotation=True,
            idle_context_keeps_rotation=True,
            quiet_install=True,
            lbr_data_on_task=False,
            select_flag_kept=False,
            reset_clears_select=False,
        ),
        KernelRules(
            "v6.16",
            ExclusiveRule.OWN_LIST,
            RotationRule.FIRST_ACTIVE_OR_FIRST,
            pinned_failure_shuts_door=True,
            refusal_shuts_door=True,
            removal_ends_rotation=True,
            idle_context_keeps_rotation=False,
            quiet_install=True,
            lbr_data_on_task=True,
            select_flag_kept=True,
            reset_clears_select=True,
        ),
    )
}
KERNEL_RULES["v7.1"] = replace(KERNEL_RULES["v6.16"], name="v7.1")
"""Nothing of host perf that the model has differs from v6.16."""
