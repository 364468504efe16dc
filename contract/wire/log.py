"""The services' log: one line of key=value on stderr for each event.

It is written here because a log library would take a quarter of the time in which a service starts."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime

_bound: dict[str, object] = {}


def bind(**values: object) -> None:
    """Set the fields that every line of this process contains."""
    _bound.update(values)


class Log:
    """Lines of ``timestamp level service event``, then the other fields by name. A line is one write, so that those of
    several threads do not mix."""

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, error: BaseException | None = None, **fields: object) -> None:
        """``error``: the exception behind it; the line contains its name, its text and its traceback."""
        if error is not None:
            fields["error"] = f"{type(error).__name__}: {error}"
            fields["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        first = {"timestamp": now, "level": level, "service": _bound.get("service"), "event": event}
        others = dict(sorted({**_bound, **fields}.items()))
        line = " ".join(f"{key}={_quoted(value)}" for key, value in {**first, **others}.items())
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


_LOG = Log()


def log() -> Log:
    return _LOG


def _quoted(value: object) -> str:
    """A value as logfmt has it: in quotes if a reader could not tell its end otherwise."""
    text = "" if value is None else str(value)
    if any(sign in text for sign in ' ="\n\r\t'):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
    return text
