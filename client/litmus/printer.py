"""Scenario to text, in one fixed form: ``parse(format_scenario(s)) == s`` for every valid ``s``."""

from __future__ import annotations

from collections.abc import Iterable

from client.litmus.ast import And, Block, Final, For, If, Or, Repeat, Scenario, Step, While
from client.litmus.text import bracketed_text, expr_text, head_text, statement_text
from client.litmus.validate import validate
from contract.control import MachineSpec, VmSpec

WIDTH = 100


def format_scenario(scenario: Scenario) -> str:
    """The text of a valid scenario. InputError for any other, whose text would not read back."""
    validate(scenario)
    head = f"LBR {scenario.name}\n"
    if scenario.purpose:
        escaped = scenario.purpose.replace("\\", "\\\\").replace('"', '\\"')
        head += f'"{escaped}"\n'
    declarations = [_machine(scenario.machine)]
    if scenario.tasks:
        declarations.append(f"task {', '.join(scenario.tasks)};\n")
    declarations += [_other_machine(host.name, host.machine, scenario.machine) for host in scenario.hosts]
    declarations += [f"kvm {kvm.name}{f' on {kvm.host}' if kvm.host else ''};\n" for kvm in scenario.kvms]
    declarations += [f"let {name} = {value};\n" for name, value in scenario.lets.items()]
    declarations += [_vm(vm, scenario.homes.get(vm.name, "")) for vm in scenario.vms]
    parts = [head, "".join(declarations), *map(_block, scenario.blocks)]
    if scenario.final is not None:
        parts.append(_final(scenario.final))
    return "\n".join(parts)


def _machine(spec: MachineSpec) -> str:
    usual = MachineSpec()
    settings = [f"cpus = {spec.cpus}", f"lbr = {spec.lbr}"]
    settings += [
        f"{key} = {_setting(getattr(spec, key))}"
        for key in ("depth", "counters", "fixed", "kernel", "bus_lock", "rtm", "mediated")
        if getattr(spec, key) != getattr(usual, key)
    ]
    return f"machine {{ {'; '.join(settings)}; }}\n"


def _other_machine(name: str, spec: MachineSpec, first: MachineSpec) -> str:
    """What is not said of another machine is as in the first."""
    settings = [f"cpus = {spec.cpus}"]
    settings += [
        f"{key} = {_setting(getattr(spec, key))}"
        for key in ("counters", "fixed", "kernel", "bus_lock", "rtm", "mediated")
        if getattr(spec, key) != getattr(first, key)
    ]
    return f"machine {name} {{ {'; '.join(settings)}; }}\n"


def _setting(value: int | str) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _vm(spec: VmSpec, home: str) -> str:
    usual = VmSpec(spec.name)
    settings = [f"vcpus = {spec.vcpus}", f"lbr = {_setting(spec.lbr)}"]
    settings += [
        f"{key} = {_setting(getattr(spec, key))}"
        for key in ("pmu", "pdcm", "model", "bus_lock", "rtm")
        if getattr(spec, key) != getattr(usual, key)
    ]
    if home:
        settings.append(f"kvm = {home}")
    return f"vm {spec.name} {{ {'; '.join(settings)}; }}\n"


def _block(block: Block) -> str:
    mixed = len(block.actors) > 1
    return "\n".join([f"{', '.join(block.actors)} {{", *_steps(block.steps, mixed, "    "), "}", ""])


def _steps(steps: Iterable[Step], mixed: bool, indent: str) -> list[str]:
    lines: list[str] = []
    for step in steps:
        start = f"{indent}{step.actor}: " if mixed else indent
        match step.stmt:
            case If():
                lines += _if(step.stmt, mixed, start, indent)
            case Repeat(body=body) | For(body=body) | While(body=body):
                lines += [f"{start}{head_text(step.stmt)} {{", *_steps(body, mixed, indent + "    "), f"{indent}}}"]
            case _:
                lines.append(f"{start}{statement_text(step.stmt)};")
    return lines


def _if(stmt: If, mixed: bool, start: str, indent: str) -> list[str]:
    """An else of nothing but another if goes on in the same line, unless somebody else says it."""
    lines = [f"{start}{head_text(stmt)} {{", *_steps(stmt.then, mixed, indent + "    ")]
    match stmt.orelse:
        case ():
            return [*lines, f"{indent}}}"]
        case (Step(stmt=If() as chained),) if not mixed:
            return [*lines, *_if(chained, mixed, f"{indent}}} else ", indent)]
        case _:
            return [*lines, f"{indent}}} else {{", *_steps(stmt.orelse, mixed, indent + "    "), f"{indent}}}"]


def _final(final: Final) -> str:
    """On one line if it fits, else the outermost operands below each other."""
    head = f"{final.quantifier} ("
    end = f") under {', '.join(final.under)}\n" if final.under else ")\n"
    line = f"{head}{expr_text(final.expr)}{end}"
    if len(line) <= WIDTH or not isinstance(final.expr, And | Or):
        return line
    sign = "/\\" if isinstance(final.expr, And) else "\\/"
    return head + f"\n{' ' * len(head)}{sign} ".join(map(bracketed_text, final.expr.args)) + end
