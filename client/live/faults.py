"""The faults of messages in a live run, from rules of faults. Services draw them, so only what can be drawn for each
message without looking at others is possible."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from client.litmus.fault import FaultRule
from contract.errors import InputError
from lbrlab.v1 import live_pb2

FATES = {"drop": "drop", "duplicate": "duplicate", "corrupt": "corrupt", "reorder": "overtake"}
"""Kind of a rule to the fate that it gives a message."""
EXPECTED = f"a live run takes {', '.join(f'{kind} p=0.01' for kind in FATES)} and delay by 2ms, for all messages"
DELAY_LIMIT = 1_000_000_000
MILLION = 1_000_000


def chances_of(rules: Sequence[FaultRule]) -> live_pb2.Chances:
    """Raises InputError for a rule that a live run cannot have."""
    chances = live_pb2.Chances()
    for rule in rules:
        usual = replace(FaultRule(kind=rule.kind), chance=rule.chance, seed=rule.seed, time=rule.time)
        if rule != usual or (rule.kind not in FATES and (rule.kind != "delay" or rule.chance < 1)):
            raise InputError(EXPECTED, f"--fault '{rule}'")
        if rule.kind == "delay":
            if not 0 < rule.time <= DELAY_LIMIT:
                raise InputError("expected a delay by a time of at most 1s", f"--fault '{rule}'")
            chances.delay_ns = rule.time
        else:
            setattr(chances, FATES[rule.kind], round(rule.chance * MILLION))
        chances.seed = rule.seed or chances.seed
    return chances
