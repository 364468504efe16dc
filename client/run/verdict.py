"""The verdict on one run: invariants, final condition, and whether the run reached its end."""

from __future__ import annotations

import msgspec

from client.check.judge import Finding, judge
from client.litmus.ast import Scenario
from client.run.expected import asked_of, expected_verdicts, stated_violations
from client.run.final import UNDECIDED, RegisterValues, final_text, registers_of, result_of
from client.schedule.faults import unmet_text
from contract.errors import ExitCode
from contract.invariants import HELD, NOT_EXERCISED, OPEN, VIOLATED
from contract.trace import AnyRecord, End, Rest, Setup

FAILED = "failed"
"""The verdict of a run in which a service, a core or the player raised an error."""
EXIT_CODES = {
    "held": ExitCode.HELD,
    "expected": ExitCode.HELD,
    "violated": ExitCode.VIOLATED,
    FAILED: ExitCode.SYSTEM_FAILED,
    "undecided": ExitCode.UNDECIDED,
}


NOT_ASKED = "not asked"
CONDITION = "condition"


class FinalResult(msgspec.Struct):
    """The result of the final condition.

    ``result`` is witnessed or not witnessed (exists); held or violated (~exists, forall); not asked (it is for other
    designs); or undecided: it depends on registers of threads that never finished, or on the order of a register that
    holds no number, which ``reason`` then names."""

    condition: str
    result: str
    reason: str = ""


class Verdict(msgspec.Struct):
    """The verdict of one run.

    ``verdict`` is one of: ``violated`` (an invariant that is not expected to be, a final ~exists or forall, or an
    expectation); ``failed`` (a service failed); ``undecided`` (a thread never finished, the trace has no end, a fault
    did not apply, exists was not witnessed, the condition orders a value that is not a number, or nothing was
    exercised); ``expected`` (everything is as expected, and some invariants are violated); else ``held``. An open
    liveness invariant alone decides nothing, like an invariant that was not exercised: a story may end while something
    is still due. ``reason`` then names it.

    ``reason``: the facts that decided, in words. ``unfinished``: the threads that have statements left, and the thing
    that each waits for.
    ``surprises``: each deviation from the expectation: an invariant that is violated, ``condition`` (the final
    condition is false), ``expect violated X`` (the expected violation did not occur), ``undecided``. A failed run has
    no surprises."""

    verdict: str
    reason: str
    findings: list[Finding]
    outcome: RegisterValues
    final: FinalResult | None
    unfinished: dict[str, str]
    surprises: list[str] = []

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.verdict]


def verdict_on(
    scenario: Scenario,
    records: list[AnyRecord],
    failed: str = "",
    unmet: tuple[str, ...] = (),
    findings: list[Finding] | None = None,
) -> Verdict:
    """Judge a run from its scenario and trace. ``failed`` is the failure that ended it early, if any. ``unmet`` are the
    faults without a probability that changed nothing. ``findings``: those of the trace, where they are known."""
    findings = judge(records) if findings is None else findings
    verdicts = {f.invariant: f.verdict for f in findings}
    outcome = registers_of(records)
    final = None
    ended = next((r for r in reversed(records) if isinstance(r, End)), None)
    unfinished = ended.unfinished if ended else {}
    still = unfinished if ended else [block.name for block in scenario.blocks]
    design = next((r.design for r in records if isinstance(r, Setup)), "")
    expected = expected_verdicts(scenario, design)
    if scenario.final is not None and not failed:
        asked = asked_of(scenario.final.under, design)
        actors = {actor for thread in still for actor in thread.split("+")}
        known = verdicts if isinstance(records[-1], Rest) else _settled(verdicts)
        result, lacking = result_of(scenario.final, outcome, known, actors) if asked else (NOT_ASKED, "")
        final = FinalResult(final_text(scenario.final), result, lacking)
        if result == "held":
            expected |= dict.fromkeys(stated_violations(scenario.final, verdicts), VIOLATED)
    open_ends = [unmet_text(fault) for fault in unmet]
    if not failed and not isinstance(records[-1], Rest):
        open_ends.append(f"the trace ends at record {len(records)}, before the run did")
    open_ends += [f"not finished: {_waits(unfinished)}"] if unfinished else []
    surprises, (verdict, why) = _decide(verdicts, expected, final, failed, open_ends)
    return Verdict(verdict, why, findings, outcome, final, unfinished, surprises)


def _settled(verdicts: dict[str, str]) -> dict[str, str]:
    """The findings that a trace with an early end allows. A violation stays a violation; every other verdict may still
    change."""
    return {name: verdict for name, verdict in verdicts.items() if verdict == VIOLATED}


def _summary(verdicts: dict[str, str]) -> str:
    """The numbers of invariants that held, are open, and were not exercised."""
    held = sum(verdict == HELD for verdict in verdicts.values())
    is_open = [name for name, verdict in verdicts.items() if verdict == OPEN]
    parts = [f"{held} invariant{'s' * (held != 1)} held"]
    parts += [f"{len(is_open)} open ({', '.join(is_open)})"] if is_open else []
    idle = sum(verdict == NOT_EXERCISED for verdict in verdicts.values())
    return ", ".join([*parts, f"{idle} not exercised"])


def _nothing_shown(verdicts: dict[str, str]) -> str:
    is_open = [name for name, verdict in verdicts.items() if verdict == OPEN]
    if is_open:
        return f"no invariant was seen to hold; {', '.join(is_open)} open"
    return "nothing that could have broken an invariant happened"


def _waits(unfinished: dict[str, str]) -> str:
    return ", ".join(f"{thread} ({why or 'could step'})" for thread, why in unfinished.items())


def _decide(
    verdicts: dict[str, str], expected: dict[str, str], final: FinalResult | None, failed: str, open_ends: list[str]
) -> tuple[list[str], tuple[str, str]]:
    """The surprises, and the verdict with its reason. ``open_ends``: why the run is not over."""
    broken = [name for name, verdict in verdicts.items() if verdict == VIOLATED]
    held = sum(verdict == HELD for verdict in verdicts.values())
    wrong = {name: name for name in broken if expected.get(name) != VIOLATED}
    if final is not None and final.result == VIOLATED:
        wrong[CONDITION] = final.condition
    missing = {
        f"expect {wanted.replace(' ', '-')} {name}": f"{name} is {verdicts[name]}, expected {wanted}"
        for name, wanted in expected.items()
        if verdicts[name] not in (wanted, VIOLATED) and not open_ends
    }
    if failed:
        return [], ("failed", failed)
    if wrong or missing:
        every = wrong | missing
        return list(every), (VIOLATED, "; ".join(every.values()) if missing else ", ".join(every.values()))
    undecided = "; ".join(open_ends)
    if not undecided and final is not None:
        undecided = (
            f"not witnessed on this tape: {final.condition}" if final.result == "not witnessed" else final.reason
        )
    if not undecided and not held and not broken and (final is None or final.result == NOT_ASKED):
        undecided = _nothing_shown(verdicts)
    if undecided:
        return [UNDECIDED], (UNDECIDED, undecided)
    summary = _summary(verdicts)
    if broken:
        return [], ("expected", f"{', '.join(broken)} violated as expected; {summary}")
    idle = all(verdict == NOT_EXERCISED for verdict in verdicts.values())
    return [], ("held", "the final condition; no invariant was exercised" if idle else summary)
