"""Tables as one HTML page that needs no network and no script. A cell of a table leads to its run by a link."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from client.page.html import GENERATOR, asset, digest


@dataclass(frozen=True, slots=True)
class TableCell:
    """``kind``: bad, good, open, idle or "", which gives its colour. ``link``: the ``anchor`` of the row that it leads
    to, "" for none."""

    text: str
    kind: str = ""
    link: str = ""


@dataclass(slots=True)
class Grid:
    """A table whose first column names its rows. ``head``: of all columns. ``rows``: name and cells."""

    caption: str
    head: list[str]
    rows: list[tuple[str, list[TableCell]]]
    legend: Sequence[str] = ()
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class ListRow:
    """``anchor``: by which cells lead here. ``cells``: texts. ``command``: the command line that plays the run.
    ``file``: path of the run file."""

    anchor: str
    cells: tuple[str, ...]
    command: str = ""
    file: str | None = None


@dataclass(slots=True)
class RowList:
    """A list of runs, or of other things that cells lead to. ``head``: of the cells."""

    caption: str
    head: list[str]
    rows: list[ListRow]


@dataclass(slots=True)
class Section:
    """``parts``: tables, paragraphs, and SVG pictures that are escaped already (``Picture``)."""

    title: str
    parts: Sequence[Grid | RowList | str | Picture | Drawing] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    svg: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A run drawn as text. ``anchor``, ``command``, ``file``: as of ListRow. ``title``: what it shows. ``about``: in a
    few words. ``lines``: the drawing."""

    anchor: str
    title: str
    about: str
    lines: Sequence[str]
    command: str = ""
    file: str | None = None


def tables_page(title: str, about: str, sections: Sequence[Section], target: Path) -> str:
    """The page. ``target``: where it will stand; links to run files are relative to its folder."""
    style = asset("tables.css")
    policy = f"default-src 'none'; style-src '{digest(style)}'; base-uri 'none'"
    names = [(f"s{number}", section.title) for number, section in enumerate(sections)]
    return "\n".join([
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f'{GENERATOR} {escape(version("lbrlab"))}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style></head><body>",
        f"<header><h1>{escape(title)}</h1><p>{escape(about)}</p></header>",
        "<nav>" + " ".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in names) + "</nav><main>",
        *(line for (anchor, _), one in zip(names, sections, strict=True) for line in _section(anchor, one, target)),
        "</main></body></html>",
        "",
    ])  # fmt: skip


def _section(anchor: str, section: Section, target: Path) -> Iterator[str]:
    yield f'<section id="{anchor}"><h2>{escape(section.title)}</h2>'
    for part in section.parts:
        if isinstance(part, str):
            yield f"<p>{escape(part)}</p>"
        elif isinstance(part, Picture):
            yield part.svg
        elif isinstance(part, Grid):
            yield from _grid(part)
        elif isinstance(part, Drawing):
            yield from _drawing(part, target)
        else:
            yield from _list(part, target)
    yield "</section>"


def _head(names: Sequence[str]) -> str:
    return "<thead><tr>" + "".join(f"<th scope=col>{escape(name)}</th>" for name in names) + "</tr></thead><tbody>"


def _grid(grid: Grid) -> Iterator[str]:
    yield f'<div class="wide"><table class="grid{" number" if grid.numbers else ""}">'
    yield f"<caption>{escape(grid.caption)}</caption>{_head(grid.head)}"
    for name, cells in grid.rows:
        yield f"<tr><th scope=row>{escape(name)}</th>{''.join(map(_cell, cells))}</tr>"
    yield "</tbody></table></div>"
    if grid.legend:
        yield f'<p class="legend">{escape("; ".join(grid.legend))}.</p>'


def _cell(cell: TableCell) -> str:
    text = escape(cell.text)
    inner = f'<a href="#{quote(cell.link)}">{text}</a>' if cell.link and cell.text else text
    return f'<td class="{cell.kind}">{inner}</td>' if cell.kind else f"<td>{inner}</td>"


def _drawing(drawing: Drawing, target: Path) -> Iterator[str]:
    yield f'<figure id="{escape(drawing.anchor)}"><h3>{escape(drawing.title)}</h3><p>{escape(drawing.about)}</p>'
    yield f'<div class="wide"><pre>{escape(chr(10).join(drawing.lines))}</pre></div>'
    file = f" {_file(drawing.file, target)}" if drawing.file else ""
    yield f"<figcaption><code>{escape(drawing.command)}</code>{file}</figcaption></figure>"


def _list(rows: RowList, target: Path) -> Iterator[str]:
    files = any(row.file for row in rows.rows)
    commands = any(row.command for row in rows.rows)
    head = [*rows.head, *(["command"] if commands else []), *(["run file"] if files else [])]
    yield f'<div class="wide"><table class="runs"><caption>{escape(rows.caption)}</caption>{_head(head)}'
    for row in rows.rows:
        name, *others = row.cells
        cells = [f"<td>{escape(text)}</td>" for text in others]
        if commands:
            cells.append(f"<td><code>{escape(row.command)}</code></td>")
        if files:
            cells.append(f"<td>{_file(row.file, target) if row.file else ''}</td>")
        yield f'<tr id="{escape(row.anchor)}"><th scope=row>{escape(name)}</th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def _file(path: str, target: Path) -> str:
    """A link that works as long as the page and the folder of the runs stay where they are to each other."""
    link = os.path.relpath(path, target.parent)
    return f'<a href="{escape(quote(link))}">{escape(Path(path).name)}</a>'


def anchor_of(*names: str) -> str:
    """An anchor that no other names give."""
    return "r-" + "--".join("".join(map(_plain, name)) for name in names)


def _plain(char: str) -> str:
    return char if char.isalnum() and char.isascii() else f"_{ord(char):x}_"
