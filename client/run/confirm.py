"""Replay a run on another wire, and compare the traces record by record."""

from __future__ import annotations

from dataclasses import dataclass, replace

from client.drive.wire import Wire
from client.run.difference import Difference, first_difference
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import replay
from contract.errors import InputError
from contract.trace import AnyRecord


@dataclass(frozen=True, slots=True)
class Confirmation:
    records: list[AnyRecord]
    """The trace of the replay."""
    difference: Difference | None
    """The first record that is another; None if the traces are the same."""
    reason: str = ""
    """Why the replay ended early: a decision of the tape was not possible."""

    @property
    def same(self) -> bool:
        return self.difference is None and not self.reason


def confirm(original: Run, wire: Wire) -> Confirmation:
    """Raises InputError for a run that did not come to its end or whose tape does not fit its inputs, SystemFailedError
    if a service fails, KeyboardInterrupt where Ctrl-C ended the replay."""
    if original.failure is not None:
        raise InputError(f"the run did not come to its end: {original.failure}", "run")
    why = ""
    try:
        again = run(Inputs(original.scenario, original.design, replay(original.tape, original.faults), wire))
        again.finished()
    except InputError as error:
        if not wire.log.records:
            raise
        # On a tape that the simulated wire cannot follow either, no service can be at fault.
        run(Inputs(original.scenario, original.design, replay(original.tape, original.faults)))
        why = str(error)
    records = wire.log.records
    return Confirmation(records, first_difference(original.records, records), why)


def confirm_beginning(original: Run, wire: Wire) -> Confirmation:
    """The same for a run that a failure or Ctrl-C ended: the replay of its tape has to begin with its records."""
    why = ""
    try:
        schedule = replace(replay(original.tape, original.faults), then_default=True)
        run(Inputs(original.scenario, original.design, schedule, wire)).finished()
    except InputError as error:
        why = str(error)
    records = wire.log.records[: len(original.records)]
    return Confirmation(records, first_difference(original.records, records), why)
