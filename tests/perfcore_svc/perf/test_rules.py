"""Where kernel versions differ: each flag makes a difference, and that one alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import fields, replace

from contract.kernels import KERNELS as NAMES
from perfcore_svc.perf.kernel_rules import KERNEL_RULES, ExclusiveRule, KernelRules, RotationRule
from tests.cases import cases
from tests.designs import MERGED, V8
from tests.perfcore_svc.perf.notation import Stage, stage


def exclusive(host: Stage) -> str:
    host.put("a", "CP plain")
    host.put("X", "TP plain", exclusive=True)
    return host.now()


def rotation(host: Stage) -> str:
    host.put("P", "CP any")
    host.put("F", "CF call")
    host.put("D", "CF plain")
    host.tick()
    return host.now()


def pinned_failure(host: Stage) -> str:
    host.run("")
    host.put("a", "TP any")
    host.put("b", "TP call")
    host.put("c", "TP plain")
    host.run("v")
    return host.now()


def refusal(host: Stage) -> str:
    """An exclusive group is refused without being tried."""
    host.put("a", "CF plain")
    host.put("X", "CF plain", exclusive=True)
    host.put("b", "CF plain")
    return host.now()


def quiet_install(host: Stage) -> str:
    """A reschedule lets the waiting event take the freed place."""
    host.put("a", "CF any")
    host.put("b", "CF call")
    host.close("a")
    host.put("off", "CF plain", disabled=True)
    return host.now()


def lbr_data(host: Stage) -> str:
    host.put("P", "CP stk")
    host.run("u")
    host.run("v")
    host.retire(2, "call")
    host.run("u")
    host.run("v")
    return str(sum(map(bool, host.machine.cpus[0].lbr.from_ip)))


def saved_select(host: Stage) -> str:
    """Somebody else changed LBR_SELECT while the guest's thread was off."""
    silicon = host.machine.cpus[0].lbr
    host.guest()
    silicon.select = 5
    host.run("u")
    silicon.select = 6
    host.run("v")
    return str(silicon.select)


def reset_and_select(host: Stage) -> str:
    """A guest's event that has never been on resets the ring."""
    host.machine.cpus[0].lbr.select = 6
    host.guest()
    return str(host.machine.cpus[0].lbr.select)


def removal(host: Stage) -> str:
    """F waits for the LBR, and closes; it was the last of its context."""
    host.put("P", "CP any")
    host.put("F", "TF call")
    host.close("F")
    return f"rotates: {host.perf.kernel.tasks['v'].rotate_necessary}"


def idle_context(host: Stage) -> str:
    """F waits for the LBR when its task goes, and nobody else is in its context."""
    host.put("P", "CP any")
    host.put("F", "TF call")
    host.run("u")
    return f"rotates: {host.perf.kernel.tasks['v'].rotate_necessary}"


CASES: dict[str, tuple[Callable[[Stage], str], dict[object, str]]] = {
    "exclusive": (exclusive, {ExclusiveRule.ANY_EVENT_ON: "A ERR", ExclusiveRule.OWN_LIST: "A A"}),
    "rotation": (rotation, {RotationRule.FIRST_ACTIVE: "A I I", RotationRule.FIRST_ACTIVE_OR_FIRST: "A I A"}),
    "pinned_failure_shuts_door": (pinned_failure, {False: "A ERR A", True: "A ERR ERR"}),
    "refusal_shuts_door": (refusal, {False: "A I A", True: "A I I"}),
    "removal_ends_rotation": (removal, {False: "rotates: True", True: "rotates: False"}),
    "idle_context_keeps_rotation": (idle_context, {False: "rotates: False", True: "rotates: True"}),
    "quiet_install": (quiet_install, {False: "A OFF", True: "I OFF"}),
    "lbr_data_on_task": (lbr_data, {False: "0", True: "2"}),
    "select_flag_kept": (saved_select, {False: "6", True: "5"}),
    "reset_clears_select": (reset_and_select, {False: "6", True: "0"}),
}
DESIGN = {"select_flag_kept": MERGED}
"""Of those that need another one than v8."""


@cases("kernel", KERNEL_RULES)
@cases("flag", CASES)
def test_each_flag_makes_a_difference(kernel: str, flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    act, outcomes = CASES[flag]
    for value, outcome in outcomes.items():
        changed: dict[str, Any] = {flag: value}
        monkeypatch.setitem(KERNEL_RULES, kernel, replace(KERNEL_RULES[kernel], **changed))
        assert act(stage(kernel, design=DESIGN.get(flag, V8))) == outcome


def test_every_flag_is_here() -> None:
    assert {field.name for field in fields(KernelRules)} == CASES.keys() | {"name"}


def test_versions() -> None:
    assert list(KERNEL_RULES) == list(NAMES)
    told = {kernel: {flag: getattr(rules, flag) for flag in CASES} for kernel, rules in KERNEL_RULES.items()}
    old, new = ExclusiveRule.ANY_EVENT_ON, ExclusiveRule.OWN_LIST
    first, fixed = RotationRule.FIRST_ACTIVE, RotationRule.FIRST_ACTIVE_OR_FIRST
    assert {k: list(v.values()) for k, v in told.items()} == {
        "v5.3": [old, first, False, False, False, True, False, False, False, False],
        "v5.12": [new, fixed, True, True, True, True, True, False, False, False],
        "v6.16": [new, fixed, True, True, True, False, True, True, True, True],
        "v7.1": [new, fixed, True, True, True, False, True, True, True, True],
    }
