"""Why each rule of ``fenced`` is needed: a run without the rule, and its first violation."""

from __future__ import annotations

from pathlib import Path

import msgspec

from client.claims.claim import Lab
from contract.rules import RULES

FENCED = "fenced"

SCENARIOS: dict[str, tuple[str, tuple[str, ...]]] = {
    "R9": ("r09-repair", ("drop EventCreated 1",)),
    "R10": ("r10-arbitration", ()),
    "R11": ("r11-no-trace", ()),
    "R12": ("r12-fence", ("drop Revoke 1",)),
    "R13": ("r13-whole", ()),
    "R14": ("r14-revoke", ()),
    "R15": ("r15-told", ()),
    "R16": ("r16-afresh", ()),
    "R17": ("r17-host-value", ()),
    "R20": ("r20-own-thread", ()),
}
"""Rule to the scenario and the faults that show its need."""

APART: dict[tuple[str, str, str], tuple[str, tuple[str, ...]]] = {
    ("R13", "save", "perf-switch"): ("r13-not-with-the-thread", ()),
}
"""Scenario and faults for one particular way to take a rule away, by axis and value."""


class Need(msgspec.Struct):
    """``design``: fenced without the rule. ``kept``: the violations of fenced itself in the same run, none. ``broken``:
    the violations without the rule; ``text`` is the first one, at record ``seq`` of ``run``."""

    rule: str
    design: str
    scenario: str
    faults: list[str]
    kept: list[str]
    broken: list[str]
    text: str
    seq: int
    run: str | None

    @property
    def command(self) -> str:
        faults = "".join(f" --fault {fault.replace(' ', ':')}" for fault in self.faults)
        return f"lbrlab run {self.scenario} -d {self.design}{faults}"


def needs(folder: Path | None) -> list[Need]:
    """Take each rule away from fenced in each way, and give the counterexample that appears."""
    lab = Lab(folder)
    found = []
    for rule in RULES:
        for axis, value in rule.without:
            scenario, faults = APART.get((rule.id, axis, value)) or SCENARIOS[rule.id]
            kept = lab.play(scenario, FENCED, faults=faults).broken()
            run = lab.play(scenario, f"{FENCED}+{axis}={value}", faults=faults)
            broken = run.broken()
            violation = run.violation(broken[0]) if broken else None
            text, seq = (violation.text, violation.seq) if violation else ("nothing breaks", 0)
            path = str(run.path) if run.path else None
            found.append(Need(rule.id, run.design.name, scenario, list(faults), kept, broken, text, seq, path))
    return found
