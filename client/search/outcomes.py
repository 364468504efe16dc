"""The outcomes of one scenario over many schedules, as herd7 and litmus7 count them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from client.drive.values import fields_text
from client.litmus import Scenario
from client.litmus import ast as a
from client.litmus.fault import FaultRule
from client.run.final import RegisterValues
from client.run.inputs import Inputs
from client.run.run import Run, run_or_failure
from client.run.verdict import Verdict, verdict_on
from client.schedule.drawn import STRATEGIES, drawn_sampler
from client.schedule.schedule import Schedule
from client.schedule.swarm import SEEDS
from contract.design import Design
from contract.errors import ExitCode
from contract.invariants import VIOLATED

STATES_LIMIT = 1000
"""Different outcomes that are told apart. Further ones are counted together."""
NEVER, SOMETIMES, ALWAYS = "Never", "Sometimes", "Always"


@dataclass(slots=True)
class ScheduleOutcome:
    """``state``: each register asked for, to its value as text. ``violated``: the invariants that are violated.
    ``matches``: whether the expression of the final condition is true; None without one. ``first``: the number of the
    first schedule that gives it, from 1; ``witness``: its run."""

    state: dict[str, str]
    violated: tuple[str, ...]
    matches: bool | None
    first: int
    witness: Run
    count: int = 0


@dataclass(slots=True)
class Outcomes:
    """``found``: the outcomes, the most frequent first. ``verdicts``: verdict to the number of runs. ``violated``:
    invariant to the number of runs, and ``witnesses`` to the first of them."""

    scenario: Scenario
    design: Design
    seed: int
    runs: int = 0
    found: list[ScheduleOutcome] = field(default_factory=list)
    beyond: int = 0
    """Runs whose outcome is new, but too many are known."""
    positive: int = 0
    """Runs in which the expression of the final condition is true."""
    negative: int = 0
    """Runs in which it is false."""
    verdicts: dict[str, int] = field(default_factory=dict)
    violated: dict[str, int] = field(default_factory=dict)
    witnesses: dict[str, Run] = field(default_factory=dict)

    @property
    def observation(self) -> str:
        """Whether the expression was true Never, Sometimes or Always; "" without a final condition."""
        if not self.positive and not self.negative:
            return ""
        return SOMETIMES if self.positive and self.negative else ALWAYS if self.positive else NEVER

    @property
    def ok(self) -> bool:
        """Whether no run is violated or failed, and an ``exists`` was witnessed."""
        return self.exit_code is ExitCode.HELD

    @property
    def exit_code(self) -> ExitCode:
        """Violated counts more than failed. An ``exists`` that no run witnessed is undecided, and so are runs of which
        none is decided."""
        if self.verdicts.get("violated"):
            return ExitCode.VIOLATED
        if self.verdicts.get("failed"):
            return ExitCode.SYSTEM_FAILED
        if self.observation == NEVER and self.scenario.final and self.scenario.final.quantifier == "exists":
            return ExitCode.UNDECIDED
        decided = self.observation or any(self.verdicts.get(name) for name in ("held", "expected"))
        return ExitCode.HELD if decided else ExitCode.UNDECIDED


def sampled(inputs: Inputs, seed: int, number: int) -> Inputs:
    """The same with schedule ``number``, drawn from the seed: each strategy in turn. Each rule of faults with a
    probability gets a seed of this schedule, so that no two schedules have the same draws."""
    rng = Random(f"{seed} {number}")
    faults = reseeded((*inputs.scenario.faults, *inputs.schedule.faults), Random(f"{seed} faults {number}"))
    sampler = drawn_sampler(rng, STRATEGIES[number % len(STRATEGIES)], faults)
    return Inputs(inputs.scenario, inputs.design, Schedule(faults, other=lambda: sampler), inputs.wire)


def reseeded(rules: Sequence[FaultRule], rng: Random) -> tuple[FaultRule, ...]:
    """The rules with new seeds for those that draw. A seed that a rule names counts, too."""
    drawn = (replace(r, seed=Random(f"{rng.random()} {r.seed}").randrange(SEEDS)) if r.chance < 1 else r for r in rules)
    return tuple(drawn)


def outcomes(
    scenario: Scenario,
    design: Design,
    schedules: int,
    seed: int,
    faults: tuple[FaultRule, ...] = (),
    told: Callable[[Outcomes], None] = lambda _: None,
) -> Outcomes:
    """Play that many sampled schedules on the simulated wire. ``told`` is called after each. On KeyboardInterrupt the
    outcomes so far are returned."""
    all_of = Outcomes(scenario, design, seed)
    shown = list(_asked(scenario.final.expr)) if scenario.final else []
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], ScheduleOutcome] = {}
    for number in range(1, schedules + 1):
        try:
            run = run_or_failure(sampled(Inputs(scenario, design, Schedule(faults)), seed, number))
        except KeyboardInterrupt:
            break
        if run.interrupted:
            break
        _count(all_of, known, run, number, shown)
        told(all_of)
    all_of.found.sort(key=lambda outcome: -outcome.count)
    return all_of


def _count(
    all_of: Outcomes,
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], ScheduleOutcome],
    run: Run,
    number: int,
    shown: list[str],
) -> None:
    # A rule of faults that met no message in this schedule decides nothing: it meets some in others.
    verdict = verdict_on(run.scenario, run.records, str(run.failure or ""))
    all_of.runs += 1
    all_of.verdicts[verdict.verdict] = all_of.verdicts.get(verdict.verdict, 0) + 1
    violated = tuple(f.invariant for f in verdict.findings if f.verdict == VIOLATED)
    for name in violated:
        all_of.violated[name] = all_of.violated.get(name, 0) + 1
        all_of.witnesses.setdefault(name, run)
    matches = _matches(run.scenario, verdict)
    all_of.positive += matches is True
    all_of.negative += matches is False
    state = {name: _text(_value(verdict.outcome, name)) for name in shown or verdict.outcome}
    key = tuple(f"{name}={value}" for name, value in state.items()), violated
    if key not in known:
        if len(known) == STATES_LIMIT:
            all_of.beyond += 1
            return
        known[key] = ScheduleOutcome(state, violated, matches, number, run)
        all_of.found.append(known[key])
    known[key].count += 1


def _asked(expr: a.Expr) -> Iterable[str]:
    """The registers of a condition, each once, in its order."""
    return dict.fromkeys(f"{r.actor}:{r.register}{'.' * bool(r.field)}{r.field}" for r in _registers(expr))


def _registers(expr: a.Expr) -> Iterable[a.Reg]:
    match expr:
        case a.Not(arg=arg):
            yield from _registers(arg)
        case a.And(args=args) | a.Or(args=args):
            for arg in args:
                yield from _registers(arg)
        case a.Compare(left=left, right=right):
            yield from (term for term in (left, right) if isinstance(term, a.Reg))


def _value(registers: RegisterValues, name: str) -> object:
    whole, _, part = name.partition(".")
    value = registers.get(whole)
    return value.get(part) if part and isinstance(value, dict) else value


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "{" + fields_text(value) + "}"
    if isinstance(value, int):
        return str(value) if value < 1 << 12 else f"{value:#x}"
    return "?" if value is None else str(value)


def _matches(scenario: Scenario, verdict: Verdict) -> bool | None:
    """Whether the expression behind the quantifier is true; None where that is undecided or not asked."""
    final = verdict.final
    if final is None or scenario.final is None:
        return None
    true = {"witnessed": True, "not witnessed": False}
    if scenario.final.quantifier != "exists":
        forall = scenario.final.quantifier == "forall"
        true = {"held": forall, "violated": not forall}
    return true.get(final.result)
