"""The Informal Trace Format of Apalache and Quint (ADR 015): one state after each record, for their viewers."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from client.export.repeat import repetition
from client.run.run import Run
from client.timeline.timeline import Timeline

WIDTH = 80


def itf(run: Run, timeline: Timeline) -> bytes:
    """Each fact of the timeline is a variable, and so are ``step``, ``record``, ``time`` in nanoseconds, and
    ``violated``, the set of all invariants that are violated so far."""
    names = {fact.name: _identifier(f"{fact.side}_{fact.name}") for fact in timeline.facts}
    values: dict[str, Any] = dict.fromkeys(names.values(), "")
    changes: dict[int, dict[str, str]] = {}
    for fact in timeline.facts:
        for seq, value in fact.changes:
            changes.setdefault(seq, {})[names[fact.name]] = value
    broken: set[str] = set()
    states = []
    for row in timeline.rows:
        values |= changes.get(row.seq, {})
        broken |= {*row.broken}
        whole = {"step": row.seq, "record": row.text, "time": {"#bigint": str(row.time)}}
        states.append({"#meta": {"index": row.seq - 1}, **whole, **values, "violated": {"#set": sorted(broken)}})
    again = repetition(run, WIDTH)
    document = {
        "#meta": {
            "format": "ITF",
            "source": again.command,
            "description": f"{run.scenario.name} under {run.design.name}: {run.verdict.verdict}",
            **({"files": again.files} if again.files else {}),
        },
        "vars": ["step", "record", "time", *names.values(), "violated"],
        "states": states,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _identifier(text: str) -> str:
    return re.sub(r"\W+", "_", text, flags=re.ASCII)
