"""Text from a file or a command line cannot command the terminal."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from client import api
from client.report.plain import plain, plain_json
from tests.cases import cases
from tests.client.cli.commands import unbroken

EVIL = "\x1b[2J\x9b\u202e"
SAFE = "\\x1b[2J\\x9b\\u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("run") / "run.json"
    api.run("central-story", "revoke-gp", faults=["drop Revoke 1"], keep_at=path)
    return path.read_text(encoding="utf-8")


def evil_run(run: str) -> str:
    """A run whose names and reasons command a terminal."""
    quoted = json.dumps(EVIL)[1:-1]
    return run.replace('"h0"', f'"h{quoted}"').replace("the LBR is another's", f"the LBR {quoted}")


def test_commands_that_read_a_run_file(run: str, in_tmp: Path) -> None:
    Path("evil.json").write_text(evil_run(run))
    for command in ("show", "check", "export", "coverage", "run", "shrink", "tape"):
        for more in ((), ("--json",)):
            result = unbroken(command, "evil.json", *more)
            assert commands_in(result.stdout + result.stderr) == set(), (command, more)
    assert SAFE in unbroken("show", "evil.json").stdout


def test_arguments(in_tmp: Path) -> None:
    Path("evil.litmus").write_text(f'LBR x\n"{EVIL}"\n')
    for given in (
        ("run", EVIL),
        ("run", "exits", "-d", EVIL),
        ("run", "exits", "--fault", EVIL),
        ("run", "evil.litmus"),
    ):
        assert commands_in(unbroken(*given).stderr) == set(), given


def commands_in(text: str) -> set[str]:
    return {char for char in text if unicodedata.category(char) in ("Cc", "Cf") and char not in "\n\t"}


@cases("text", ["", "a\tb\nc", "é 語 \u00ad", "\\x1b"])
def test_other_text_stays(text: str) -> None:
    assert plain(text) == text


def test_a_json_document_stays_the_same_document() -> None:
    assert json.loads(plain_json(json.dumps({"a": EVIL}, ensure_ascii=False))) == {"a": EVIL}
