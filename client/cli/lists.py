"""``lbrlab designs``, ``invariants``, ``scenarios``, ``lang``: what there is to choose from."""

from __future__ import annotations

from rich.markup import escape

from client.cli.frame import console, print_table
from client.designs import DESIGNS
from client.litmus import library, load
from client.litmus.limits import MAX_EXECUTED
from client.litmus.reference import STATEMENTS
from client.report.documents import designs_document, invariants_document, print_json
from client.report.tables import axes_table


def designs(*, as_json: bool) -> None:
    if as_json:
        print_json(designs_document())
        return
    out = console()
    for design in DESIGNS.values():
        out.print(f"[bold]{design.name:<12}[/]{escape(design.about)}", soft_wrap=True)
    out.print()
    print_table(out, axes_table({name: design.axes() for name, design in DESIGNS.items()}))


def invariants(*, as_json: bool) -> None:
    document = invariants_document()
    if as_json:
        print_json(document)
        return
    out = console()
    for name, texts in document.items():
        out.print(f"[bold]{name}[/]: {escape(texts['about'])}", soft_wrap=True)
        out.print(f"    {escape(texts['judged'])}", style="dim", soft_wrap=True)


def scenarios(*, as_json: bool) -> None:
    """``--json``: name to purpose and file."""
    found = {path.stem: (load(path), path) for path in library()}
    if as_json:
        print_json({name: {"purpose": s.purpose, "file": str(path)} for name, (s, path) in found.items()})
        return
    out = console()
    for name, (scenario, _) in found.items():
        out.print(f"[bold]{name}[/]: {escape(scenario.purpose)}", soft_wrap=True)


def language(*, as_json: bool) -> None:
    """``--json``: who to example to meaning."""
    if as_json:
        print_json({who: dict(statements) for who, statements in STATEMENTS.items()})
        return
    out = console()
    for who, statements in STATEMENTS.items():
        out.print(f"[bold]{'any actor' if who == 'anyone' else who}[/]", soft_wrap=True)
        for text, about in statements:
            out.print(f"    {escape(text)}", soft_wrap=True)
            out.print(f"        {escape(about)}", style="dim", soft_wrap=True)
    out.print(
        f"A thread carries out at most {MAX_EXECUTED:,} statements, those of loops counted each time.", soft_wrap=True
    )
