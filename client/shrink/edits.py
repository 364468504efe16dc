"""Smaller versions of a scenario: each takes one thing away, together with everything that is not valid without it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence, Sized
from typing import Any

import msgspec
from msgspec.structs import replace

from client.litmus import ast as a
from client.litmus.expression import DEPTH
from client.litmus.places import Path
from client.litmus.validate import check
from contract.control import MachineSpec, VmSpec
from contract.errors import InputError

Steps = list[a.LitmusStep]
TURNS_LIMIT = 4
"""Turns of a loop that is taken apart."""


def places(scenario: a.Scenario) -> list[Path]:
    """The place of each statement, those between braces too, in the order of the text."""

    def inside(steps: Sequence[a.LitmusStep], before: Path) -> Iterator[Path]:
        for i, step in enumerate(steps):
            yield (*before, i)
            for field, body in a.bodies(step.stmt).items():
                yield from inside(body, (*before, i, field))

    return [place for b, block in enumerate(scenario.blocks) for place in inside(block.steps, (b,))]


def at(scenario: a.Scenario, place: Path) -> a.LitmusStep:
    """The statement at a place."""
    steps: Sequence[a.LitmusStep] = scenario.blocks[int(place[0])].steps
    for i, field in zip(place[1::2], place[2::2], strict=False):
        steps = getattr(steps[int(i)].stmt, str(field))
    return steps[int(place[-1])]


def mapped(scenario: a.Scenario, change: Callable[[a.LitmusStep, Path], Steps]) -> a.Scenario:
    """Replace each statement by a list of statements. ``change`` gets a statement with its body changed
    already."""

    def rebuilt(steps: Sequence[a.LitmusStep], before: Path) -> Steps:
        found: Steps = []
        for i, step in enumerate(steps):
            place = (*before, i)
            inner: dict[str, Any] = {
                field: tuple(rebuilt(body, (*place, field))) for field, body in a.bodies(step.stmt).items()
            }
            found += change(replace(step, stmt=replace(step.stmt, **inner)) if inner else step, place)
        return found

    blocks = [replace(block, steps=rebuilt(block.steps, (b,))) for b, block in enumerate(scenario.blocks)]
    return replace(scenario, blocks=blocks)


def without(scenario: a.Scenario, gone: Container[Path]) -> a.Scenario:
    """The scenario without the statements at these places."""
    return mapped(scenario, lambda step, place: [] if place in gone else [step])


class _Place:
    """The place of the first error of the validator."""

    path: Path = ()

    def note(self, path: Path) -> str:
        self.path = path
        return ""


def repaired(scenario: a.Scenario) -> a.Scenario | None:
    """The scenario without the statements and actors that are not valid in it; None if something else is not valid."""
    while True:
        scenario = _tidy(scenario)
        error = _Place()
        try:
            check(scenario, error.note)
        except InputError:
            match error.path:
                case ("block", int(b), "step", *inside):
                    place = _place(scenario, b, tuple(inside))
                    scenario = without(scenario, {place})
                case ("block", int(b), *actor):
                    scenario = _silent(scenario, scenario.blocks[b].actors[int(actor[1]) if actor else 0])
                case _:
                    return None
        else:
            return scenario


def _place(scenario: a.Scenario, block: int, inside: Path) -> Path:
    """The place of the innermost statement on a path of the validator."""
    place: Path = (block, inside[0])
    rest = inside[1:]
    while len(rest) > 1 and rest[0] in a.bodies(at(scenario, place).stmt):
        place, rest = (*place, *rest[:2]), rest[2:]
    return place


def _tidy(scenario: a.Scenario) -> a.Scenario:
    """Without actors that say nothing."""
    blocks = []
    for block in scenario.blocks:
        speakers = {step.actor for step in _all(block.steps)}
        if actors := [actor for actor in block.actors if actor in speakers]:
            blocks.append(replace(block, actors=actors))
    return replace(scenario, blocks=blocks)


def _all(steps: Sequence[a.LitmusStep]) -> Iterator[a.LitmusStep]:
    for step in steps:
        yield step
        for body in a.bodies(step.stmt).values():
            yield from _all(body)


def _silent(scenario: a.Scenario, actor: str) -> a.Scenario:
    return mapped(scenario, lambda step, _: [] if step.actor == actor else [step])


# Threads, VMs, machines -----------------------------------------------------------------------


def simpler(scenario: a.Scenario) -> Iterator[a.Scenario]:
    """The scenario with one thing less beside its statements: a thread, a loop, a part of the machine, a setting."""
    yield from _threads(scenario)
    yield from _programs(scenario)
    yield from _parts(scenario)
    yield from _hosts(scenario)
    yield from _settings(scenario)


def _threads(scenario: a.Scenario) -> Iterator[a.Scenario]:
    for b in range(len(scenario.blocks)):
        yield replace(scenario, blocks=_less(scenario.blocks, b))
    for actor in [actor for block in scenario.blocks for actor in block.actors]:
        yield _silent(scenario, actor)


def _programs(scenario: a.Scenario) -> Iterator[a.Scenario]:
    """Bodies without their loop or condition, one entry of the LBR or its TOS instead of all, shorter loops and ranges,
    smaller numbers."""
    for place in places(scenario):
        step = at(scenario, place)
        start: Steps = []
        if isinstance(step.stmt, a.For):
            start = [a.LitmusStep(step.actor, a.Assign(step.stmt.counter, step.stmt.first))]
        for body in a.bodies(step.stmt).values():
            yield _put(scenario, place, [*start, *body])
        for turns in _turns(step):
            yield _put(scenario, place, turns)
        if isinstance(step.stmt, a.For):
            last = scenario.machine.depth if step.stmt.end == DEPTH else step.stmt.end
            for first, end in _shorter(step.stmt.first, last):
                yield _put(scenario, place, [replace(step, stmt=replace(step.stmt, first=first, end=end))])
        if isinstance(step.stmt, a.GuestReadLbr):
            for one in (a.MsrRef("LBR_FROM", 0), a.MsrRef("LBR_TOS")):
                yield _put(scenario, place, [replace(step, stmt=a.GuestRdmsr(step.stmt.register, one))])
        if isinstance(step.stmt, a.Repeat | a.GuestBranch | a.HostBranch) and isinstance(step.stmt.count, int):
            for count in _smaller(step.stmt.count):
                yield _put(scenario, place, [replace(step, stmt=replace(step.stmt, count=count))])
    for name, value in scenario.lets.items():
        yield replace(scenario, lets={n: v for n, v in scenario.lets.items() if n != name})
        for smaller in _smaller(value):
            yield replace(scenario, lets={**scenario.lets, name: smaller})


def _turns(loop: a.LitmusStep) -> Iterator[Steps]:
    """The statements of all turns of a short loop, one after the other, without one of them."""
    stmt, turns = loop.stmt, [Steps()]
    if isinstance(stmt, a.Repeat) and isinstance(stmt.count, int) and stmt.count <= TURNS_LIMIT:
        turns = [[*stmt.body] for _ in range(stmt.count)]
    elif isinstance(stmt, a.For) and isinstance(stmt.first, int) and isinstance(stmt.end, int):
        numbers = range(stmt.first, min(stmt.end, stmt.first + TURNS_LIMIT + 1))
        turns = [[a.LitmusStep(loop.actor, a.Assign(stmt.counter, number)), *stmt.body] for number in numbers]
    if 1 < len(turns) <= TURNS_LIMIT:
        whole = [step for turn in turns for step in turn]
        yield from (_less(whole, i) for i, step in enumerate(whole) if not isinstance(step.stmt, a.Assign))


def _put(scenario: a.Scenario, there: Path, steps: Steps) -> a.Scenario:
    return mapped(scenario, lambda step, place: steps if place == there else [step])


def _shorter(first: object, end: object) -> list[tuple[int, int]]:
    """The halves of a range of numbers, and the range without its last and its first number."""
    if not (isinstance(first, int) and isinstance(end, int) and end - first > 1):
        return []
    middle = (first + end) // 2
    return list(dict.fromkeys([(first, middle), (middle, end), (first, end - 1), (first + 1, end)]))


def _smaller(number: int) -> list[int]:
    return sorted({n for n in (1, number // 2, number - 1) if 0 < n < number})


def _parts(scenario: a.Scenario) -> Iterator[a.Scenario]:
    for i, vm in enumerate(scenario.vms):
        homes = {name: home for name, home in scenario.homes.items() if name != vm.name}
        yield replace(scenario, vms=_less(scenario.vms, i), homes=homes)
        if vm.name in scenario.homes:
            yield replace(scenario, homes=homes)
        for gone in reversed(range(vm.vcpus)) if vm.vcpus > 1 else ():
            yield _without_vcpu(scenario, i, gone)
    for i in range(len(scenario.tasks)):
        yield replace(scenario, tasks=_less(scenario.tasks, i))
    for i, kvm in enumerate(scenario.kvms):
        yield replace(_without_kvms(scenario, {kvm.name}), kvms=_less(scenario.kvms, i))


def _without_kvms(scenario: a.Scenario, gone: set[str]) -> a.Scenario:
    return replace(scenario, homes={name: home for name, home in scenario.homes.items() if home not in gone})


def _without_vcpu(scenario: a.Scenario, vm: int, gone: int) -> a.Scenario:
    """Those behind it move up by one number."""
    spec = scenario.vms[vm]
    names: dict[str, str | None] = {spec.vcpu_names()[gone]: None}
    names |= {f"{spec.name}/{i}": f"{spec.name}/{i - 1}" for i in range(gone + 1, spec.vcpus)}

    def change(step: a.LitmusStep, _: Path) -> Steps:
        said = {"actor": step.actor} | _texts(step.stmt)
        if any(text in names and names[text] is None for text in said.values()):
            return []
        new = {field: names[text] for field, text in said.items() if text in names}
        actor = new.pop("actor", step.actor)
        return [replace(step, actor=actor, stmt=replace(step.stmt, **new))] if new or actor != step.actor else [step]

    changed = mapped(scenario, change)
    for block in changed.blocks:
        block.actors = [name for actor in block.actors if (name := names.get(actor, actor)) is not None]
    return replace(changed, vms=_with(scenario.vms, vm, replace(spec, vcpus=spec.vcpus - 1)))


def _texts(stmt: a.AnyStmt) -> dict[str, str]:
    return {field: text for field in stmt.__struct_fields__ if isinstance(text := getattr(stmt, field), str)}


def _hosts(scenario: a.Scenario) -> Iterator[a.Scenario]:
    machines = scenario.machines()
    for i, host in enumerate(scenario.hosts):
        mine = machines[i + 1]
        gone = {kvm.name for kvm in scenario.kvms if kvm.host == host.name}
        left = replace(
            _without_kvms(scenario, gone),
            hosts=_less(scenario.hosts, i),
            kvms=[kvm for kvm in scenario.kvms if kvm.name not in gone],
        )
        yield _on_cpus(left, range(mine.first_cpu, mine.first_cpu + mine.cpus))
    for number, machine in enumerate(machines):
        for cpu in reversed(range(machine.first_cpu, machine.first_cpu + machine.cpus)) if machine.cpus > 1 else ():
            less = _with_machine(scenario, number, cpus=machine.cpus - 1)
            yield _on_cpus(less, range(cpu, cpu + 1))
            if cpu > machine.first_cpu:
                yield _on_cpus(less, range(cpu, cpu + 1), instead=machine.first_cpu)


def _on_cpus(scenario: a.Scenario, gone: range, instead: int | None = None) -> a.Scenario:
    """The statements when these CPUs are gone: one that names such a CPU names ``instead``, or goes, too. The numbers
    behind them move up."""

    def change(step: a.LitmusStep, _: Path) -> Steps:
        cpu = getattr(step.stmt, "cpu", -1)
        if cpu < gone.start:
            return [step]
        to = cpu - len(gone) if cpu >= gone.stop else instead
        return [] if to is None else [replace(step, stmt=replace(step.stmt, cpu=to))]

    return mapped(scenario, change)


def _settings(scenario: a.Scenario) -> Iterator[a.Scenario]:
    """One setting as a machine or a VM has it by default, or a shorter ring."""
    for number, machine in enumerate(scenario.machines()):
        for field in ("lbr", "counters", "fixed", "kernel", "bus_lock", "rtm", "mediated"):
            if getattr(machine, field) != (usual := getattr(MachineSpec(), field)):
                yield _with_machine(scenario, number, **{field: usual})
    for depth in (0, 2, 4, 8, 16):
        if depth != scenario.machine.depth:
            hosts = [replace(host, machine=replace(host.machine, depth=depth)) for host in scenario.hosts]
            yield replace(scenario, machine=replace(scenario.machine, depth=depth), hosts=hosts)
    for i, vm in enumerate(scenario.vms):
        for field in VmSpec.__struct_fields__:
            usual = getattr(VmSpec(vm.name), field)
            if field not in ("name", "vcpus") and getattr(vm, field) != usual:
                yield replace(scenario, vms=_with(scenario.vms, i, replace(vm, **{field: usual})))


def _with_machine(scenario: a.Scenario, number: int, **settings: Any) -> a.Scenario:
    if number == 0:
        return replace(scenario, machine=replace(scenario.machine, **settings))
    host = scenario.hosts[number - 1]
    changed = replace(host, machine=replace(host.machine, **settings))
    return replace(scenario, hosts=_with(scenario.hosts, number - 1, changed))


def _less(items: list[Any], i: int) -> list[Any]:
    return [*items[:i], *items[i + 1 :]]


def _with(items: list[Any], i: int, item: Any) -> list[Any]:
    return [*items[:i], item, *items[i + 1 :]]


def weight(scenario: a.Scenario) -> tuple[int, ...]:
    """The size of a scenario, what counts most first: statements, threads, VMs and the like, CPUs, numbers of
    loops."""
    steps = list(scenario.steps())
    parts: tuple[Sized, ...] = (
        scenario.vms,
        scenario.tasks,
        scenario.kvms,
        scenario.hosts,
        scenario.lets,
        scenario.homes,
    )
    loops = sum(count for step in steps if isinstance(count := getattr(step.stmt, "count", 0), int))
    return (
        len(steps),
        len(scenario.blocks),
        sum(map(len, parts)) + sum(vm.vcpus for vm in scenario.vms) + scenario.cpus(),
        loops + sum(scenario.lets.values()),
    )


def unusual_settings(scenario: a.Scenario) -> int:
    """The number of settings that are not the default."""
    usual = [(machine, MachineSpec(cpus=machine.cpus)) for machine in scenario.machines()]
    specs: list[tuple[msgspec.Struct, msgspec.Struct]] = [
        *((replace(machine, host=0, first_cpu=0), default) for machine, default in usual),
        *((vm, VmSpec(vm.name, vm.vcpus)) for vm in scenario.vms),
    ]
    return sum(
        getattr(spec, field) != getattr(default, field) for spec, default in specs for field in spec.__struct_fields__
    )
