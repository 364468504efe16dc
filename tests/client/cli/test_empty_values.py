"""Each option and each argument refuses an empty value: a shell variable that is not set gives one."""

from __future__ import annotations

from collections.abc import Iterator

import typer.core
import typer.main

from client.cli.app import app
from tests.cases import cases
from tests.client.cli.commands import unbroken


def valued() -> Iterator[tuple[str, list[str], str]]:
    """Command, the words that give a parameter an empty value, and the name of the parameter in the error."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for name, command in group.commands.items():
        before: list[str] = []
        for param in command.params:
            if isinstance(param, typer.core.TyperArgument):
                yield name, [*before, "  "], param.metavar or ""
                before.append("given")
            elif isinstance(param, typer.core.TyperOption) and not param.is_flag:
                yield name, [f"{param.opts[0]}="], param.opts[0]


EVERY = list(valued())


def test_there_are_options_and_arguments() -> None:
    assert {("check", "RUN"), ("run", "--fault"), ("invariants", "NAME")} <= {(name, at) for name, _, at in EVERY}


@cases(("name", "words", "place"), EVERY, ids=[f"{name} {place}" for name, _, place in EVERY])
def test_an_empty_value_is_refused(name: str, words: list[str], place: str) -> None:
    result = unbroken(name, *words)

    assert result.exit_code == 2
    assert f"Invalid value for '{place}'" in result.output
    assert "it is empty" in result.output
