"""The help of each command: what an option takes is named in words, not by its type in Python."""

from __future__ import annotations

import re

from client.cli.app import app
from tests.cases import cases
from tests.client.cli.commands import lbrlab

NAMES = [command.name or "" for command in app.registered_commands]


@cases("name", NAMES)
def test_no_type_of_python_is_named(name: str) -> None:
    text = lbrlab(name, "--help").stdout
    assert "Usage: " in text
    assert re.findall(r"<[^=>]*>|\[\[|\b(?:INTEGER|TEXT|FLOAT|PATH|str|int|float)\b", text) == []


@cases("name", NAMES)
def test_help_fits_80_columns(name: str) -> None:
    text = lbrlab(name, "--help").stdout.splitlines()
    assert [line for line in text if len(line) > 80] == []
