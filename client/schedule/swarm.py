"""Fault rules for one run, drawn as in swarm testing (Groce, Zhang, Eide, Chen, Regehr: Swarm Testing, ISSTA 2012).

Each run draws the kinds of faults that it uses: a kind that is left out cannot hide what another one shows. A rule is
drawn from the example of its kind, so a new kind needs no code here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random

from msgspec.structs import replace

from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault

MESSAGES_LIMIT = 12
"""A rule for one message names one of the first so many that fit."""
MILLISECONDS = (1, 4, 12, 40)
SEEDS = 1_000_000_000


@cache
def _example(kind: str) -> FaultRule:
    return parse_fault(FAULT_KINDS[kind].example, "faults")


def drawn_kinds(rng: Random, kinds: Sequence[str]) -> list[str]:
    """Each of the kinds with probability 1/2."""
    return [kind for kind in kinds if rng.random() < 0.5]


def drawn_rules(rng: Random, kinds: Sequence[str]) -> tuple[FaultRule, ...]:
    """One rule for each of these kinds, in random order: the first rule that meets a message decides."""
    order = rng.sample(list(kinds), len(kinds))
    return tuple(_rule(rng, kind) for kind in order)


def _rule(rng: Random, kind: str) -> FaultRule:
    """Half of the rules meet one message, half meet each with some probability. A third name the messages of the
    example. A fault of a link, a service or a thread strikes the target of the example, or that of the message."""
    about = FAULT_KINDS[kind]
    rule = _example(kind)
    if rng.random() < 2 / 3:
        rule = replace(rule, messages=(), session="", to_host=None, vcpu="", event=0)
    if about.strikes in ("link", "service", "thread") and rng.random() < 0.5:
        rule = replace(rule, target="")
    if rng.random() < 0.5:
        n = rng.randint(1, MESSAGES_LIMIT)
        rule = replace(rule, first=n, last=n, chance=1.0, seed=0)
    else:
        chance = rng.choice((0.03, 0.1, 0.3))
        rule = replace(rule, first=1, last=0, chance=chance, seed=rng.randrange(SEEDS))
    if about.amount:
        time = about.timed and rng.random() < 0.5
        by = 0 if time else rng.randint(1, 10)
        rule = replace(
            rule, amount=0 if by == about.usual else by, time=rng.choice(MILLISECONDS) * 1_000_000 if time else 0
        )
    return rule
