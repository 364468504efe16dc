"""A baseline holds the known surprises, so that new and vanished ones stand out.

It is a JSON document with one line for each run and each finding of a claim, made to be compared and merged by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from client.files import json_document, read_content, write_file
from client.run.verdict import UNDECIDED, VIOLATED
from contract.errors import InputError

FORMAT = "lbrlab-baseline"
VERSION = 1
SIZE_LIMIT = 1 << 26


class RunKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run: ``kernel`` and ``lets`` as chosen on the command line ("" and empty: the scenario's own), ``faults``
    the rules of the file and of the command line."""

    scenario: str
    design: str
    kernel: str = ""
    faults: tuple[str, ...] = ()
    lets: tuple[str, ...] = ()

    def __str__(self) -> str:
        settings = ", ".join([*([self.kernel] if self.kernel else []), *self.faults, *self.lets])
        return f"{self.scenario} under {self.design}{f' ({settings})' if settings else ''}"


class KnownRun(msgspec.Struct, frozen=True):
    """``known``: the surprises of the run, as in ``client.run.verdict.Verdict``, or ``impossible``."""

    run: RunKey
    known: tuple[str, ...]


class KnownFinding(msgspec.Struct, frozen=True):
    """A check of a claim whose result differs from the claim, by design and by the result that was claimed."""

    claim: str
    design: str
    expected: str

    def __str__(self) -> str:
        return f"{self.claim} {self.design}: {self.expected}"


class Compared(msgspec.Struct):
    """Findings compared with the known ones. Each text names the run or the claim."""

    new: list[str] = []
    known: list[str] = []
    vanished: list[str] = []


class Baseline(msgspec.Struct):
    format: str = FORMAT
    version: int = VERSION
    runs: list[KnownRun] = []
    claims: list[KnownFinding] = []

    def with_runs(self, found: Mapping[RunKey, Sequence[str]]) -> Baseline:
        """The baseline with new entries for these runs. Entries of other runs stay."""
        runs = {known.run: known.known for known in self.runs} | {key: tuple(known) for key, known in found.items()}
        kept = [KnownRun(key, known) for key, known in runs.items() if known]
        return Baseline(runs=sorted(kept, key=lambda known: msgspec.structs.astuple(known.run)), claims=self.claims)

    def with_claims(self, asked: Sequence[str], found: Sequence[KnownFinding]) -> Baseline:
        """The baseline with new findings for the claims ``asked``. Findings of other claims stay."""
        kept = [known for known in self.claims if known.claim not in asked]
        every = sorted({*kept, *found}, key=lambda known: (int(known.claim[1:]), known.design, known.expected))
        return Baseline(runs=self.runs, claims=every)


def compare(found: Sequence[str], known: Sequence[str]) -> Compared:
    return Compared(
        [one for one in found if one not in known],
        [one for one in found if one in known],
        [one for one in known if one not in found],
    )


def together(compared: Mapping[RunKey, Compared]) -> Compared:
    """All comparisons in one, each text with its run in front."""
    parts = {
        field: [f"{key}: {text}" for key, one in compared.items() for text in getattr(one, field)]
        for field in Compared.__struct_fields__
    }
    return Compared(**parts)


def verdict_against(verdict: str, why: str, compared: Compared) -> tuple[str, str]:
    """A run's verdict and reason in the light of a baseline. ``expected`` if everything is known; ``violated`` if
    something is new or has vanished; ``undecided`` if the only new thing is ``undecided``. A failed run stays
    failed."""
    new, vanished = ", ".join(compared.new), ", ".join(compared.vanished)
    if verdict == "failed":
        return verdict, why
    if compared.new == [UNDECIDED] and not vanished:
        return UNDECIDED, why
    if new or vanished:
        parts = [f"not in the baseline: {new}" if new else "", f"only in the baseline: {vanished}" if vanished else ""]
        return VIOLATED, "; ".join(part for part in parts if part)
    return ("expected", f"as in the baseline: {', '.join(compared.known)}") if compared.known else (verdict, why)


def load_baseline(path: Path) -> Baseline:
    """Load a baseline. Raises InputError that names the file and what is wrong."""
    baseline = json_document(read_content(path, SIZE_LIMIT), Baseline, path, "baseline", FORMAT, VERSION)
    for known in baseline.claims:
        if not known.claim[1:].isdecimal():
            raise InputError(f"{known.claim!r} is not a claim", str(path))
    return baseline


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Save a baseline. Raises InputError naming the path if it cannot be written."""
    text = (
        f'{{"format": "{FORMAT}", "version": {VERSION},\n'
        f'"runs": {_lines(baseline.runs)},\n'
        f'"claims": {_lines(baseline.claims)}}}\n'
    )
    write_file(path, text.encode())


def _lines(entries: Sequence[msgspec.Struct]) -> str:
    """A JSON list with a line for each entry."""
    if not entries:
        return "[]"
    lines = (msgspec.json.format(msgspec.json.encode(entry), indent=0).decode() for entry in entries)
    return "[\n  " + ",\n  ".join(lines) + "\n]"
