"""A record in words: one line, the terms of the kernel and the SDM, registers by name."""

from __future__ import annotations

# Each module registers the texts of its records.
from client.report.describe import driver, kvm, link, perf, silicon  # noqa: F401
from client.report.describe.table import text_of
from client.report.describe.values import Values
from contract.trace import AnyRecord, Setup


class Describer:
    """Describes the records of one run. It needs the run's setup for names of registers and actors."""

    def __init__(self, setup: Setup) -> None:
        self._values = Values(setup)

    def text(self, record: AnyRecord) -> str:
        return text_of(record, self._values)
