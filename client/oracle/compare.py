"""Compare a replayed case with the observations: states exactly, shares of time within the case's own noise."""

from __future__ import annotations

import msgspec

from client.oracle.cases import Case, ObservedPhase, Share
from client.oracle.replay import PhaseTimes, replay

TICKS_OF_NOISE = 1.5
LEAST_TOLERANCE = 0.02

KERNEL_OF = {"6.12": "v6.16", "7.3": "v6.16", "6.1": "v5.12"}
"""The rule set for a recorded condition, whose name may end in ``-up``."""


class Disagreement(msgspec.Struct):
    """``quantity``: state (ERROR or not), clock (enabled or not), share, open (whether the event exists), errno."""

    phase: int
    event: str
    quantity: str
    observed: str
    model: str


class CaseResult(msgspec.Struct):
    case: str
    kernel: str
    soft: bool
    phases: int
    shares: int
    disagreements: list[Disagreement]


def kernel_for(case: Case) -> str:
    return KERNEL_OF.get(case.condition.removesuffix("-up"), "v6.16")


def examine(case: Case, kernel: str | None = None) -> CaseResult:
    """Replay a case under a rule set (by its condition, if none is given) and compare."""
    kernel = kernel or kernel_for(case)
    result = CaseResult(case.name, kernel, case.soft, len(case.phases), 0, [])
    played = replay(case, kernel)
    for number, (times, seen) in enumerate(zip(played, case.observed.phases, strict=True)):
        _compare_phase(case, number, times, seen, result)
    return result


def _compare_phase(case: Case, number: int, times: PhaseTimes, seen: ObservedPhase, result: CaseResult) -> None:
    def disagree(event: str, quantity: str, observed: object, model: object) -> None:
        result.disagreements.append(Disagreement(number, event, quantity, str(observed), str(model)))

    errnos = [0] * len(times.errnos) if isinstance(seen.op_errno, int) else seen.op_errno
    if errnos != times.errnos:
        disagree("", "errno", errnos, times.errnos)
    begin, end = seen.snapshot_ms
    noise = max(LEAST_TOLERANCE, TICKS_OF_NOISE * case.mux_interval_ms / max(end - begin, 1e-6))
    for name in sorted(seen.events.keys() | times.end.keys()):
        if name not in times.end or name not in seen.events:
            disagree(name, "open", name in seen.events, name in times.end)
            continue
        share, model = seen.events[name], _share(times, name)
        result.shares += 1
        if share.error != model.error:
            disagree(name, "state", _word(share), _word(model))
        elif (share.ratio is None) != (model.ratio is None):
            disagree(name, "clock", _word(share), _word(model))
        elif share.ratio is not None and model.ratio is not None:
            outcomes = [r for r in (share.ratio, share.first, *share.all) if r is not None]
            if min(abs(model.ratio - r) for r in outcomes) > noise + (share.spread or 0):
                disagree(name, "share", _word(share), _word(model))


def _share(times: PhaseTimes, name: str) -> Share:
    end = times.end[name]
    if end is None:
        return Share(error=True)
    begin = times.begin.get(name)
    enabled = end.enabled - (begin.enabled if begin else 0)
    running = end.running - (begin.running if begin else 0)
    return Share(ratio=running / enabled if enabled else None)


def _word(share: Share) -> str:
    if share.error:
        return "ERROR"
    return "off" if share.ratio is None else f"{share.ratio:.4f}"
