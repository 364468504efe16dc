"""The verdict on one run: invariants, final condition, whether it came to its end."""

from __future__ import annotations

import msgspec

from client.check.final import Registers, final_text, registers_of, result_of
from client.check.judge import Finding, judge
from client.litmus.ast import Final, Scenario
from client.tape.faults import unmet_text
from contract.errors import ExitCode
from contract.trace import AnyRecord, End, Rest, Setup

EXIT_CODES = {
    "held": ExitCode.HELD,
    "violated": ExitCode.VIOLATED,
    "failed": ExitCode.SYSTEM_FAILED,
    "undecided": ExitCode.UNDECIDED,
}


NOT_ASKED = "not asked"


class FinalResult(msgspec.Struct):
    """``result``: witnessed, not witnessed (exists); held, violated (~exists, forall); undecided (it depends on
    registers of threads that never finished); not asked (of other designs)."""

    condition: str
    result: str


class Verdict(msgspec.Struct):
    """``verdict``: ``violated`` (an invariant, or a final ~exists or forall), ``failed`` (a service did),
    ``undecided`` (a thread never finished, the trace has no end, a fault did not apply, exists was not witnessed, or
    nothing was exercised), else ``held``.
    ``why`` says in words what decided it. ``unfinished``: threads with statements left, and what they wait for."""

    verdict: str
    why: str
    findings: list[Finding]
    outcome: Registers
    final: FinalResult | None
    unfinished: dict[str, str]

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.verdict]


def verdict_on(scenario: Scenario, records: list[AnyRecord], failed: str = "", unmet: tuple[str, ...] = ()) -> Verdict:
    """Judge a run from its scenario and trace; ``failed`` is what ended it early, if anything did, ``unmet`` are faults
    that matched no message."""
    findings = judge(records)
    verdicts = {f.invariant: f.verdict for f in findings}
    outcome = registers_of(records)
    final = None
    ended = next((r for r in records if isinstance(r, End)), None)
    unfinished = ended.unfinished if ended else {}
    still = unfinished if ended else [block.name for block in scenario.blocks]
    if scenario.final is not None and not failed:
        asked = _asked(scenario.final, records)
        actors = {actor for thread in still for actor in thread.split("+")}
        result = result_of(scenario.final, outcome, verdicts, actors) if asked else NOT_ASKED
        final = FinalResult(final_text(scenario.final), result)
    open_ends = [unmet_text(fault) for fault in unmet]
    if not failed and not isinstance(records[-1], Rest):
        open_ends.append(f"the trace ends at record {len(records)}, before the run did")
    verdict, why = _decide(findings, final, unfinished, failed, open_ends)
    return Verdict(verdict, why, findings, outcome, final, unfinished)


def _asked(final: Final, records: list[AnyRecord]) -> bool:
    design = next((r.design for r in records if isinstance(r, Setup)), "")
    return not final.under or design in final.under


def _decide(
    findings: list[Finding],
    final: FinalResult | None,
    unfinished: dict[str, str],
    failed: str,
    open_ends: list[str],
) -> tuple[str, str]:
    broken = [f.invariant for f in findings if f.verdict == "violated"]
    held = sum(f.verdict == "held" for f in findings)
    if failed:
        return "failed", failed
    if broken:
        return "violated", ", ".join(broken)
    if final is not None and final.result == "violated":
        return "violated", final.condition
    if open_ends:
        return "undecided", "; ".join(open_ends)
    if unfinished:
        waits = (f"{thread} ({why or 'could step'})" for thread, why in unfinished.items())
        return "undecided", f"not finished: {', '.join(waits)}"
    if final is not None and final.result == "not witnessed":
        return "undecided", f"not witnessed on this tape: {final.condition}"
    if not held and (final is None or final.result == NOT_ASKED):
        return "undecided", "nothing that could have broken an invariant happened"
    return "held", f"{held} invariant{'s' * (held != 1)} held, {len(findings) - held} not exercised"
