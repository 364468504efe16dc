"""One run: played from its inputs, judged from its trace. The command line, the matrix, the claims, the contract
document and the Python API all run this way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from client.check.automaton import Violation
from client.check.judge import Finding, judge
from client.drive.play import InterruptedRunError, Player
from client.litmus import Scenario
from client.litmus.fault import FaultRule
from client.litmus.spelling import hint, listed, quote, unknown
from client.run.failure import CoreFailedError
from client.run.inputs import Inputs
from client.run.verdict import Verdict, verdict_on
from client.schedule.decisions import Decision
from client.schedule.faults import rules_met
from contract.design import Design
from contract.errors import InputError, SystemFailedError
from contract.invariants import ABOUT, VIOLATED
from contract.trace import AnyRecord, Rest

R = TypeVar("R", bound=AnyRecord)


@dataclass
class Run:
    """A run, complete or up to a failure. It holds everything needed to judge it again and to replay it."""

    scenario: Scenario
    design: Design
    wire: str
    """``sim`` or ``grpc``."""
    faults: tuple[FaultRule, ...]
    """The rules of faults that were asked for."""
    tape: list[Decision]
    """Every decision that was taken, in order."""
    records: list[AnyRecord]
    """The trace."""
    failure: SystemFailedError | None = None
    """The failure that ended the run early."""
    path: Path | None = None
    """The file in which the run is kept."""

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict, from scenario and trace alone. It is computed once. Raises InputError if the records are not a
        valid trace."""
        missed = tuple(str(rule) for rule in self.unmet if rule.chance == 1)
        return verdict_on(self.scenario, self.records, str(self.failure or ""), missed, self.findings)

    @cached_property
    def findings(self) -> list[Finding]:
        """The verdict on each invariant, from the trace alone. A search needs no more of the verdict. Raises InputError
        as ``verdict``."""
        return judge(self.records)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return isinstance(self.failure, InterruptedRunError)

    def finished(self) -> Run:
        """This run. Raises KeyboardInterrupt if Ctrl-C ended it, SystemFailedError if a service failed."""
        if self.interrupted:
            raise KeyboardInterrupt
        if self.failure is not None:
            raise self.failure
        return self

    @cached_property
    def applied(self) -> list[bool]:
        """For each rule of ``faults`` whether it changed the fate of a message."""
        return rules_met(self.faults, self.records)

    @property
    def unmet(self) -> list[FaultRule]:
        """The rules that changed nothing."""
        return [rule for rule, applied in zip(self.faults, self.applied, strict=True) if not applied]

    @property
    def operations(self) -> dict[str, int]:
        """The number of each operation in the whole run, on the silicon of all hosts. Empty if the trace has no end."""
        total: dict[str, int] = {}
        rest = next((r for r in reversed(self.records) if isinstance(r, Rest)), None)
        for host in rest.hosts if rest else ():
            for name, count in host.operations.items():
                total[name] = total.get(name, 0) + count
        return total

    def of(self, kind: type[R]) -> list[R]:
        """The records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]

    def verdict_of(self, invariant: str) -> str:
        return self._finding(invariant).verdict

    def violation(self, invariant: str) -> Violation | None:
        """The first violation of an invariant."""
        finding = self._finding(invariant)
        return finding.violations[0] if finding.violations else None

    def _finding(self, invariant: str) -> Finding:
        """The finding of one invariant. Raises InputError if there is no such invariant."""
        found = next((f for f in self.findings if f.invariant == invariant), None)
        if found is None:
            raise InputError(unknown("invariant", invariant, list(ABOUT)), "invariant")
        return found

    def broken(self) -> list[str]:
        """The invariants that are violated."""
        return [f.invariant for f in self.findings if f.verdict == VIOLATED]

    def register(self, name: str) -> int | str | None:
        """A register, ``host:s0``, or a field of one, ``host:s0.guest``; None if it never got a value. Raises
        InputError where the scenario has no such register or field."""
        name, _, part = name.partition(".")
        known = self.scenario.registers()
        if name not in known:
            there = listed(known) if known else "none"
            raise InputError(f"no register {quote(name)}{hint(name, known)}; the scenario has {there}", "register")
        fields = known[name].fields
        if part not in (fields or ("",)):
            expected = [f"{name}.{field}" for field in fields] or [name]
            raise InputError(f"{quote(f'{name}.{part}' if part else name)}: expected {listed(expected)}", "register")
        value = self.verdict.outcome.get(name)
        return value.get(part) if isinstance(value, dict) else value


def run(inputs: Inputs) -> Run:
    """Play one run to its end; ``Run.verdict`` judges it. The faults of the scenario come before those of the schedule.
    If a service fails, or on Ctrl-C, the run ends early: ``failure`` says why, and the trace is kept up to that point.

    Raises InputError if a tape or the scenario asks for something impossible. An unforeseen error of a core of the
    simulated wire is raised as it is."""
    return _played(inputs, keep_errors=False)


def run_or_failure(inputs: Inputs) -> Run:
    """As ``run``, but an unforeseen error is the failure of the run, as the death of a service is: CoreFailedError."""
    return _played(inputs, keep_errors=True)


def _played(inputs: Inputs, *, keep_errors: bool) -> Run:
    wire = inputs.wire
    if wire is None:
        from client.drive.sim import SimWire

        wire = SimWire()
    schedule = inputs.schedule.behind(inputs.scenario.faults)
    if not wire.owns_services and (ends := schedule.end_of_a_service()):
        raise InputError("this run has not started its services, so it cannot end one", ends)
    player = Player(wire, inputs.scenario, inputs.design, schedule.strategy())
    try:
        failure = player.play()
    except (InputError, SystemFailedError):
        raise
    except Exception as error:
        if not keep_errors:
            raise
        failure = CoreFailedError(error)
    return Run(inputs.scenario, inputs.design, wire.name, schedule.faults, player.tape, wire.log.records, failure)
