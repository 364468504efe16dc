"""Consoles, and the printing of texts and tables in lines that fit."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from textwrap import TextWrapper

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from client.report.plain import plain

PIPED_WIDTH = 80
FEW = 4
"""A last table has few columns if the first one has so many times as many."""


class _Console(Console):
    """Text from files and services cannot command the terminal."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text), style, control)


def console(*, stderr: bool = False) -> Console:
    """A console that has 80 columns when piped. It uses colours only on a terminal, and not with NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=True)


_WRAPPER = functools.partial(
    TextWrapper, break_long_words=False, break_on_hyphens=False, replace_whitespace=False, expand_tabs=False
)


def print_text(out: Console, text: Text | str, *, indent: int = 0, hang: int = 0) -> None:
    """Print words in lines of the console's width. All lines but the first begin ``hang`` columns further in. A text is
    markup. A word that is too long stays whole, because it is a path or a command."""
    whole = Text.from_markup(text) if isinstance(text, str) else text
    at = 0
    for line in _WRAPPER(out.width - indent, subsequent_indent=" " * hang).wrap(whole.plain):
        words = line.lstrip() if at else line
        at = whole.plain.index(words, at)
        column = indent + (hang if at else 0)
        out.print(Text(" " * column).append_text(whole[at : at + len(words)]), soft_wrap=True)
        at += len(words)


def print_items(out: Console, items: Iterable[str], style: str = "") -> None:
    """Print items in lines of the console's width. No item is broken."""
    line = ""
    for item in items:
        if line and len(line) + 2 + len(item) > out.width:
            out.print(line, style=style, markup=False)
            line = ""
        line += f"  {item}" if line else item
    out.print(line, style=style, markup=False)


def print_table(out: Console, table: Table) -> None:
    """Print a table without blanks at the ends of its lines: they are pasted into mails.

    A table is as wide as it needs to be. If the terminal breaks its lines it can still be read; with columns missing it
    cannot."""
    usual = out.width
    out.width = max(usual, Measurement.get(out, out.options.update(max_width=1 << 16), table).maximum)
    with out.capture() as captured:
        out.print(table, soft_wrap=False)
    out.width = usual
    for line in captured.get().splitlines():
        out.print(Text.from_ansi(line.rstrip()), soft_wrap=True)


def print_columns(
    out: Console, head: Sequence[str], rows: Sequence[Sequence[str]], *, apart: int = 2, right: bool = False
) -> None:
    """Print a table whose first column names its rows. If the columns do not fit, it becomes several tables, one below
    the other. ``apart``: blanks between columns. ``right``: the columns hold numbers."""
    name, *others = zip(head, *rows, strict=True)
    widths = [max(Text.from_markup(cell).cell_len for cell in column) + apart for column in (name, *others)]
    for nth, (at, end) in enumerate(_blocks(widths[1:], out.width - widths[0] + apart)):
        if nth:
            out.print()
        table = Table(pad_edge=False, box=None, padding=(0, apart, 0, 0))
        table.add_column(name[0], no_wrap=True)
        for column in others[at:end]:
            table.add_column(column[0], no_wrap=True, justify="right" if right else "left")
        for cells in zip(*(column[1:] for column in (name, *others[at:end])), strict=True):
            table.add_row(*cells)
        print_table(out, table)


def _blocks(widths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """The columns of each table, from the first to the one behind the last: as many as fit, at least one. If few are
    left for the last table, all tables get as many columns, if they fit."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(widths) or not found:
        end, used = at + 1, sum(widths[at : at + 1])
        while end < len(widths) and used + widths[end] <= room:
            used += widths[end]
            end += 1
        found.append((at, end))
        at = end
    last = len(widths) - found[-1][0]
    if len(found) > 1 and (last == 1 or FEW * last <= found[0][1]):
        cuts = [len(widths) * nth // len(found) for nth in range(len(found) + 1)]
        even = list(pairwise(cuts))
        if all(sum(widths[start:end]) <= room for start, end in even):
            return even
    return found


def size_of(content: bytes) -> str:
    """The size of a file that is written."""
    return f"{len(content):,} bytes" if len(content) < 10_000 else f"{len(content) / 1000:,.0f} kB"


def tell(kind: str, text: str) -> None:
    """Print an error or a warning on standard error, in lines that fit."""
    print_text(console(stderr=True), Text(f"lbrlab: {kind}: {text}"), hang=4)
