"""The application ``lbrlab``: its help, its version, and the way to add a command."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from contract.errors import ExitCode
from contract.messages import PROTOCOL_VERSION

app = typer.Typer(
    name="lbrlab",
    invoke_without_command=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""An executable model of the contract between host perf and KVM over the CPU's Last Branch Record.

A run is a scenario (a litmus file), a design (the agreement between the two sides), a tape (every decision that was
open) and a wire (sim: both cores in this process; grpc: two services). It gives a trace, and the trace is judged.

Exit codes: 0 everything held, 1 a violation, 2 bad input, 3 a service or its environment failed, 4 undecided,
130 interrupted, 141 the reader of the output has gone.""",
)


class Command(TyperCommand):
    """A command whose help names an argument, without its type in Python."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if isinstance(param, TyperArgument):
                vars(param)["display_type_rich"] = lambda ctx: None


subcommand = partial(app.command, cls=Command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lbrlab {version('lbrlab')}, contract protocol {PROTOCOL_VERSION}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(int(ExitCode.BAD_INPUT))
