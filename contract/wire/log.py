"""The services' log: one line on stderr for each change of state, as key=value or as JSON. Messages have no lines.

A line of a call has the peer of that call. Of each event that a peer can repeat at will, ``REPEATS`` lines of one
session are written in ``REPEATS_PER`` seconds, and the next line tells how many were left out.
structlog is loaded with the first line, and without rich: only its renderer for terminals needs it, which is not used
here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from types import ModuleType
from typing import Any

CONSOLE, JSON = "console", "json"
REPEATABLE = "-refused", "internal-error", "attached", "link-up", "link-lost"
"""The ends of the names of such events."""
REMEMBERED = 1000
"""Events and sessions whose lines are counted."""
REPEATS, REPEATS_PER = 10, 60.0

PEER: ContextVar[str] = ContextVar("peer")
"""The peer of the call that is being handled, as a text: a task may outlive the call that began it, and gRPC ends the
process if the context of a call is asked then."""

_bound: dict[str, Any] = {}
_form = [CONSOLE]


def bind(**values: Any) -> None:
    """Set the fields that every line of this process contains."""
    _bound.update(values)


def log_as(form: str) -> None:
    """Set the form of the lines, CONSOLE or JSON, before the first one."""
    _form[0] = form


@lru_cache(maxsize=1)
def log() -> Any:
    structlog = _structlog()
    console = structlog.processors.LogfmtRenderer(
        key_order=["timestamp", "level", "service", "event"], sort_keys=True, bool_as_flag=False
    )
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            _Limiter(structlog.DropEvent),
            _with_peer,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            structlog.processors.JSONRenderer() if _form[0] == JSON else console,
        ],
    ).bind(**_bound)


def _with_peer(_: object, __: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    if "peer" not in fields and (peer := PEER.get(None)) is not None:
        fields["peer"] = peer
    return fields


class _Limiter:
    """``drop``: the exception with which a processor of structlog leaves a line out."""

    def __init__(self, drop: type[Exception]) -> None:
        self._drop = drop
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}
        """Event and session to the begin of their span of time, and their lines since then."""

    def __call__(self, _: object, __: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
        event = fields["event"]
        if not event.endswith(REPEATABLE):
            return fields
        now, key = time.monotonic(), (event, fields.get("session", ""))
        since, count = self._seen.pop(key, (now, 0))
        if now - since >= REPEATS_PER:
            if count > REPEATS:
                fields["left_out"] = count - REPEATS
            since, count = now, 0
        self._seen[key] = since, count + 1
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if count >= REPEATS:
            raise self._drop
        return fields


def _structlog() -> ModuleType:
    """structlog imports rich if it is there, which takes 0.1 s of CPU: a quarter of the start of a service."""
    hide = "rich" not in sys.modules
    if hide:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog
    finally:
        if hide:
            del sys.modules["rich"]
    return structlog


def _printable(_: object, __: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A name or a reason that a peer gave cannot move the cursor of a terminal."""
    for key, value in fields.items():
        if isinstance(value, str) and not value.isprintable():
            fields[key] = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in value)
    return fields
