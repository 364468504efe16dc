"""The words that a shell completes, asked for as typer's own script of a shell asks it."""

from __future__ import annotations

import os

from client.export.registry import FORMATS
from tests.forked import Forked


def completed(*words: str) -> list[str]:
    """The words that complete the last one."""
    asked = {
        "_LBRLAB_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["lbrlab", *words]),
        "COMP_CWORD": str(len(words)),
    }
    process = Forked("client.cli.entry", [], {**os.environ, **asked})
    found, errors = process.communicate()
    assert (process.wait(), errors) == (0, ""), found
    return found.split()


def test_commands_options_and_names_are_completed() -> None:
    for words, found in (
        (["exp"], ["export"]),
        (["run", "central-story-"], ["central-story-in-full"]),
        (["run", "exits", "-d", "revoke-z"], ["revoke-zero"]),
        (["run", "exits", "-d", "v7+shut-out=n"], ["v7+shut-out=no"]),
        (["show", "x.json", "-i", "no-le"], ["no-leak"]),
        (["export", "x.json", "--to", "m"], [name for name in FORMATS if name.startswith("m")]),
        (["matrix", "--html"], ["--html"]),
        (["run", "./some-file"], []),
    ):
        assert completed(*words) == found, words
