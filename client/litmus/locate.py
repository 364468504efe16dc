"""The place of a part of a scenario, in words."""

from __future__ import annotations

from client.litmus.places import Path
from client.litmus.scenario import Scenario
from client.litmus.spelling import quote
from client.litmus.statements.program import LitmusStep, bodies
from client.litmus.text import expect_text


def _innermost(step: LitmusStep, path: Path) -> LitmusStep:
    while len(path) > 1 and path[0] in (inside := bodies(step.stmt)):
        step, path = inside[str(path[0])][int(path[1])], path[2:]
    return step


def describe(scenario: Scenario, path: Path) -> str:
    """``path`` in words, for a scenario that was built in Python."""
    match path:
        case ("block", int(b), "step", int(s), *_):
            block = scenario.blocks[b]
            step = _innermost(block.steps[s], path[4:])
            text = step.stmt.text()
            where = f"block {quote(block.name)}, {step.actor}, statement {s + 1} ({text})"
        case ("block", int(b), *_):
            where = f"block {quote(scenario.blocks[b].name)}"
        case ("vm", int(i), *_):
            where = f"vm {quote(scenario.vms[i].name)}"
        case ("host", int(i), *_):
            where = f"machine {quote(scenario.hosts[i].name)}"
        case ("kvm", int(i), *_):
            where = f"kvm {quote(scenario.kvms[i].name)}"
        case ("let", str(name), *_):
            where = f"let {quote(name)}"
        case ("expect", int(i), *_):
            where = expect_text(scenario.expects[i])
        case ("fault", int(i), *_):
            where = f"fault {quote(str(scenario.faults[i]))}"
        case ("task", int(i), *_):
            where = f"task {quote(scenario.tasks[i])}"
        case _:
            where = str(path[0])
    return f"{scenario.name}: {where}" if scenario.name else where
