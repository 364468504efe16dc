"""The checks that make a scenario playable, whether it comes from text or from Python. Only the places in errors
differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from client.litmus import ast as a
from client.litmus.checking import Scope, StmtCheck
from client.litmus.limits import MAX_KVMS, MAX_NESTING, MAX_PURPOSE, MAX_STEPS, MAX_VCPUS
from client.litmus.locate import describe
from client.litmus.msr import taken
from client.litmus.places import Path
from client.litmus.spelling import hint, listed, quote, unknown
from client.litmus.statements import statements_of
from client.litmus.validate_faults import check_faults
from client.litmus.validate_final import check_expects, check_final
from client.litmus.words import actor_kind, is_name
from contract.control import MachineSpec
from contract.errors import InputError
from contract.kernels import KERNELS
from contract.provenance import ACTOR_LIMIT
from contract.spec import CPUID_LIMITS, CPUS_LIMIT, HOSTS_LIMIT, MACHINE_LIMITS, VM_MODELS
from contract.x86 import LBR_MODELS, MASK64, LbrModel, lbr_model

TASKS_LIMIT = ACTOR_LIMIT - 1
"""The most host tasks of a scenario. The idle task is an actor, too."""


def validate(scenario: a.Scenario) -> None:
    """Raises InputError naming block, actor and statement of the first error."""
    check(scenario, lambda path: describe(scenario, path))


def check(scenario: a.Scenario, locate: Callable[[Path], str]) -> None:
    """``validate`` with places that the caller chooses."""
    _Checker(scenario, locate).run()


class _Checker:
    def __init__(self, scenario: a.Scenario, locate: Callable[[Path], str]) -> None:
        self.scenario = scenario
        self.locate = locate
        self.count = 0

    def fail(self, message: str, *path: str | int) -> NoReturn:
        raise InputError(message, self.locate(path))

    def run(self) -> None:
        scenario = self.scenario
        self.name("scenario", scenario.name, "name")
        if not scenario.purpose.isprintable() or len(scenario.purpose) > MAX_PURPOSE:
            self.fail(f"the purpose is not one printable line of at most {MAX_PURPOSE} characters", "purpose")
        model = self.machine()
        self.hosts()
        self.names("task", scenario.tasks)
        self.names("vm", [vm.name for vm in scenario.vms])
        self.vms()
        self.lets()
        self.actors()
        scope = self.scope(model)
        for b, block in enumerate(scenario.blocks):
            for s, step in enumerate(block.steps):
                self.step(step, block, scope, ("block", b, "step", s))
        check_faults(scenario, self.fail)
        check_expects(scenario.expects, self.fail)
        if scenario.final is not None:
            check_final(scenario.final, scope.registers, self.fail)

    def vms(self) -> None:
        scenario = self.scenario
        tasks = len(scenario.tasks)
        if tasks > TASKS_LIMIT:
            self.fail(f"more than {TASKS_LIMIT} tasks", "task", TASKS_LIMIT)
        for i, vm in enumerate(scenario.vms):
            tasks += vm.vcpus
            if tasks > TASKS_LIMIT:
                self.fail(f"more than {TASKS_LIMIT} tasks, with a thread for each vCPU", "vm", i)
            self.within("vcpus", vm.vcpus, 1, MAX_VCPUS, "vm", i, "vcpus")
            for key, most in CPUID_LIMITS.items():
                if (value := getattr(vm, key)) is not None:
                    self.within(key, value, 0, most, "vm", i, key)
            if vm.model not in VM_MODELS:
                self.fail(unknown("model", vm.model, VM_MODELS), "vm", i, "model")
            if vm.name in scenario.homes and scenario.home(vm.name) not in scenario.placement():
                self.fail(unknown("kvm", scenario.home(vm.name), scenario.placement()), "vm", i, "kvm")
        for name in scenario.homes:
            if name not in {vm.name for vm in scenario.vms}:
                self.fail(f"{quote(name)} has a kvm but is not a vm", "vm")

    def lets(self) -> None:
        for name, value in self.scenario.lets.items():
            if not is_name(name) or taken(name) or name in a.ANSWERS:
                self.fail(f"{quote(name)} cannot name a number: reserved, too long or malformed", "let", name)
            if not 0 <= value <= MASK64:
                self.fail(f"{quote(str(value))} does not fit 64 bits", "let", name)

    def step(self, step: a.LitmusStep, block: a.Block, scope: Scope, path: Path) -> None:
        self.count += 1
        if self.count > MAX_STEPS:
            self.fail(f"more than {MAX_STEPS} statements", *path)
        if len(path) > 2 * MAX_NESTING:
            self.fail(f"blocks nest deeper than {MAX_NESTING}", *path)
        if step.actor not in block.actors:
            message = f"{quote(step.actor)} is not an actor of this block{hint(step.actor, block.actors)}"
            self.fail(message, *path, "actor")
        self.statement(step, scope, path)
        scope.loops += step.stmt.loop
        for name, body in a.bodies(step.stmt).items():
            for i, inner in enumerate(body):
                self.step(inner, block, scope, (*path, name, i))
        scope.loops -= step.stmt.loop

    def scope(self, model: LbrModel) -> Scope:
        scenario = self.scenario
        return Scope(
            cpus=scenario.cpus(),
            model=model,
            model_name=scenario.machine.lbr,
            vcpus=set(scenario.vcpus()),
            tasks={*scenario.vcpus(), *scenario.tasks},
            placement=scenario.placement(),
            stays={vm.name: scenario.stays(vm.name) for vm in scenario.vms},
            lets=scenario.lets,
            fail=self.fail,
            registers={},
            closed=set(),
        )

    def statement(self, step: a.LitmusStep, scope: Scope, path: Path) -> None:
        """Check that the actor may say the statement, that its operands are possible, and that it may set its
        register."""
        stmt, actor = step.stmt, step.actor
        kind = actor_kind(actor)
        if stmt.speaker not in (kind, "anyone"):
            verb = stmt.action().split()[0]
            said = f"{quote(verb)} is a {stmt.speaker} statement, {quote(actor)} is no {stmt.speaker}"
            self.fail(f"{said}; a {kind} statement is {listed(statements_of(kind))}", *path)
        known = scope.registers.setdefault(actor, {})
        stmt.check(StmtCheck(actor, known, path, scope))
        if not (register := stmt.sets):
            return
        if register in scope.lets:
            self.fail(f"{quote(register)} is a number that 'let' has set", *path, "register")
        if not is_name(register) or taken(register) or register in a.ANSWERS:
            message = f"{quote(register)} cannot name a register: reserved, too long or malformed"
            self.fail(message, *path, "register")
        if (before := known.get(register)) is not None and not _alike(before, stmt):
            why = "" if type(before) is type(stmt) else f", {quote(before.text())} was another kind of value"
            self.fail(f"{actor} sets {quote(register)} a second time{why}", *path, "register")
        known[register] = stmt

    def name(self, what: str, name: str, *path: str | int) -> None:
        if not is_name(name):
            self.fail(f"{quote(name)} cannot name a {what}: reserved, too long or malformed", *path)

    def names(self, what: str, names: list[str]) -> None:
        seen: set[str] = set()
        for i, name in enumerate(names):
            self.name(what, name, what, i)
            if name in seen:
                self.fail(f"{what} {quote(name)} is declared twice", what, i)
            seen.add(name)

    def within(self, what: str, value: int, low: int, high: int, *path: str | int) -> None:
        if not low <= value <= high:
            self.fail(f"{what} = {value} is impossible, expected {low} to {high}", *path)

    def amounts(self, spec: MachineSpec, *path: str | int) -> None:
        for what, (least, most) in MACHINE_LIMITS.items():
            self.within(what, getattr(spec, what), least, most, *path, what)

    def machine(self) -> LbrModel:
        spec = self.scenario.machine
        self.amounts(spec, "machine")
        if spec.pmu != MachineSpec().pmu:
            self.fail(f"a scenario's machine has the PMU {MachineSpec().pmu}, not {quote(spec.pmu)}", "machine")
        if spec.kernel not in KERNELS:
            self.fail(unknown("kernel", spec.kernel, KERNELS), "machine", "kernel")
        if spec.lbr not in LBR_MODELS:
            self.fail(unknown("LBR model", spec.lbr, LBR_MODELS), "machine", "lbr")
        try:
            return lbr_model(spec.lbr, spec.depth)
        except ValueError as error:
            self.fail(str(error), "machine", "depth")

    def hosts(self) -> None:
        scenario = self.scenario
        first, names = scenario.machine, [host.name for host in scenario.hosts]
        self.names("host", names)
        self.within("hosts", 1 + len(names), 1, HOSTS_LIMIT, "host", HOSTS_LIMIT - 1)
        for i, host in enumerate(scenario.hosts):
            spec = host.machine
            self.amounts(spec, "host", i)
            if spec.kernel not in KERNELS:
                self.fail(unknown("kernel", spec.kernel, KERNELS), "host", i, "kernel")
            if (spec.lbr, spec.depth, spec.pmu) != (first.lbr, first.depth, first.pmu):
                self.fail(f"{quote(host.name)} has another LBR or PMU than the first machine", "host", i)
            if (cpus := sum(m.cpus for m in scenario.machines()[: i + 2])) > CPUS_LIMIT:
                self.fail(f"{cpus} CPUs in all, expected at most {CPUS_LIMIT}", "host", i, "cpus")
        kvms = [kvm.name for kvm in scenario.kvms]
        self.names("kvm", kvms)
        self.within("kvms", 1 + len(kvms), 1, MAX_KVMS, "kvm", MAX_KVMS - 1)
        for i, kvm in enumerate(scenario.kvms):
            if kvm.name == a.FIRST_KVM:
                self.fail(f"{quote(kvm.name)} is there already, on the first machine", "kvm", i)
            if actor_kind(kvm.name):
                self.fail(f"{quote(kvm.name)} cannot name a kvm: it names an actor", "kvm", i)
            if kvm.host and kvm.host not in names:
                self.fail(unknown("host", kvm.host, names), "kvm", i, "host")

    def actors(self) -> None:
        vcpus = set(self.scenario.vcpus())
        seen: set[str] = set()
        for b, block in enumerate(self.scenario.blocks):
            if not block.actors:
                self.fail("a block needs an actor", "block", b)
            for i, actor in enumerate(block.actors):
                path = ("block", b, "actor", i) if i else ("block", b)
                kind = actor_kind(actor)
                if kind == "guest" and actor not in vcpus:
                    self.fail(unknown("vCPU", actor, sorted(vcpus)), *path)
                if not kind:
                    self.fail(unknown("actor", actor, ("host", "user", *sorted(vcpus))), *path)
                if actor in seen:
                    self.fail(f"{quote(actor)} has a block already", *path)
                seen.add(actor)


def _alike(before: a.Stmt, stmt: a.Stmt) -> bool:
    """Whether a register may be set again: both statements give numbers, or both are of one kind that allows it
    (``again``)."""
    same = type(before) is type(stmt) and stmt.again
    return same or before.result is stmt.result is a.ResultKind.NUMBER
