"""From perf's ``branch_sample_type`` to LBR_SELECT and to the software filter (``intel_pmu_setup_lbr_filter``).

The maps are ``nhm_lbr_sel_map``, ``snb_lbr_sel_map`` and ``hsw_lbr_sel_map``; the extra jumps of nhm are errata
work-arounds which the software filter removes again.
"""

from __future__ import annotations

import msgspec

from contract.errors import RefusedError
from contract.x86 import BRANCH_KINDS, PRIVILEGES, SELECT_CALL_STACK, LbrModel

_SUPPRESS = 0x1FF
_ALL = tuple(BRANCH_KINDS)
_SNB = {
    "any": _ALL,
    "any_call": ("call", "ind_call", "far"),
    "any_return": ("return", "far"),
    "ind_call": ("ind_call",),
    "cond": ("jcc",),
    "ind_jump": ("ind_jmp",),
    "call": ("call",),
}
_NHM = _SNB | {
    "any_call": ("call", "ind_call", "jmp", "ind_jmp", "far"),
    "any_return": ("return", "jmp", "ind_jmp", "far"),
    "ind_call": ("ind_call", "ind_jmp"),
    "call": (),
}
_CALL_STACK = ("call", "ind_call", "return")
_HSW = _SNB | {"call_stack": _CALL_STACK}
_MAPS: dict[str, dict[str, tuple[str, ...]]] = {"nhm": _NHM, "snb": _SNB, "hsw": _HSW}

BRANCH_FILTERS: tuple[str, ...] = tuple(_HSW)


class BranchFilter(msgspec.Struct, frozen=True):
    """``select`` is the LBR_SELECT value, None on a part that filters nothing; the rest is the software filter.
    IA32_LBR_CTL, whose bits select branches, gets the inverse."""

    select: int | None
    kinds: frozenset[str]
    privileges: frozenset[str]

    @property
    def call_stack(self) -> bool:
        return self.select is not None and bool(self.select & SELECT_CALL_STACK)

    @property
    def user_call_stack(self) -> bool:
        """``branch_user_callstack``: the filter whose users have their ring saved and restored."""
        return self.call_stack and "user" in self.privileges

    @property
    def everything(self) -> bool:
        """Every type and both levels: the software filter is skipped, so that empty entries stay in the sample."""
        return len(self.kinds) == len(BRANCH_KINDS) and len(self.privileges) == len(PRIVILEGES)

    def wants(self, kind: str, privilege: str) -> bool:
        return kind in self.kinds and privilege in self.privileges


def branch_filter(model: LbrModel, names: list[str], privileges: list[str]) -> BranchFilter:
    """The filter for these requests. Raises RefusedError with the kernel's errno."""
    if not model.has_lbr:
        raise RefusedError("this machine has no LBR", "EOPNOTSUPP")
    if unknown := [n for n in names if n not in BRANCH_FILTERS]:
        raise RefusedError(f"unknown branch filter {unknown[0]!r}")
    if not privileges or any(p not in PRIVILEGES for p in privileges):
        raise RefusedError("a branch filter needs a privilege level, user or kernel")
    if "call_stack" in names:
        if not model.call_stack:
            raise RefusedError("this LBR has no call-stack mode", "EOPNOTSUPP")
        if len(names) > 1:
            raise RefusedError("call_stack cannot be combined with another branch type")
    kinds = frozenset(kind for name in names for kind in _HSW[name])
    select = None
    if model.filters:
        table = _MAPS[model.select_map]
        capture = 0
        for name in names:
            for kind in table[name]:
                capture |= BRANCH_KINDS[kind]
        for privilege in privileges:
            capture |= PRIVILEGES[privilege]
        select = capture ^ _SUPPRESS
        if "call_stack" in names:
            select |= SELECT_CALL_STACK
    return BranchFilter(select, kinds, frozenset(privileges))
