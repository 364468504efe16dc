"""The application ``lbrlab``: its help, its version, and the way to add a command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

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

Exit codes: 0 everything held, 1 a violation, 2 bad input, 3 a service or its environment failed (for
'campaign' also: the canary was not caught), 4 undecided, 130 interrupted, 141 the reader of the output has gone.""",
)


class LbrlabCommand(TyperCommand):
    """A command whose help names an argument without its type in Python, and that takes no empty value and no NaN."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if isinstance(param, TyperArgument):
                vars(param)["display_type_rich"] = lambda ctx: None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty values: such a value is mostly a shell variable that is not set, and taken as a default it would
        show or play something that nobody asked for. Refuse numbers that are not finite: no range excludes NaN."""
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            self._refuse(ctx, given, lambda value: isinstance(value, str) and not value.strip(), "it is empty")
        rest = super().parse_args(ctx, args)
        self._refuse(
            ctx, ctx.params, lambda value: isinstance(value, float) and not isfinite(value), "it is not finite"
        )
        return rest

    def _refuse(self, ctx: Any, given: dict[str, Any], is_bad: Callable[[Any], bool], flaw: str) -> None:
        for param in self.params:
            value = given.get(param.name or "")
            if any(map(is_bad, value if isinstance(value, (list, tuple)) else [value])):
                assert isinstance(param, (TyperArgument, TyperOption))
                raise typer.BadParameter(flaw, ctx=ctx, param=param)


subcommand = partial(app.command, cls=LbrlabCommand)


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
