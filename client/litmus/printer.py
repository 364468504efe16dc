"""Scenario to text, in one fixed form: ``parse(format_scenario(s)) == s`` for every valid ``s``."""

from __future__ import annotations

from client.litmus.ast import And, Block, Final, Or, Scenario
from client.litmus.text import expr_text, operand_text, statement_text
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
    lines = [f"{', '.join(block.actors)} {{"]
    for step in block.steps:
        prefix = f"{step.actor}: " if mixed else ""
        lines.append(f"    {prefix}{statement_text(step.stmt)};")
    return "\n".join([*lines, "}", ""])


def _final(final: Final) -> str:
    """On one line if it fits, else the outermost operands below each other."""
    head = f"{final.quantifier} ("
    line = f"{head}{expr_text(final.expr)})\n"
    if len(line) <= WIDTH or not isinstance(final.expr, And | Or):
        return line
    sign = "/\\" if isinstance(final.expr, And) else "\\/"
    return head + f"\n{' ' * len(head)}{sign} ".join(map(operand_text, final.expr.args)) + ")\n"
