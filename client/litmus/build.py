"""Scenarios written in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from client.litmus.ast import AnyStmt, Block, Expect, Expr, Final, HostSpec, KvmSpec, LitmusStep, Scenario
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.litmus.validate import validate
from contract.control import MachineSpec, VmSpec


class Story:
    """Builds a Scenario block by block; every method returns the story.

    >>> from client.litmus import Story, VmSpec, format_scenario
    >>> from client.litmus.ast import Compare, GuestBranch, GuestRdmsr, MsrRef, Reg, RunOn, Word
    >>> story = Story("host-runs-guest", "A guest reads TOS.", vms=[VmSpec("vm0")])
    >>> story = story.host(RunOn("vm0/0", cpu=0))
    >>> story = story.vcpu("vm0/0", GuestBranch(8), GuestRdmsr("r0", MsrRef("LBR_TOS")))
    >>> story = story.never(Compare(Reg("vm0/0", "r0"), "=", Word("#GP")))
    >>> print(format_scenario(story.scenario()), end="")
    LBR host-runs-guest
    "A guest reads TOS."
    <BLANKLINE>
    machine { cpus = 1; lbr = skylake; }
    vm vm0 { vcpus = 1; lbr = on; }
    <BLANKLINE>
    host {
        run vm0/0 on cpu0;
    }
    <BLANKLINE>
    vm0/0 {
        branch 8;
        r0 = rdmsr LBR_TOS;
    }
    <BLANKLINE>
    ~exists (vm0/0:r0 = #GP)
    """

    def __init__(
        self,
        name: str,
        purpose: str = "",
        *,
        machine: MachineSpec | None = None,
        tasks: Sequence[str] = (),
        vms: Sequence[VmSpec] = (),
        hosts: Sequence[HostSpec] = (),
        kvms: Sequence[KvmSpec] = (),
        homes: Mapping[str, str] | None = None,
        lets: Mapping[str, int] | None = None,
        faults: Sequence[str | FaultRule] = (),
    ) -> None:
        self._name = name
        self._purpose = purpose
        self._machine = machine or MachineSpec()
        self._tasks = list(tasks)
        self._vms = list(vms)
        self._hosts = list(hosts)
        self._kvms = list(kvms)
        self._homes = dict(homes or {})
        self._lets = dict(lets or {})
        self._faults = [parse_fault(rule, "fault") if isinstance(rule, str) else rule for rule in faults]
        self._blocks: list[Block] = []
        self._final: Final | None = None
        self._expects: list[Expect] = []

    def host(self, *stmts: AnyStmt, actor: str = "host") -> Story:
        return self._block([actor], ((actor, stmt) for stmt in stmts))

    def user(self, *stmts: AnyStmt, actor: str = "user") -> Story:
        return self._block([actor], ((actor, stmt) for stmt in stmts))

    def vcpu(self, name: str, *stmts: AnyStmt) -> Story:
        return self._block([name], ((name, stmt) for stmt in stmts))

    def ordered(self, *steps: tuple[str, AnyStmt]) -> Story:
        """One block of several actors, its steps as (actor, statement)."""
        return self._block(list(dict.fromkeys(actor for actor, _ in steps)), steps)

    def exists(self, expr: Expr, *under: str) -> Story:
        """``under``: the designs that the condition applies to; all if none is named."""
        return self._finally("exists", expr, under)

    def never(self, expr: Expr, *under: str) -> Story:
        return self._finally("~exists", expr, under)

    def forall(self, expr: Expr, *under: str) -> Story:
        return self._finally("forall", expr, under)

    def expect(self, verdict: str, *invariants: str, under: tuple[str, ...] = ()) -> Story:
        """``verdict``: held, violated, open or not-exercised."""
        self._expects.append(Expect(verdict, invariants, under))
        return self

    def scenario(self) -> Scenario:
        """The scenario so far, validated. Raises InputError if it is not valid."""
        out = Scenario(
            self._name,
            self._purpose,
            self._machine,
            list(self._tasks),
            list(self._vms),
            [Block(list(b.actors), list(b.steps)) for b in self._blocks],
            self._final,
            list(self._hosts),
            list(self._kvms),
            dict(self._homes),
            dict(self._lets),
            list(self._expects),
            list(self._faults),
        )
        validate(out)
        return out

    def _block(self, actors: list[str], steps: Iterable[tuple[str, AnyStmt]]) -> Story:
        self._blocks.append(Block(actors, [LitmusStep(actor, stmt) for actor, stmt in steps]))
        return self

    def _finally(self, quantifier: str, expr: Expr, under: tuple[str, ...]) -> Story:
        self._final = Final(quantifier, expr, under)
        return self
