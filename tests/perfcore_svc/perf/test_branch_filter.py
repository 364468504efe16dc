"""From branch filter names to LBR_SELECT and to what the software filter lets through."""

from __future__ import annotations

import pytest

from contract.errors import RefusedError
from contract.x86 import lbr_model
from perfcore_svc.perf.branch_filter import branch_filter
from tests.cases import cases

HSW = {
    "any": (0x001, 0x002, 0x000),
    "any_call": (0x0E5, 0x0E6, 0x0E4),
    "any_return": (0x0DD, 0x0DE, 0x0DC),
    "ind_call": (0x1ED, 0x1EE, 0x1EC),
    "cond": (0x1F9, 0x1FA, 0x1F8),
    "ind_jump": (0x1BD, 0x1BE, 0x1BC),
    "call": (0x1F5, 0x1F6, 0x1F4),
}
NHM = HSW | {
    "any_call": (0x025, 0x026, 0x024),
    "any_return": (0x01D, 0x01E, 0x01C),
    "ind_call": (0x1AD, 0x1AE, 0x1AC),
    "call": (0x1FD, 0x1FE, 0x1FC),
}
CALL_STACK = {"call_stack": (0x3C5, 0x3C6, 0x3C4)}
TABLES = {"nehalem": NHM, "sandybridge": HSW, "haswell": HSW | CALL_STACK, "skylake": HSW | CALL_STACK}
LEVELS = (["user"], ["kernel"], ["user", "kernel"])
CASES = [
    (lbr, name, level, value)
    for lbr, table in TABLES.items()
    for name, values in table.items()
    for level, value in zip(LEVELS, values, strict=True)
]

SOFTWARE = {
    "any": {"jcc", "call", "ind_call", "return", "ind_jmp", "jmp", "far"},
    "any_call": {"call", "ind_call", "far"},
    "any_return": {"return", "far"},
    "ind_call": {"ind_call"},
    "cond": {"jcc"},
    "ind_jump": {"ind_jmp"},
    "call": {"call"},
    "call_stack": {"call", "ind_call", "return"},
}


@cases(("lbr", "name", "level", "value"), CASES)
def test_lbr_select_values(lbr: str, name: str, level: list[str], value: int) -> None:
    assert branch_filter(lbr_model(lbr), [name], level).select == value


@cases("name", [n for n in SOFTWARE if n != "call_stack"])
def test_core2_filters_in_software_alone(name: str) -> None:
    wanted = branch_filter(lbr_model("core2"), [name], ["user"])
    assert wanted.select is None
    assert not wanted.call_stack


@cases(("lbr", "name"), [("skylake", n) for n in SOFTWARE] + [("nehalem", n) for n in NHM])
def test_the_software_filter_is_what_was_asked_for_on_every_part(lbr: str, name: str) -> None:
    wanted = branch_filter(lbr_model(lbr), [name], ["user"])
    assert {k for k in SOFTWARE["any"] if wanted.wants(k, "user")} == SOFTWARE[name]
    assert not any(wanted.wants(k, "kernel") for k in SOFTWARE["any"])


def test_several_names_capture_the_union() -> None:
    wanted = branch_filter(lbr_model("skylake"), ["cond", "any_return"], ["user", "kernel"])
    assert wanted.select == 0x1F8 & 0x0DC
    assert wanted.kinds == SOFTWARE["cond"] | SOFTWARE["any_return"]


@cases("level", LEVELS)
def test_only_call_stack_with_user_makes_perf_save(level: list[str]) -> None:
    model = lbr_model("skylake")
    assert branch_filter(model, ["call_stack"], level).user_call_stack == ("user" in level)
    assert not branch_filter(model, ["any"], level).user_call_stack


@cases(
    ("lbr", "names", "level", "errno"),
    [
        ("nehalem", ["call_stack"], ["user"], "EOPNOTSUPP"),
        ("sandybridge", ["call_stack"], ["user"], "EOPNOTSUPP"),
        ("core2", ["call_stack"], ["user"], "EOPNOTSUPP"),
        ("core2", ["call_stack", "any"], ["user"], "EOPNOTSUPP"),
        ("skylake", ["call_stack", "any"], ["user"], "EINVAL"),
        ("haswell", ["cond", "call_stack"], ["user"], "EINVAL"),
        ("skylake", ["any", "bogus"], ["user"], "EINVAL"),
        ("skylake", ["any"], [], "EINVAL"),
        ("skylake", ["any"], ["user", "hypervisor"], "EINVAL"),
    ],
)
def test_errors(lbr: str, names: list[str], level: list[str], errno: str) -> None:
    with pytest.raises(RefusedError) as refused:
        branch_filter(lbr_model(lbr), names, level)
    assert refused.value.errno == errno
