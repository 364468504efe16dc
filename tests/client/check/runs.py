"""Runs for the checkers' tests: text in, trace and findings out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from client.check.judge import Finding, judge
from client.check.monitor import Violation
from client.drive.flight import Flight
from client.drive.play import Played, Player
from client.drive.sim import SimWire
from client.litmus import Scenario, parse
from client.tape.decisions import Decision, Step
from client.tape.faults import parse_fault
from client.tape.policy import DefaultPolicy, deliver
from contract.design import Design
from contract.inbox import Fate
from contract.trace import AnyRecord, Outcome

HELD, VIOLATED, OPEN, IDLE = "held", "violated", "open", "not exercised"


ONE_CPU = "machine { cpus = 1; lbr = skylake; depth = 8; }\nvm vm0 { lbr = on; }"


def scenario(body: str, *, head: str = ONE_CPU) -> Scenario:
    return parse(f'LBR test\n"A test."\n{head}\n{body}')


def ordered(steps: str, *, actors: str = "host, vm0/0", head: str = ONE_CPU) -> Scenario:
    """One block whose steps come in exactly this order."""
    body = f"{actors} {{ {steps} }}"
    return scenario(body, head=head)


def play(story: Scenario, design: Design, *faults: str) -> Played:
    policy = DefaultPolicy(tuple(parse_fault(fault) for fault in faults))
    played = Player(SimWire(), story, design, policy).play()
    assert policy.applied == set(policy.faults.values()), "a fault met nothing"
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
# the guest goes on and reads what it read before.
USE = (
    "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 4;"
    "vm0/0: t0 = rdmsr LBR_TOS; vm0/0: f0 = rdmsr LBR_FROM[t0];"
)
HOST = "host: h0 = open cpu0 pinned branch any; host: branch 3;"
AGAIN = "vm0/0: branch 2; vm0/0: t1 = rdmsr LBR_TOS; vm0/0: o1 = rdmsr LBR_FROM[4];"


class Late:
    """The default policy, but message ``which`` of ``kind`` is overtaken by all behind it up to the first ``until``."""

    def __init__(self, kind: str, which: int, until: str) -> None:
        self.late = (kind, which)
        self.until = until
        self.default = DefaultPolicy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        held = None
        for message in flight.heads():
            if (message.message, message.which) != self.late:
                return deliver(Fate.TAKE, message)
            held = message
            if behind := flight.behind(message):
                if behind[0].message == self.until:
                    self.late = ("", 0)
                return deliver(Fate.OVERTAKE, behind[0])
        if threads:
            return Step(self.default.next_thread(threads, all_threads))
        return deliver(Fate.TAKE, held) if held else None


def play_late(story: Scenario, design: Design, kind: str, which: int, until: str) -> list[AnyRecord]:
    policy = Late(kind, which, until)
    played = Player(SimWire(), story, design, policy).play()
    assert policy.late == ("", 0), f"{until} never came"
    return played.records
