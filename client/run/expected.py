"""The verdicts that a run is expected to give, from its scenario's ``expect`` lines and from its final condition."""

from __future__ import annotations

from client.litmus import ast as a
from contract.invariants import VIOLATED


def asked_of(under: tuple[str, ...], design: str) -> bool:
    """Whether a line that may name designs applies to this one. A line without names applies to every design."""
    return not under or design in under


def expected_verdicts(scenario: a.Scenario, design: str) -> dict[str, str]:
    """Invariant to the verdict that the scenario's ``expect`` lines say it has under ``design``."""
    return {
        name: expect.verdict.replace("-", " ")
        for expect in scenario.expects
        if asked_of(expect.under, design)
        for name in expect.invariants
    }


def stated_violations(final: a.Final, verdicts: dict[str, str]) -> set[str]:
    """The invariants for which a final condition that holds says ``invariant X = violated``.

    An exists adds none: it only asks whether such a run exists."""
    if final.quantifier == "exists":
        return set()
    broken = {name for name, verdict in verdicts.items() if verdict == VIOLATED}
    return _stated(final.expr, final.quantifier == "forall") & broken


def _stated(expr: a.Expr, positive: bool) -> set[str]:
    match expr:
        case a.Not(arg=arg):
            return _stated(arg, not positive)
        case a.And(args=args) | a.Or(args=args):
            return {name for arg in args for name in _stated(arg, positive)}
        case a.Compare(left=a.Invariant(name=name), op=op, right=a.Word(value="violated")):
            return {name} if op == ("=" if positive else "!=") else set()
        case a.Compare(left=a.Word(value="violated"), op=op, right=a.Invariant(name=name)):
            return {name} if op == ("=" if positive else "!=") else set()
        case _:
            return set()
