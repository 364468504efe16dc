"""``lbrlab designs``, ``invariants``, ``scenarios``, ``lang``, ``msrs``: lists of everything that commands take by
name."""

from __future__ import annotations

import sys
from textwrap import wrap

from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape

from client.check.judge import MONITORS
from client.cli.frame import console
from client.designs import all_designs, design_named, format_design
from client.document.pages import designs_page, invariants_page, language_page, msrs_page
from client.document.pmu_msrs import LEGEND, pmu_msr_lines, pmu_msr_rows
from client.litmus import library, load
from client.litmus.limits import MAX_EXECUTED
from client.litmus.reference import END, HEAD, SETTINGS, STATEMENTS, WORDS
from client.litmus.spelling import unknown
from client.report.json import print_json
from client.report.list_documents import (
    AxisDocument,
    InvariantDocument,
    axes_document,
    designs_document,
    invariants_document,
)
from contract.control import MachineSpec, VmSpec
from contract.design import Condition
from contract.errors import InputError, RefusedError
from contract.kernels import KERNELS, unknown_kernel

WIDTH = 80
PART = 20
"""The columns of a line in a definition, and of its title."""


def designs(names: tuple[str, ...], *, axes: bool, markdown: bool, as_json: bool) -> None:
    """``names``: list these only, with every axis; all if none is named. ``axes``: list by axis."""
    _one_format(markdown, as_json)
    chosen = [design_named(name) for name in names] or list(all_designs().values())
    if len(names) > 1 and not (as_json or axes or markdown):
        raise InputError("a design file holds one design, expected one name, or --json, or --axes", " ".join(names))
    out = console()
    if markdown:
        sys.stdout.write(designs_page(chosen))
    elif as_json:
        print_json(axes_document(chosen) if axes else designs_document(chosen))
    elif axes:
        _print_axes(out, axes_document(chosen))
    elif names:
        out.print("\n".join(format_design(design, explained=True) for design in chosen), markup=False, end="")
    else:
        wide = max(len(design.name) for design in chosen)
        for design in chosen:
            out.print(f"[bold]{design.name:<{wide}}[/]  {escape(design.about)}", soft_wrap=True)
            for condition in Condition:
                if claimed := [c.invariant for c in design.claims if c.condition is condition]:
                    out.print(f"{'':<{wide}}  [dim]claims, {condition}: {', '.join(claimed)}[/]", soft_wrap=True)


def _one_format(markdown: bool, as_json: bool) -> None:
    if markdown and as_json:
        raise InputError("expected one of them", "--markdown, --json")


def _print_axes(out: Console, document: dict[str, AxisDocument]) -> None:
    for name, axis in document.items():
        out.print(f"[bold]{name}[/]: {escape(axis.about)}", soft_wrap=True)
        wide = max(map(len, axis.values))
        for value, found in axis.values.items():
            about = f"{escape(found.about)}: " if found.about else ""
            out.print(f"    {value:<{wide}}  [dim]{about}[/]{', '.join(found.designs) or '-'}", soft_wrap=True)


def invariants(name: str, *, markdown: bool, as_json: bool) -> None:
    """``name``: print its definition; without a name, one line for each invariant."""
    _one_format(markdown, as_json)
    known = {invariant.name: invariant for invariant in MONITORS}
    if name and name not in known:
        raise InputError(unknown("invariant", name, known), "NAME")
    document = invariants_document([known[name]] if name else MONITORS)
    if markdown:
        sys.stdout.write(invariants_page(document))
        return
    if as_json:
        print_json(document)
        return
    out = console()
    wide = max(map(len, known))
    for title, invariant in document.items():
        if name:
            out.print(f"[bold]{title}[/]: {escape(invariant.about)}", soft_wrap=True)
            _print_definition(out, invariant)
            continue
        first, *more = wrap(invariant.about, WIDTH - wide - 2, break_on_hyphens=False)
        out.print(f"[bold]{title:<{wide}}[/]  {escape(first)}", soft_wrap=True)
        for line in more:
            out.print(f"{'':<{wide}}  {escape(line)}", soft_wrap=True)


