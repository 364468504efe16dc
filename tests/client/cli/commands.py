"""The command line without a shell."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from client.cli.app import app


def lbrlab(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert "Traceback" not in result.output
    return result


def document(result: Result) -> dict[str, Any]:
    loaded = json.loads(result.stdout)
    assert isinstance(loaded, dict)
    return loaded
