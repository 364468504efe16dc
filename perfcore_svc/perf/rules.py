"""Where kernel versions differ, as data. Section numbers are of the perf core facts this model follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto


class ExclusiveRule(Enum):
    """What keeps an exclusive group off (1.7)."""

    ANY_EVENT_ON = auto()
    """Up to v5.10: any event of the PMU that is on, of whatever class and context."""
    OWN_LIST = auto()
    """Since v5.11 (1908dc911792): an event of the same class and context that is on."""


class RotationRule(Enum):
    """Which group a tick moves to the tail (1.12)."""

    FIRST_ACTIVE = auto()
    """v5.3: the first that is on; nobody if none is, and those that wait starve."""
    FIRST_ACTIVE_OR_FIRST = auto()
    """Since v5.5 (7fa343b7fdc4): the first that is on, else the first of the list."""


@dataclass(frozen=True, slots=True)
class KernelRules:
    """``pinned_failure_shuts_door`` (1.6, since v5.7): a pinned group that does not fit keeps every later pinned group
    of that walk off too. ``refusal_shuts_door`` (1.6, since v5.7): so does a flexible group that was not even tried;
    before, such a group left no mark. ``quiet_install`` (1.9, since v5.5): installing what is off into a context that
    has events reschedules nobody. ``lbr_data_on_task`` (3.8, since v6.15): saved LBR stacks belong to tasks, and
    CPU-wide call-stack events have them saved too. ``select_flag_kept`` (4.1, since v5.16): the flag by which
    LBR_SELECT is saved reaches an event that has it from its constraint. ``reset_clears_select`` (3.6, since v5.16): a
    reset while a guest's event is on clears LBR_SELECT."""

    name: str
    exclusive: ExclusiveRule
    rotation: RotationRule
    pinned_failure_shuts_door: bool
    refusal_shuts_door: bool
    quiet_install: bool
    lbr_data_on_task: bool
    select_flag_kept: bool
    reset_clears_select: bool


KERNELS: dict[str, KernelRules] = {
    k.name: k
    for k in (
        KernelRules(
            "v5.3",
            ExclusiveRule.ANY_EVENT_ON,
            RotationRule.FIRST_ACTIVE,
            pinned_failure_shuts_door=False,
            refusal_shuts_door=False,
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
            quiet_install=True,
            lbr_data_on_task=True,
            select_flag_kept=True,
            reset_clears_select=True,
        ),
    )
}
KERNELS["v7.1"] = replace(KERNELS["v6.16"], name="v7.1")
"""Nothing of host perf that the model has differs from v6.16."""
