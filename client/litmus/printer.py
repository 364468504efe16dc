"""From Scenario to text, in one fixed form: ``parse(format_scenario(s)) == s`` for every valid ``s``."""

from __future__ import annotations

from collections.abc import Iterable

from client.litmus.ast import CPUID, And, Block, Final, For, If, LitmusStep, Or, Repeat, Scenario, While
from client.litmus.text import (
    bracketed_text,
    expect_text,
    expr_text,
    setting_text,
    under_text,
)
from client.litmus.validate import validate
from contract.control import MachineSpec, VmSpec

WIDTH = 100


Row = tuple[str, LitmusStep | None]
"""A line of text, and the statement that begins on it."""


def format_scenario(scenario: Scenario) -> str:
    """The text of a valid scenario. Raises InputError for any other scenario, because its text would not parse to the
    same value."""
    validate(scenario)
    return "\n".join(text for text, _ in _rows(scenario)) + "\n"


def number(scenario: Scenario) -> None:
    """Give each step of a valid scenario its line in that text."""
    for line, (_, step) in enumerate(_rows(scenario), 1):
        if step is not None:
            step.printed = line


def _rows(scenario: Scenario) -> list[Row]:
    head = [f"LBR {scenario.name}"]
    if scenario.purpose:
        escaped = scenario.purpose.replace("\\", "\\\\").replace('"', '\\"')
        head.append(f'"{escaped}"')
    declarations = [_machine(scenario.machine)]
    if scenario.tasks:
        declarations.append(f"task {', '.join(scenario.tasks)};")
    declarations += [_other_machine(host.name, host.machine, scenario.machine) for host in scenario.hosts]
    declarations += [f"kvm {kvm.name}{f' on {kvm.host}' if kvm.host else ''};" for kvm in scenario.kvms]
    declarations += [f"let {name} = {value};" for name, value in scenario.lets.items()]
    declarations += [_vm(vm, scenario.homes.get(vm.name, "")) for vm in scenario.vms]
    declarations += [f"fault {rule};" for rule in scenario.faults]
    rows: list[Row] = [(line, None) for line in [*head, "", *declarations]]
    for block in scenario.blocks:
        rows += [("", None), *_block(block)]
    if scenario.expects:
        rows += [("", None), *((f"{expect_text(expect)};", None) for expect in scenario.expects)]
    if scenario.final is not None:
        rows += [("", None), *((line, None) for line in _final(scenario.final))]
    return rows


def _machine(spec: MachineSpec) -> str:
    usual = MachineSpec()
    settings = [f"cpus = {spec.cpus}", f"lbr = {spec.lbr}"]
    settings += [
        f"{key} = {setting_text(getattr(spec, key))}"
        for key in ("depth", "counters", "fixed", "kernel", "bus_lock", "rtm", "mediated")
        if getattr(spec, key) != getattr(usual, key)
    ]
    return f"machine {{ {'; '.join(settings)}; }}"


def _other_machine(name: str, spec: MachineSpec, first: MachineSpec) -> str:
    """Another machine. Settings that equal those of the first machine are left out."""
    settings = [f"cpus = {spec.cpus}"]
    settings += [
        f"{key} = {setting_text(getattr(spec, key))}"
        for key in ("counters", "fixed", "kernel", "bus_lock", "rtm", "mediated")
        if getattr(spec, key) != getattr(first, key)
    ]
    return f"machine {name} {{ {'; '.join(settings)}; }}"


def _vm(spec: VmSpec, home: str) -> str:
    usual = VmSpec(spec.name)
    settings = [f"vcpus = {spec.vcpus}", f"lbr = {setting_text(spec.lbr)}"]
    settings += [
        f"{key} = {setting_text(getattr(spec, key))}"
        for key in (*CPUID, "bus_lock", "rtm", "apic")
        if getattr(spec, key) != getattr(usual, key)
    ]
    if home:
        settings.append(f"kvm = {home}")
    return f"vm {spec.name} {{ {'; '.join(settings)}; }}"


def _block(block: Block) -> list[Row]:
    mixed = len(block.actors) > 1
    return [(f"{', '.join(block.actors)} {{", None), *_steps(block.steps, mixed, "    "), ("}", None)]


def _steps(steps: Iterable[LitmusStep], mixed: bool, indent: str) -> list[Row]:
    rows: list[Row] = []
    for step in steps:
        start = f"{indent}{step.actor}: " if mixed else indent
        match step.stmt:
            case If():
                rows += _if(step, step.stmt, mixed, start, indent)
            case Repeat(body=body) | For(body=body) | While(body=body):
                rows.append((f"{start}{step.stmt.head()} {{", step))
                rows += [*_steps(body, mixed, indent + "    "), (f"{indent}}}", None)]
            case _:
                rows.append((f"{start}{step.stmt.text()};", step))
    return rows


def _if(step: LitmusStep, stmt: If, mixed: bool, start: str, indent: str) -> list[Row]:
    """An else that holds only another if is printed as ``else if``, unless the block has several actors."""
    rows: list[Row] = [(f"{start}{stmt.head()} {{", step), *_steps(stmt.then, mixed, indent + "    ")]
    match stmt.orelse:
        case ():
            return [*rows, (f"{indent}}}", None)]
        case (LitmusStep(stmt=If() as chained) as other,) if not mixed:
            return [*rows, *_if(other, chained, mixed, f"{indent}}} else ", indent)]
        case _:
            otherwise = _steps(stmt.orelse, mixed, indent + "    ")
            return [*rows, (f"{indent}}} else {{", None), *otherwise, (f"{indent}}}", None)]


def _final(final: Final) -> list[str]:
    """On one line if it fits, else the outermost operands below each other."""
    head = f"{final.quantifier} ("
    end = f"){under_text(final.under)}"
    line = f"{head}{expr_text(final.expr)}{end}"
    if len(line) < WIDTH or not isinstance(final.expr, And | Or):
        return [line]
    sign = "/\\" if isinstance(final.expr, And) else "\\/"
    first, *others = map(bracketed_text, final.expr.args)
    lines = [head + first, *(f"{' ' * len(head)}{sign} {other}" for other in others)]
    return [*lines[:-1], lines[-1] + end]
