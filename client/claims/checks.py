"""The invariants that a run shows, compared with those that a claim names."""

from __future__ import annotations

import msgspec

from client.run.run import Run


class ClaimCheck(msgspec.Struct):
    """``design``: the design of the run. ``expected``: the result that the claim states. ``found``: the result that the
    trace shows. ``agrees``: whether both are the same. ``run``: file of the run that shows it, ``seq`` the record in it
    (0: none in particular)."""

    design: str
    expected: str
    found: str
    agrees: bool
    run: str | None = None
    seq: int = 0


def check(run: Run, expected: str, found: str, agrees: bool, seq: int = 0) -> ClaimCheck:
    return ClaimCheck(run.design.name, expected, found, agrees, str(run.path) if run.path else None, seq)


def violates(run: Run, *invariants: str) -> ClaimCheck:
    """All of them are expected to be violated."""
    return _invariants(run, invariants, "violated")


def violates_any(run: Run, *invariants: str) -> ClaimCheck:
    """At least one of them is expected to be violated."""
    wanted = " or ".join(invariants)
    broken = [name for name in invariants if run.verdict_of(name) == "violated"]
    found = _say(run, invariants)
    violation = run.violation(broken[0]) if broken else None
    return check(run, f"{wanted} violated", found, bool(broken), violation.seq if violation else 0)


def holds(run: Run, *invariants: str) -> ClaimCheck:
    """None of them is expected to be violated, and at least one to be exercised."""
    names = invariants or tuple(f.invariant for f in run.findings)
    broken = [name for name in names if run.verdict_of(name) == "violated"]
    exercised = any(run.verdict_of(name) == "held" for name in names)
    violation = run.violation(broken[0]) if broken else None
    expected = f"{', '.join(invariants) or 'everything'} held"
    return check(run, expected, _say(run, names), not broken and exercised, violation.seq if violation else 0)


def shows(run: Run, *invariants: str) -> ClaimCheck:
    """The result without a claim about it: it is only reported."""
    names = invariants or tuple(f.invariant for f in run.findings)
    violation = next((v for name in names if (v := run.violation(name))), None)
    return check(run, "to be computed", _say(run, names), True, violation.seq if violation else 0)


def _invariants(run: Run, names: tuple[str, ...], verdict: str) -> ClaimCheck:
    agrees = all(run.verdict_of(name) == verdict for name in names)
    violation = next((v for name in names if (v := run.violation(name))), None)
    expected = f"{', '.join(names)} {verdict}"
    return check(run, expected, _say(run, names), agrees, violation.seq if violation else 0)


def _say(run: Run, names: tuple[str, ...]) -> str:
    broken = [name for name in names if run.verdict_of(name) == "violated"]
    if broken:
        first = run.violation(broken[0])
        text = f": {first.text}" if first else ""
        return f"{', '.join(broken)} violated{text}"
    held = [name for name in names if run.verdict_of(name) == "held"]
    idle = [name for name in names if run.verdict_of(name) == "not exercised"]
    is_open = [name for name in names if run.verdict_of(name) == "open"]
    parts = [f"{', '.join(is_open)} open"] if is_open else []
    if len(names) > 4:
        return ", ".join([f"{len(held)} held", *parts, f"{len(idle)} not exercised"])
    parts = [*([f"{', '.join(held)} held"] if held else []), *parts]
    return "; ".join([*parts, *([f"{', '.join(idle)} not exercised"] if idle else [])])
