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
        if rule.session and rule.session not in scenario.placement():
            fail(unknown("kvm", rule.session, scenario.placement()), "fault", nth, "session")
        services = [*scenario.placement(), *(f"perfcore{n or ''}" for n in range(len(scenario.hosts) + 1))]
        if FAULT_KINDS[rule.kind].of == "thread" and rule.target:
            what, name = rule.target.split()
            known = scenario.vcpus() if what == "thread" else [vm.name for vm in scenario.vms]
            if name not in known:
                fail(unknown("vCPU" if what == "thread" else "vm", name, known), "fault", nth, "target")
            continue
        named = [name for name in rule.target.split(">") if name and not (">" in rule.target and name == HOST)]
        for name in named:
            known = services if FAULT_KINDS[rule.kind].of == "service" else list(scenario.placement())
            if name not in known:
                fail(unknown("service", name, known), "fault", nth, "target")
        if rule.vcpu and rule.vcpu not in scenario.vcpus():
            fail(unknown("vCPU", rule.vcpu, scenario.vcpus()), "fault", nth, "vcpu")


def _flaw(rule: FaultRule) -> str:
    """Why a rule that was built in Python is none that a text can give; "" if it is one."""
    try:
        same = parse_fault(str(rule), "") == rule
    except InputError as error:
        return f"not a rule: {error.message}"
    return "" if same else f"not the rule that its text {str(rule)!r} gives"
