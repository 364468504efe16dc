"""``lbrlab faults``: the kinds of faults, what selects messages, and the presets."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from client.cli.frame import console, print_text
from client.report.fault_documents import faults_document
from client.report.json import print_json

WIDE = 16
"""Columns of a name."""

EXIT_CODES = (
    "A rule that matches nothing leaves a run undecided (exit code 4) unless something is violated. A rule with a "
    "probability may meet nothing by chance: it is 'not drawn', and the exit code is that of the verdict. A rule that "
    "names what the scenario does not have is an error (2)."
)


def faults(*, as_json: bool) -> None:
    document = faults_document()
    if as_json:
        print_json(document)
        return
    out = console()
    out.print("[bold]kinds[/]")
    for name, kind in document.kinds.items():
        by = f"; 'by': {kind.by}" if kind.by else ""
        _entry(out, name, f"{kind.about}{by}", [kind.example])
    out.print("[bold]selectors[/], in any order; colons may stand for blanks")
    for form, selector in document.selectors.items():
        _entry(out, form, selector.about, [selector.example])
    out.print("[bold]presets[/], for --faults")
    for name, preset in document.presets.items():
        _entry(out, name, preset.about, preset.rules)
    print_text(out, EXIT_CODES)


def _entry(out: Console, name: str, about: str, rules: list[str]) -> None:
    print_text(out, f"{escape(name):<{WIDE}}  {escape(about)}", indent=2, hang=WIDE + 2)
    for rule in rules:
        print_text(out, f"[dim]{escape(rule)}[/]", indent=WIDE + 6)
