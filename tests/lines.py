"""The lines that the log of a service gets in a test."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from contract.wire import log as wire_log


class Lines:
    """The log of this process from now until the end of the test. Make it in the test itself: pytest replaces
    sys.stderr between a fixture and the test."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._stream = io.StringIO()
        patch.setattr(sys, "stderr", self._stream)
        patch.setattr(wire_log, "_form", [wire_log.JSON])
        wire_log.log.cache_clear()

    def of(self, *events: str) -> list[dict[str, Any]]:
        """The lines of these events, without time and level; all lines if none is named."""
        made = map(json.loads, self._stream.getvalue().splitlines())
        told = [line for line in made if not events or line["event"] in events]
        return [{name: value for name, value in line.items() if name not in ("timestamp", "level")} for line in told]
