"""A whole scenario: hosts, KVM services, VMs, blocks of statements, the end.

The values are plain; ``validate`` in ``client.litmus.validate`` checks that a scenario can be played.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import astuple, replace

from client.litmus.fault import FaultRule
from client.litmus.final import Expect, Final
from client.litmus.statements.program import LitmusStep, bodies
from client.litmus.statements.statement import Stmt
from client.litmus.statements.user import UserMigrate
from contract.control import MachineSpec, VmSpec
from contract.x86 import LBR_MODELS


class HostSpec(msgspec.Struct, frozen=True):
    """``machine dest { cpus = 1; }``: one more host. It has the LBR of the first."""

    name: str
    machine: MachineSpec


class KvmSpec(msgspec.Struct, frozen=True):
    """``kvm kvm1;`` ``kvm kvm1 on dest;``: one more KVM service beside kvm0, on the first host ("") or another."""

    name: str
    host: str = ""


FIRST_KVM = "kvm0"
"""The KVM service that every first host has."""


class Block(msgspec.Struct):
    """A thread of the schedule: the steps of its actors, in this order. Actors are ``host``, ``host1``..., ``user``,
    ``user1``..., and vCPUs (``vm0/0``). An actor stands in only one block."""

    actors: list[str]
    steps: list[LitmusStep]

    @property
    def name(self) -> str:
        return "+".join(self.actors)


class Scenario(msgspec.Struct, eq=False):
    """A whole scenario.

    ``tasks`` are host tasks other than vCPU threads, which exist because their VM does; each task exists on every host.
    ``machine`` is the first host, ``hosts`` are the others; CPUs are numbered through all hosts. ``kvms`` are the KVM
    services besides kvm0. ``homes``: VM to the service it begins at, kvm0 by default. ``lets``, ``let exits = 8;``:
    numbers that every actor's expressions can name; a run may set other values. ``expects``: the expected verdicts of
    invariants. ``faults``: rules that every run of it begins with. ``file``: the name of its text in run-time errors
    ("": built in Python); not compared."""

    name: str
    purpose: str = ""
    machine: MachineSpec = MachineSpec()
    tasks: list[str] = []
    vms: list[VmSpec] = []
    blocks: list[Block] = []
    final: Final | None = None
    hosts: list[HostSpec] = []
    kvms: list[KvmSpec] = []
    homes: dict[str, str] = {}
    lets: dict[str, int] = {}
    expects: list[Expect] = []
    faults: list[FaultRule] = []
    file: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and astuple(self)[:-1] == astuple(other)[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def vcpus(self) -> list[str]:
        return [name for vm in self.vms for name in vm.vcpu_names()]

    def machines(self) -> list[MachineSpec]:
        """Every host's machine with its number."""
        machines: list[MachineSpec] = []
        first_cpu = 0
        for number, spec in enumerate([self.machine, *(host.machine for host in self.hosts)]):
            machines.append(replace(spec, host=number, first_cpu=first_cpu))
            first_cpu += spec.cpus
        return machines

    def cpus(self) -> int:
        """CPUs of all hosts together."""
        return sum(machine.cpus for machine in self.machines())

    def placement(self) -> dict[str, int]:
        """KVM service to the number of its host."""
        numbers = {"": 0} | {host.name: i for i, host in enumerate(self.hosts, 1)}
        return {FIRST_KVM: 0} | {kvm.name: numbers[kvm.host] for kvm in self.kvms}

    def home(self, vm: str) -> str:
        """The KVM service that a VM begins at."""
        return self.homes.get(vm, FIRST_KVM)

    def stays(self, vm: str) -> set[str]:
        """The KVM services that a VM is at during the scenario: its home and the targets of its migrations."""
        statements = (step.stmt for step in self.steps())
        goes = {s.kvm for s in statements if isinstance(s, UserMigrate) and s.vcpu.split("/")[0] == vm}
        return {self.home(vm), *goes}

    def vms_at(self, kvm: str) -> list[VmSpec]:
        """The VMs that a KVM service must have. Some are shells for a vCPU that arrives later."""
        if not self.kvms:
            return self.vms[:] if kvm == FIRST_KVM else []
        return [vm for vm in self.vms if kvm in self.stays(vm.name)]

    def steps(self) -> Iterator[LitmusStep]:
        """Every statement of every actor, those between braces too."""
        left = [step for block in self.blocks for step in block.steps]
        for step in left:
            yield step
            left += (inner for body in bodies(step.stmt).values() for inner in body)

    def registers(self) -> dict[str, Stmt]:
        """``actor:register`` to a statement that sets it."""
        return {f"{step.actor}:{step.stmt.sets}": step.stmt for step in self.steps() if step.stmt.sets}

    def without_lbr(self) -> list[str]:
        """The VMs with ``lbr = on`` on a host without an LBR. KVM gives them LBR_FMT 0."""
        return [vm.name for vm in self.vms if vm.lbr and not LBR_MODELS[self.machine.lbr].has_lbr]
