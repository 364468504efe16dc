"""Runs for the checkers' tests: text in, trace and findings out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from client.check.automaton import Violation
from client.check.judge import Finding, judge
from client.litmus import Scenario, parse
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from contract.design import Design
from contract.trace import AnyRecord, Outcome
from tests.schedules import OvertakenUntil

HELD, VIOLATED, OPEN, IDLE = "held", "violated", "open", "not exercised"


ONE_CPU = "machine { cpus = 1; lbr = skylake; depth = 8; }\nvm vm0 { lbr = on; }"


def scenario(body: str, *, head: str = ONE_CPU) -> Scenario:
    return parse(f'LBR test\n"A test."\n{head}\n{body}')


def ordered(steps: str, *, actors: str = "host, vm0/0", head: str = ONE_CPU) -> Scenario:
    """One block whose steps come in exactly this order."""
    body = f"{actors} {{ {steps} }}"
    return scenario(body, head=head)


def play(story: Scenario, design: Design, *faults: str) -> Run:
    played = run(Inputs(story, design, Schedule(tuple(parse_fault(fault) for fault in faults))))
    assert not played.unmet, "a fault met nothing"
    return played


def trace(story: Scenario, design: Design, *faults: str) -> list[AnyRecord]:
    return play(story, design, *faults).records


def finding(records: list[AnyRecord], invariant: str) -> Finding:
    return next(f for f in judge(records) if f.invariant == invariant)


def verdicts(records: list[AnyRecord]) -> dict[str, str]:
    return {f.invariant: f.verdict for f in judge(records)}


def broken(records: list[AnyRecord]) -> set[str]:
    return {f.invariant for f in judge(records) if f.verdict == VIOLATED}


def first(records: list[AnyRecord], invariant: str) -> tuple[Violation, AnyRecord]:
    """The first violation, and the record it names."""
    found = finding(records, invariant)
    assert found.verdict == VIOLATED, f"{invariant} is {found.verdict}"
    violation = found.violations[0]
    return violation, records[violation.seq - 1]


def renumbered(records: Sequence[AnyRecord]) -> list[AnyRecord]:
    """Copies with ``seq`` put right."""
    return [msgspec.structs.replace(record, seq=n) for n, record in enumerate(records, 1)]


def outcomes(records: list[AnyRecord]) -> dict[str, object]:
    return {f"{r.actor}:{r.register}": r.value for r in records if isinstance(r, Outcome)}


# Steps that many stories share: the guest fills four entries and reads the newest; a CPU-pinned host event comes;
# the guest continues and reads what it read before.
USE = (
    "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 4;"
    "vm0/0: t0 = rdmsr LBR_TOS; vm0/0: f0 = rdmsr LBR_FROM[t0];"
)
HOST = "host: h0 = open cpu0 pinned branch any; host: branch 3;"
AGAIN = "vm0/0: branch 2; vm0/0: t1 = rdmsr LBR_TOS; vm0/0: o1 = rdmsr LBR_FROM[4];"


def play_late(story: Scenario, design: Design, kind: str, which: int, until: str) -> list[AnyRecord]:
    strategy = OvertakenUntil(kind, which, until)
    played = run(Inputs(story, design, Schedule(other=lambda: strategy)))
    assert strategy.applied, f"{until} never came"
    return played.records
