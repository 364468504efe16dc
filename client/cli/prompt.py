"""The common parts of both walks: commands from a terminal or a pipe, and the state of both sides."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from client.cli.console import print_text
from client.timeline.facts import DISAGREE
from client.walk.documents import FactDocument

SIDES = {"host": "host perf", "kvm": "KVM and guests", "wire": "wire", "belief": "what each side believes of the other"}


def is_terminal() -> bool:
    return sys.stdin.isatty()


def next_line() -> str:
    """The next line of a pipe, "" at its end."""
    return sys.stdin.readline()


def read_line(prompt: str) -> str | None:
    """The next line of the input; None at its end."""
    if is_terminal():
        with suppress(ImportError):
            import readline  # noqa: F401 - input() then edits the line, and knows those before it
        try:
            return input(prompt).strip()
        except EOFError:
            print()
            return None
    sys.stdout.write(prompt)
    sys.stdout.flush()
    line = next_line()
    print(line.rstrip("\n"), flush=True)
    return line.strip() if line else None


def print_facts(out: Console, facts: Sequence[FactDocument]) -> None:
    """Each changed fact, and each disagreement, has a mark and a line. The other facts of a side follow in one list."""
    for side, title in SIDES.items():
        here = [fact for fact in facts if fact.side == side]
        if here:
            print_text(out, f"[dim]{title}[/]", indent=2)
        for fact in here:
            if fact.value != fact.before:
                was = f" (was {fact.before})" if fact.before else ""
                print_text(out, Text(f"* {fact.name}: {fact.value}{was}", style="bold"), indent=2, hang=4)
            elif fact.value == DISAGREE:
                print_text(out, Text(f"! {fact.name}: {fact.value}", style="bold red"), indent=2, hang=4)
        alike = [fact for fact in here if fact.value == fact.before and fact.value != DISAGREE]
        if unchanged := [f"{fact.name}: {fact.value}" for fact in alike]:
            print_text(out, Text("; ".join(unchanged)), indent=4, hang=0)
