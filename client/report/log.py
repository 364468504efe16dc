"""The fixed-column log of a trace: number, time, a lane for each CPU, who, what.

seq     time  c0 c1  source   record
 52      0us  *      silicon  enter vm0/0: DEBUGCTL 0 -> LBR, LBR MSRs passed through   !! one-owner
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from client.check.judge import Finding
from client.report.describe import Describer
from contract import trace as t
from contract.errors import InputError

ALIKE_SHOWN = 3
"""Of more records that are alike an excerpt shows the first only."""


class Log:
    """Lines for the records of one trace; ``findings`` mark the records that break an invariant."""

    def __init__(self, records: list[t.AnyRecord], findings: list[Finding]) -> None:
        if not records or not isinstance(records[0], t.Setup):
            raise InputError("a trace begins with a setup record", "trace: record 1")
        self.records = records
        self.describer = Describer(records[0])
        self.cpus = sorted({cpu for r in records if (cpu := r.lane) >= 0} | {0})
        self.marks: dict[int, list[str]] = {}
        for finding in findings:
            for violation in finding.violations:
                self.marks.setdefault(violation.seq, []).append(finding.invariant)

    def header(self) -> str:
        lanes = " ".join(f"c{cpu}"[:3].ljust(2) for cpu in self.cpus)
        return f"{'seq':>5} {'time':>9}  {lanes}  {'source':<8} record"

    @property
    def text_column(self) -> int:
        """The column at which the texts of the records begin, from 0."""
        return len(self.header()) - len("record")

    def lines(self) -> Iterator[str]:
        yield self.header()
        for record in self.records:
            yield self.line(record)

    def line(self, record: t.AnyRecord) -> str:
        lanes = " ".join(("*" if c == record.lane else ".").ljust(2) for c in self.cpus)
        text = f"{record.seq:>5} {_time(record.time):>9}  {lanes}  {record.source:<8} {self.describer.text(record)}"
        broken = self.marks.get(record.seq)
        return f"{text}   !! {', '.join(dict.fromkeys(broken))}" if broken else text

    def excerpt(self, seqs: set[int]) -> list[str]:
        """The lines of these records, each after the statement under which it happened; ``...`` stands for records that
        are left out. Of records that follow each other and are alike, as the reads of a whole ring, the first is shown
        with their number."""
        wanted: set[int] = set()
        statement = 0
        for record in self.records:
            if isinstance(record, t.Statement):
                statement = record.seq
            if record.seq in seqs:
                wanted |= {record.seq, statement} - {0}
        lines, last = [self.header()], 0
        for alike in self._alike(sorted(wanted)):
            if last and alike[0] != last + 1:
                lines.append(f"{'...':>5}")
            last = alike[-1]
            shown = alike if len(alike) <= ALIKE_SHOWN else alike[:1]
            lines += [self.line(self.records[seq - 1]) for seq in shown]
            if len(shown) < len(alike):
                lines.append(f"{'...':>5}{'':{self.text_column - 5}}{len(alike) - 1} more like it, to record {last}")
        return lines

    def _alike(self, seqs: list[int]) -> Iterator[list[int]]:
        """These records in order; those that follow each other together if their texts begin alike and they break the
        same invariants."""
        found: list[int] = []
        for seq in seqs:
            if found and (seq != found[-1] + 1 or self._beginning(seq) != self._beginning(found[0])):
                yield found
                found = []
            found.append(seq)
        if found:
            yield found

    def _beginning(self, seq: int) -> tuple[str, tuple[str, ...]]:
        text = self.describer.text(self.records[seq - 1])
        return re.split(r"[\[=]", text)[0], tuple(self.marks.get(seq, ()))


def _time(ns: int) -> str:
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if ns >= size:
            return f"{ns / size:g}{unit}"
    return f"{ns}ns"
