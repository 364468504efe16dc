"""Statements of the host: tasks, branches, time, mediated VMs. Statements about events have files of their own."""

from __future__ import annotations

from typing import ClassVar

from client.litmus.checking import StmtCheck
from client.litmus.execution import Execution
from client.litmus.expression import Constant
from client.litmus.reading import Reading
from client.litmus.statements.branches import BRANCH_RULES, branch_action, read_branch
from client.litmus.statements.event import CloseEvent, EventOp, ReadEvent, SampleEvent, StateOf
from client.litmus.statements.open_event import OpenEvent
from client.litmus.statements.statement import Examples, HostStmt, ResultKind, Rules
from client.litmus.text import duration_text
from client.litmus.tree import tokens
from contract.control import Advance, Mediate, Retire, RunTask, SetMuxInterval


class RunOn(HostStmt, frozen=True):
    """``run vm0/0 on cpu0;`` and, with an empty task, ``idle cpu0;``"""

    rules: ClassVar[Rules] = {"run": 'RUN _task "on" CPU', "idle": "IDLE CPU"}
    examples: ClassVar[Examples] = (
        ("run vm0/0 on cpu0;", "switch a task in; the thread of a vCPU is a task, too"),
        ("idle cpu0;", "switch the idle task in"),
    )

    task: str
    cpu: int

    @staticmethod
    def read(at: Reading) -> RunOn:
        _, *task, cpu = at.tokens
        return RunOn(at.mark(task[0], "task") if task else "", at.cpu(cpu))

    def action(self) -> str:
        return f"run {self.task} on cpu{self.cpu}" if self.task else f"idle cpu{self.cpu}"

    def check(self, at: StmtCheck) -> None:
        if self.task:
            at.task(self.task)
        at.cpu(self.cpu)

    def command(self, at: Execution) -> RunTask:
        return RunTask(self.task, self.cpu)


class HostBranch(HostStmt, frozen=True):
    """``branch 8 on cpu0;`` ``branch 8 call user on cpu1;`` (kind and privilege default to jmp, kernel). Text without a
    CPU means the only one; if there are several, ``cpu`` is -1, which is invalid."""

    rules: ClassVar[Rules] = BRANCH_RULES
    examples: ClassVar[Examples] = (
        (
            "branch 8 call user on cpu0;",
            "branches retire; also jmp (usual), jcc, ind_call, return, ind_jmp, far; kernel (usual)",
        ),
    )

    count: Constant
    cpu: int = 0
    branch: str = "jmp"
    privilege: str = "kernel"

    @staticmethod
    def read(at: Reading) -> HostBranch:
        count, kind, privilege, cpu = read_branch(at)
        if cpu is not None:
            return HostBranch(count, at.cpu(cpu), kind, privilege)
        return HostBranch(count, 0 if at.cpus == 1 else -1, kind, privilege)

    def action(self) -> str:
        return f"{branch_action(self.count, self.branch, self.privilege)} on cpu{self.cpu}"

    def check(self, at: StmtCheck) -> None:
        if self.cpu < 0:
            at.fail(f"branch needs 'on cpuN': the machine has {at.scope.cpus} CPUs")
        at.cpu(self.cpu)
        at.branches(self.count, self.branch, self.privilege)

    def command(self, at: Execution) -> Retire:
        return Retire(self.cpu, at.number(self.count), self.branch, self.privilege)


class AdvanceTime(HostStmt, frozen=True):
    """``advance 4ms;`` (ns, us, ms, s; at most 100 s)"""

    rules: ClassVar[Rules] = {"advance": "ADVANCE DURATION"}
    examples: ClassVar[Examples] = (("advance 4ms;", "let time pass; multiplex timers fire"),)

    ns: int

    @staticmethod
    def read(at: Reading) -> AdvanceTime:
        return AdvanceTime(at.time(at.tokens[1], "ns"))

    def action(self) -> str:
        return f"advance {duration_text(self.ns)}"

    def check(self, at: StmtCheck) -> None:
        at.time("advance", self.ns, 1)

    def command(self, at: Execution) -> Advance:
        return Advance(self.ns)


class MuxInterval(HostStmt, frozen=True):
    """``mux 1ms;`` ``m0 = mux 8ms on cpu1;``: the time between ticks of the multiplex timer
    (``perf_event_mux_interval_ms``); ``cpu`` -1: of all CPUs. Gives ``ok``, or EINVAL below a millisecond."""

    rules: ClassVar[Rules] = {"mux": "MUX DURATION on_cpu?"}
    examples: ClassVar[Examples] = (("mux 1ms;", "set the multiplex interval"),)
    result = ResultKind.WORD

    ns: int
    cpu: int = -1
    register: str = ""

    @staticmethod
    def read(at: Reading) -> MuxInterval:
        ns = at.time(at.tokens[1], "ns")
        cpu = next((at.cpu(tokens(on_cpu)[0]) for on_cpu in at.trees), -1)
        return MuxInterval(ns, cpu, at.register)

    def action(self) -> str:
        return f"mux {duration_text(self.ns)}" + (f" on cpu{self.cpu}" if self.cpu >= 0 else "")

    def check(self, at: StmtCheck) -> None:
        at.time("mux", self.ns, 0)
        if self.cpu != -1:
            at.cpu(self.cpu)

    def command(self, at: Execution) -> SetMuxInterval:
        return SetMuxInterval(self.ns, self.cpu)


class Mediated(HostStmt, frozen=True):
    """``mediate;`` ``m0 = mediate;`` ``unmediate;``: a VM with a mediated vPMU is created (``create``) or destroyed.

    Gives ``ok``, or EBUSY while events that count guests are open. While such a VM exists, opening one of those events
    fails with EOPNOTSUPP."""

    rules: ClassVar[Rules] = {"mediate": "MEDIATE | UNMEDIATE"}
    examples: ClassVar[Examples] = (("mediate;", "create a VM with a mediated vPMU"), ("unmediate;", "destroy it"))
    result = ResultKind.WORD

    create: bool
    register: str = ""

    @staticmethod
    def read(at: Reading) -> Mediated:
        return Mediated(at.tokens[0] == "mediate", at.register)

    def action(self) -> str:
        return "mediate" if self.create else "unmediate"

    def command(self, at: Execution) -> Mediate:
        return Mediate(self.create)


AnyHost = (
    RunOn
    | OpenEvent
    | EventOp
    | ReadEvent
    | SampleEvent
    | StateOf
    | HostBranch
    | AdvanceTime
    | MuxInterval
    | Mediated
    | CloseEvent
)
