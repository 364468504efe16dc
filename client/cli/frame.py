"""The frame of every command: consoles, and the handling of errors."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.report.json import ErrorDocument, print_json
from contract.errors import ExitCode, InputError, LbrlabError

P = ParamSpec("P")

PIPED_WIDTH = 120
INTERRUPTED = 130


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console that is wide enough for the tables when piped. It uses colours only on a terminal, and not with
    NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=True)


def print_table(out: Console, table: Table | Text) -> None:
    """Print a table, or a text in lines, without blanks at the ends of lines: they are pasted into mails.

    A table is as wide as it needs to be. If the terminal breaks its lines it can still be read; with columns missing it
    cannot."""
    usual = out.width
    out.width = max(usual, _needed(table)) if isinstance(table, Table) else usual
    with out.capture() as captured:
        out.print(table, soft_wrap=False)
    out.width = usual
    for line in captured.get().splitlines():
        out.print(Text.from_ansi(line.rstrip()), soft_wrap=True)


FOLDED = 24
"""The least width of a column that may be folded."""


def _needed(table: Table) -> int:
    needed = 0
    for column in table.columns:
        cells = [column.header, *column.cells]
        widest = max((Text.from_markup(str(cell)).cell_len for cell in cells), default=0)
        widest = max(widest if column.no_wrap else min(widest, FOLDED), column.min_width or 0)
        needed += widest + sum(table.padding[1::2])
    return needed


def only(flag: str, given: Sequence[str] | None) -> str | None:
    """The value of an option that may be given once, or None. Raises InputError if it is given twice."""
    if given and len(given) > 1:
        raise InputError(f"expected one, found {', '.join(given)}", flag)
    return given[0] if given else None


def finish(code: int) -> NoReturn:
    raise typer.Exit(code)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn errors into one line on standard error (with ``--json`` also a document) and the documented exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except LbrlabError as error:
            _fail(str(error), int(error.exit_code), as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt as interrupt:
            text = str(interrupt) or "interrupted"
            _fail(text, INTERRUPTED, as_json=bool(kwargs.get("as_json")))
        except (typer.Exit, typer.Abort, OSError):
            raise
        except Exception as error:
            if os.environ.get("LBRLAB_DEBUG"):
                raise
            text = f"internal error: {type(error).__name__}: {error} (LBRLAB_DEBUG=1 shows where)"
            _fail(text, int(ExitCode.SYSTEM_FAILED), as_json=bool(kwargs.get("as_json")))

    return wrapped


def _fail(text: str, code: int, *, as_json: bool) -> NoReturn:
    report_error(text, code, as_json=as_json)
    finish(code)


def report_error(text: str, code: int, *, as_json: bool) -> None:
    if as_json:
        print_json(ErrorDocument(text, code))
    print(f"lbrlab: error: {text}", file=sys.stderr)
