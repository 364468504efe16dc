"""``--baseline`` and ``--write-baseline``: compare the findings of a command with the known ones, and save them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.baseline import Baseline, Compared, KnownFinding, RunKey, compare, load_baseline, save_baseline
from client.files import make_folder


@dataclass(slots=True)
class Ledger:
    """``compare``: the file with the known findings; ``write``: the file for the new ones. Both are read at once, so a
    command with a bad file ends before it runs anything. Raises InputError that names the file."""

    compare: Path | None = None
    write: Path | None = None
    known: Baseline | None = field(init=False, default=None)
    before: Baseline = field(init=False, default_factory=Baseline)

    def __post_init__(self) -> None:
        if self.compare is not None:
            self.known = load_baseline(self.compare)
        if self.write is not None:
            make_folder(self.write.parent)
            if self.write.exists():
                self.before = load_baseline(self.write)

    def runs(self, found: Mapping[RunKey, Sequence[str]]) -> dict[RunKey, Compared]:
        """Compare the surprises of each judged run, and write them; nothing if no baseline is asked for. Findings that
        are written count as known."""
        if self.write is not None:
            self.before = self.before.with_runs(found)
            save_baseline(self.before, self.write)
        known = self.known or (self.before if self.write is not None else None)
        if known is None:
            return {}
        of_run = {entry.run: entry.known for entry in known.runs}
        return {key: compare(surprises, of_run.get(key, ())) for key, surprises in found.items()}

    def claims(self, asked: Sequence[str], found: Sequence[KnownFinding]) -> Compared | None:
        """The findings of the claims ``asked``, in the same way."""
        if self.write is not None:
            self.before = self.before.with_claims(asked, found)
            save_baseline(self.before, self.write)
        known = self.known or (self.before if self.write is not None else None)
        if known is None:
            return None
        of_asked = [str(finding) for finding in known.claims if finding.claim in asked]
        return compare([str(finding) for finding in dict.fromkeys(found)], of_asked)


SHOWN_LIMIT = 20


def print_compared(out: Console, compared: Compared | None) -> None:
    """The new and the vanished findings, a line each, and the number of known ones."""
    if compared is None:
        return
    for what, texts in (("new", compared.new), ("vanished", compared.vanished)):
        for text in texts[:SHOWN_LIMIT]:
            out.print(f"[bold red]{what}[/] {escape(text)}", soft_wrap=True)
        if len(texts) > SHOWN_LIMIT:
            out.print(f"... and {len(texts) - SHOWN_LIMIT} more; --json has all")
    counts = f"{len(compared.new)} new, {len(compared.vanished)} vanished, {len(compared.known)} known"
    out.print(f"against the baseline: {counts}")
