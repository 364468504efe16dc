"""The services' log: one line on stderr for each event, as key=value or as JSON. structlog is loaded with the first
line, and without rich: only its renderer for terminals needs it, which is not used here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from types import ModuleType
from typing import Any

CONSOLE, JSON = "console", "json"

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
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            structlog.processors.JSONRenderer() if _form[0] == JSON else console,
        ],
    ).bind(**_bound)


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