def _print_definition(out: Console, invariant: InvariantDocument) -> None:
    kind = "liveness: something happens in the end" if invariant.liveness else "safety: nothing bad happens"
    parts = {
        "kind": kind,
        "definition": invariant.text,
        "broken by": invariant.broken_by,
        "held if": invariant.evidence,
        "open while": invariant.open_while,
        "cannot see": invariant.unseen,
    }
    for title, text in parts.items():
        if text:
            _print_part(out, title, text)
    out.print("[bold]reads[/]", soft_wrap=True)
    for record, taken in invariant.reads.items():
        _print_part(out, f"  {record}", taken)


def _print_part(out: Console, title: str, text: str) -> None:
    first, *more = wrap(text, WIDTH - PART, break_on_hyphens=False)
    out.print(f"[bold]{title:<{PART}}[/]{escape(first)}", soft_wrap=True)
    for line in more:
        out.print(f"{'':<{PART}}{escape(line)}", soft_wrap=True)


def scenarios(beginning: str, *, as_json: bool) -> None:
    """``beginning``: list only names that begin so; a whole name prints the text of its scenario. ``--json``: name to
    purpose and file."""
    found = {path.stem: (load(path), path) for path in library(beginning)}
    if not found:
        raise InputError(f"no scenario of the library begins with {beginning!r}", "BEGINNING")
    if as_json:
        print_json({name: {"purpose": s.purpose, "file": str(path)} for name, (s, path) in found.items()})
        return
    out = console()
    if beginning in found:
        out.print(found[beginning][1].read_text(encoding="utf-8"), markup=False, soft_wrap=True, end="")
        return
    for name, (scenario, _) in found.items():
        out.print(f"[bold]{name}[/]: {escape(scenario.purpose)}", soft_wrap=True)


def msrs(kernel: str | None, machine: MachineSpec, pmu: int, *, markdown: bool, as_json: bool) -> None:
    """``kernel``: list this kernel only, all if none is named. ``--json``: kernel to rows."""
    _one_format(markdown, as_json)
    if kernel is not None and kernel not in KERNELS:
        raise InputError(unknown_kernel(kernel), "--kernel")
    try:
        tables = {
            name: pmu_msr_rows(replace(machine, kernel=name), VmSpec("vm0", pmu=pmu))
            for name in ([kernel] if kernel else KERNELS)
        }
    except RefusedError as error:
        raise InputError(str(error)) from None
    if markdown:
        sys.stdout.write(msrs_page(tables))
        return
    if as_json:
        print_json(tables)
        return
    out = console()
    for name, rows in tables.items():
        out.print(f"[bold]{name}[/]  {escape(KERNELS[name])}", soft_wrap=True)
        for line in pmu_msr_lines(rows):
            out.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
        out.print()
    out.print(LEGEND, style="dim", soft_wrap=True, highlight=False)


def language(*, markdown: bool, as_json: bool) -> None:
    """``--json``: head, who, and end to example to meaning; ``settings`` to block to key to default and values;
    ``words`` to what they say to the words."""
    _one_format(markdown, as_json)
    if markdown:
        sys.stdout.write(language_page())
        return
    sections = {"head": HEAD, **STATEMENTS, "end": END}
    if as_json:
        print_json({**{name: dict(texts) for name, texts in sections.items()}, "settings": SETTINGS, "words": WORDS})
        return
    out = console()
    for who, statements in sections.items():
        out.print(f"[bold]{'any actor' if who == 'anyone' else who}[/]", soft_wrap=True)
        for text, about in statements:
            out.print(f"    {escape(text)}", soft_wrap=True)
            out.print(f"        {escape(about)}", style="dim", soft_wrap=True)
    for block, settings in SETTINGS.items():
        out.print(f"[bold]settings of {block}[/]")
        for key, setting in settings.items():
            out.print(f"    {key}: {setting.values}; default {setting.default}", soft_wrap=True)
    out.print("[bold]words[/]")
    for what, words in WORDS.items():
        out.print(f"    {what}: {escape(', '.join(words))}", soft_wrap=True)
    out.print(
        f"A thread carries out at most {MAX_EXECUTED:,} statements, those of loops counted each time.", soft_wrap=True
    )
