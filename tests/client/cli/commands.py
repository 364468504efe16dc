"""The command line without a shell."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
import typer.main
import typer.testing
from typer.testing import CliRunner, Result

from client.cli import console
from client.cli.app import app

WIDTH = 80
# The runner builds the commands from their signatures at each call, in 35 ms.
typer.testing._get_command = cache(typer.main.get_command)


def lbrlab(*arguments: str, given: str = "") -> Result:
    """Each message on standard error in one line. ``given``: the standard input."""
    result = folded(*arguments, given=given)
    result.stderr_bytes = re.sub(rb"\n {4}(?=\S)", b" ", result.stderr_bytes)
    return result


def folded(*arguments: str, given: str = "") -> Result:
    """As it is printed."""
    result = CliRunner().invoke(app, list(arguments), input=given)
    assert "Traceback" not in result.output
    return result


def unbroken(*arguments: str) -> Result:
    """With lines so wide that each text is in one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "PIPED_WIDTH", 1 << 12)
        return lbrlab(*arguments)


def too_wide(lines: list[str]) -> list[str]:
    """The lines that do not fit, but for a path or a command that stands alone."""
    return [line for line in lines if len(line) > WIDTH and len(line.split()) > 3]


def document(result: Result) -> dict[str, Any]:
    loaded = json.loads(result.stdout)
    assert isinstance(loaded, dict)
    return loaded
