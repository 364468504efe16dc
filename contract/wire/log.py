"""The services' log: one line of key=value on stderr for each event. structlog is loaded with the first line."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

_bound: dict[str, Any] = {}


def bind(**values: Any) -> None:
    """Set the fields that every line of this process contains."""
    _bound.update(values)


@lru_cache(maxsize=1)
def log() -> Any:
    import structlog

    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "service", "event"], sort_keys=True, bool_as_flag=False
            ),
        ],
    ).bind(**_bound)
