"""``lbrlab faults``: the kinds of faults, what selects messages, and the presets."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from client.cli.console import console, print_text
from client.litmus.fault_kinds import TARGETS
from client.report.fault_documents import faults_document, faults_named
from client.report.json import print_json

WIDE = 16
"""Columns of a name."""

EXIT_CODES = (
    "A rule that matches nothing leaves a run undecided (exit code 4) unless something is violated. A rule with a "
    "probability may meet nothing by chance: it is 'not drawn', and the exit code is that of the verdict. A rule that "
    "names what the scenario does not have is an error (2)."
)


def faults(name: str, *, as_json: bool) -> None:
    """``name``: a kind, a preset, or the first word of a selector; "": all. Raises InputError with the list."""
    document = faults_named(name) if name else faults_document()
    if as_json:
        print_json(document)
        return
    out = console()
    if name and name not in document.kinds:
        if document.kinds:
            print_text(out, f"kinds that take it: {', '.join(document.kinds)}", hang=2)
    else:
        out.print("[bold]kinds[/]" if not name else "[bold]kind[/]")
        for title, kind in document.kinds.items():
            by = f"; 'by': {kind.amount}" if kind.amount else ""
            target = f"; behind the kind: {TARGETS[kind.strikes]}" if name and TARGETS[kind.strikes] else ""
            _entry(out, title, f"{kind.about}{by}{target}", [kind.example])
    if document.selectors:
        out.print("[bold]selectors[/], in any order; colons may stand for blanks")
    for form, selector in document.selectors.items():
        _entry(out, form, selector.about, [selector.example])
    if document.presets:
        out.print("[bold]presets[/], for --faults")
    for title, preset in document.presets.items():
        _entry(out, title, preset.about, preset.rules)
    print_text(out, EXIT_CODES)


def _entry(out: Console, name: str, about: str, rules: list[str]) -> None:
    print_text(out, f"{escape(name):<{WIDE}}  {escape(about)}", indent=2, hang=WIDE + 2)
    for rule in rules:
        print_text(out, f"[dim]{escape(rule)}[/]", indent=WIDE + 6)
