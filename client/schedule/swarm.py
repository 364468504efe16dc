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
from contract.messages import MESSAGE_KINDS

MESSAGES_LIMIT = 12
"""A rule for one message names one of the first so many that fit."""
ENDLESS = ("drop", "corrupt", "cut", "crash", "shutdown", "duplicate")
"""Kinds that lose messages, or add so many that no run is needed to know what happens."""
OF_THE_LBR = ("EventCreated", "EventState", "SchedIn", "Revoke", "Ack", "Renew", "Available")
"""Messages that say who has the LBR. A rule that names one message names one of these half of the time."""
MILLISECONDS = (1, 4, 12, 40)
RATES = (800_000, 1_250_000)
"""Of clocks, in millionths: slower and faster than the host's."""
SHARES = (0.1, 0.2, 0.5)
"""Probabilities of each kind."""
SEEDS = 1_000_000_000


@cache
def _example(kind: str) -> FaultRule:
    return parse_fault(FAULT_KINDS[kind].example, "faults")


def drawn_kinds(rng: Random, kinds: Sequence[str]) -> list[str]:
    """Each of the kinds with the same probability, which is drawn, too: some runs have one or two faults, some many."""
    share = rng.choice(SHARES)
    return [kind for kind in kinds if rng.random() < share]


def drawn_rules(rng: Random, kinds: Sequence[str]) -> tuple[FaultRule, ...]:
    """One rule for each of these kinds, in random order: the first rule that meets a message decides."""
    order = rng.sample(list(kinds), len(kinds))
    return tuple(_rule(rng, kind) for kind in order)


def _rule(rng: Random, kind: str) -> FaultRule:
    """A third of the rules name the messages of the example, a third one kind of message, a third any message."""
    about = FAULT_KINDS[kind]
    rule = _example(kind)
    match rng.randrange(3):
        case 0:
            rule = replace(rule, messages=(), session="", to_host=None, vcpu="", event=0)
        case 1:
            message = rng.choice(OF_THE_LBR if rng.random() < 0.5 else MESSAGE_KINDS)
            rule = replace(rule, messages=(message,), session="", to_host=None, vcpu="", event=0)
    if about.strikes in ("link", "service", "thread") and rng.random() < 0.5:
        rule = replace(rule, target="")
    if about.strikes == "clock":
        rule = replace(rule, rate=rng.choice(RATES))
    rule = _struck(rng, rule)
    if about.amount:
        time = about.timed and rng.random() < 0.5
        by = 0 if time else rng.randint(1, 10)
        rule = replace(
            rule, amount=0 if by == about.usual else by, time=rng.choice(MILLISECONDS) * 1_000_000 if time else 0
        )
    return rule


def _struck(rng: Random, rule: FaultRule) -> FaultRule:
    """Which of the messages that fit the rule meets: one, the first few, all, or each with some probability. All are
    never lost: a run in which a message is lost each time ends only at the limit of timers. Nor are all taken twice."""
    how = rng.choice(("one", "one", "chance", "chance", "first", "all"))
    if how == "all" and rule.kind in ENDLESS:
        how = "first"
    n = rng.randint(1, MESSAGES_LIMIT)
    match how:
        case "one":
            return replace(rule, first=n, last=n, chance=1.0, seed=0)
        case "first":
            return replace(rule, first=1, last=n, chance=1.0, seed=0)
        case "all":
            rule = replace(rule, first=1, last=0, chance=1.0, seed=0)
            return rule if rule.of_messages or FAULT_KINDS[rule.kind].strikes == "message" else replace(rule, each=True)
    return replace(rule, first=1, last=0, chance=rng.choice((0.03, 0.1, 0.3)), seed=rng.randrange(SEEDS))
