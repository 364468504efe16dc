"""Checks of the faults of a scenario: they name its KVMs and vCPUs, and have a text."""

from __future__ import annotations

from client.litmus import ast as a
from client.litmus.checking import Fail
from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import RULES_LIMIT, parse_fault
from client.litmus.spelling import unknown
from contract.errors import InputError
from contract.messages import HOST


def check_faults(scenario: a.Scenario, fail: Fail) -> None:
    if len(scenario.faults) > RULES_LIMIT:
        fail(f"more than {RULES_LIMIT} faults", "fault", RULES_LIMIT)
    for nth, rule in enumerate(scenario.faults):
        if why := _flaw(rule):
            fail(why, "fault", nth)
        if flaw := misfit(scenario, rule):
            fail(flaw[0], "fault", nth, flaw[1])


def misfit(scenario: a.Scenario, rule: FaultRule) -> tuple[str, str] | None:
    """Why a rule does not fit a scenario, and the part of the rule that the scenario has no object for."""
    kvms, vcpus = list(scenario.placement()), scenario.vcpus()
    if rule.session and rule.session not in kvms:
        return unknown("kvm", rule.session, kvms), "session"
    if rule.vcpu and rule.vcpu not in vcpus:
        return unknown("vCPU", rule.vcpu, vcpus), "vcpu"
    struck = FAULT_KINDS[rule.kind].strikes
    if struck == "thread" and rule.target:
        kind, name = rule.target.split()
        known = vcpus if kind == "thread" else [vm.name for vm in scenario.vms]
        return None if name in known else (unknown("vCPU" if kind == "thread" else "vm", name, known), "target")
    hosts = [f"perfcore{n or ''}" for n in range(len(scenario.hosts) + 1)]
    known = [*kvms, *hosts] if struck == "service" else kvms
    for name in rule.target.split(">"):
        if name and name not in known and not (">" in rule.target and name == HOST):
            return unknown("service" if struck == "service" else "kvm", name, known), "target"
    return None


def _flaw(rule: FaultRule) -> str:
    """Why a rule that was built in Python is none that a text can give; "" if it is one."""
    try:
        same = parse_fault(str(rule), "") == rule
    except InputError as error:
        return f"not a rule: {error.message}"
    return "" if same else f"not the rule that its text {str(rule)!r} gives"
