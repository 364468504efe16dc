"""``lbrlab designs``, ``invariants``, ``scenarios``, ``lang``, ``msrs``: lists of everything that commands take by
name."""

from __future__ import annotations

import sys

from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape

from client.check.judge import MONITORS
from client.cli.console import console, print_text
from client.designs import all_designs, design_named, format_design
from client.document.pages import designs_page, invariants_page, language_page, msrs_page
from client.document.pmu_msrs import ACCESS_LEGEND, pmu_msr_lines, pmu_msr_rows
from client.litmus import library, load
from client.litmus.limits import MAX_EXECUTED
from client.litmus.reference import END, HEAD, SETTINGS, STATEMENTS, WORDS
from client.litmus.spelling import hint, unknown
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

PART = 22
"""The columns of a title in a definition."""


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
            print_text(out, f"[bold]{design.name:<{wide}}[/]  {escape(design.about)}", hang=wide + 2)
            for condition in Condition:
                if claimed := [c.invariant for c in design.claims if c.condition is condition]:
                    text = f"[dim]claims, {condition}: {', '.join(claimed)}[/]"
                    print_text(out, text, indent=wide + 2, hang=2)


def _one_format(markdown: bool, as_json: bool) -> None:
    if markdown and as_json:
        raise InputError("expected one of them", "--markdown, --json")


def _print_axes(out: Console, document: dict[str, AxisDocument]) -> None:
    for name, axis in document.items():
        print_text(out, f"[bold]{name}[/]: {escape(axis.about)}", hang=2)
        wide = max(map(len, axis.values))
        for value, found in axis.values.items():
            about = f"{escape(found.about)}: " if found.about else ""
            having = escape(", ".join(found.designs) or "-")
            print_text(out, f"{value:<{wide}}  [dim]{about}[/]{having}", indent=4, hang=wide + 2)


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
            print_text(out, f"[bold]{title}[/]: {escape(invariant.about)}", hang=2)
            _print_definition(out, invariant)
            continue
        print_text(out, f"[bold]{title:<{wide}}[/]  {escape(invariant.about)}", hang=wide + 2)


def _print_definition(out: Console, invariant: InvariantDocument) -> None:
    kind = "liveness: something happens in the end" if invariant.liveness else "safety: nothing bad happens"
    parts = {
        "kind": kind,
        "rules": ", ".join(invariant.rules),
        "definition": invariant.text,
        "broken by": invariant.broken_by,
        "held if": invariant.evidence,
        "open while": invariant.open_while,
        "cannot see": invariant.unseen,
    }
    for title, text in parts.items():
        if text:
            _print_part(out, title, text)
    for fault, text in invariant.excuses.items():
        _print_part(out, f"after {fault}", text)
    out.print("[bold]reads[/]", soft_wrap=True)
    for record, taken in invariant.reads.items():
        _print_part(out, f"  {record}", taken)


def _print_part(out: Console, title: str, text: str) -> None:
    print_text(out, f"[bold]{title:<{PART}}[/]{escape(text)}", hang=PART)


def scenarios(beginning: str, *, as_json: bool) -> None:
    """``beginning``: list only names that begin so; a whole name prints the text of its scenario. ``--json``: name to
    purpose and file."""
    found = {path.stem: (load(path), path) for path in library(beginning)}
    if not found:
        near = hint(beginning, [path.stem for path in library()])
        raise InputError(f"no scenario of the library begins with {beginning!r}{near}", "BEGINNING")
    if as_json:
        print_json({name: {"purpose": s.purpose, "file": str(path)} for name, (s, path) in found.items()})
        return
    out = console()
    if beginning in found:
        out.print(found[beginning][1].read_text(encoding="utf-8"), markup=False, soft_wrap=True, end="")
        return
    for name, (scenario, _) in found.items():
        out.print(f"[bold]{name}[/]")
        print_text(out, escape(scenario.purpose), indent=4)


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
        print_text(out, f"[bold]{name}[/]  {escape(KERNELS[name])}", hang=2)
        for line in pmu_msr_lines(rows):
            out.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
        out.print()
    out.print(ACCESS_LEGEND, style="dim", soft_wrap=True)


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
            print_text(out, escape(text), indent=4, hang=2)
            print_text(out, f"[dim]{escape(about)}[/]", indent=8)
    for block, settings in SETTINGS.items():
        out.print(f"[bold]settings of {block}[/]")
        wide = max(map(len, settings)) + 2
        for key, setting in settings.items():
            print_text(out, f"{key:<{wide}}{setting.values}; default {setting.default}", indent=4, hang=wide)
    out.print("[bold]words[/]")
    for what, words in WORDS.items():
        print_text(out, f"{what}: {escape(', '.join(words))}", indent=4, hang=2)
    print_text(out, f"A thread carries out at most {MAX_EXECUTED:,} statements, those of loops counted each time.")
