"""Lines of recorded cases, made for tests: three events on two counters, one of them closed in a second phase."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

MS = 60


def event(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "scope": "cpu",
        "task": None,
        "pinned": False,
        "exclusive": False,
        "group": None,
        "open_disabled": False,
        "bound_to_cpu": True,
        "config": "any-counter",
    }


def phase(at: float, done: list[float], **ratios: float) -> dict[str, Any]:
    events = {name: {"ratio": r, "first": r, "spread": 0.0} for name, r in ratios.items()}
    return {"op_errno": 0, "snapshot_ms": [at + 0.5, at + MS], "op_done_ms": done, "events": events}


CASE: dict[str, Any] = {
    "id": "three-on-two",
    "counters": 2,
    "mux_interval_ms": 4,
    "duration_ms": 2 * MS,
    "tasks": ["t0"],
    "schedule": None,
    "events": [event(name) for name in "abc"],
    "phases": [
        {"at_ms": 0, "ops": [{"op": "open", "event": name} for name in "abc"]},
        {"at_ms": MS, "ops": [{"op": "close", "event": "c"}]},
    ],
    "observed": {
        "tick_phase_ms": 1.5,
        "phases": [phase(0, [0.1, 0.2, 0.3], a=0.67, b=0.67, c=0.67), phase(MS, [MS + 0.1], a=1.0, b=1.0)],
    },
}
OTHER: dict[str, Any] = {
    "id": "three-on-two",
    "condition": "6.1",
    "observed": {
        "phases": [
            {"op_errno": 0, "snapshot_ms": [0.5, MS], "events": {"a": 0.66, "b": 0.67, "c": [0.67, 0.68]}},
            {"op_errno": 0, "snapshot_ms": [MS + 0.5, 2 * MS], "events": {"a": 1.0, "b": 1}},
        ]
    },
}


def changed(line: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A copy with the fields at these paths (names and indices joined by ``__``) set; REMOVED removes one."""
    line = copy.deepcopy(line)
    for path, value in values.items():
        *way, last = [int(word) if word.isdecimal() else word for word in path.split("__")]
        place: Any = line
        for word in way:
            place = place[word]
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    return line


REMOVED = object()


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
