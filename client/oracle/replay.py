"""Play a recorded case with the model's own commands, at the times of the first boot."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from client.designs import DESIGNS
from client.oracle.cases import Case, RecordedEvent, RecordedOp
from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    ConfigurePerf,
    Disable,
    Enable,
    MachineSpec,
    Open,
    Read,
    RunTask,
    SetMuxInterval,
)
from contract.errors import RefusedError
from contract.results import AnyResult, Counted, Done
from perfcore_svc.core import HostCore

MS = 1_000_000
HAND_OVER_MS = 0.06
"""A task stops this long before the end of its slot in the schedule."""

Times = dict[str, Counted | None]
"""The values read from each open event; None: end of file, the ERROR state."""


@dataclass(slots=True)
class PhaseTimes:
    begin: Times = field(default_factory=dict)
    end: Times = field(default_factory=dict)
    errnos: list[int] = field(default_factory=list)


def replay(case: Case, kernel: str) -> list[PhaseTimes]:
    """Read the events at the times of the recorded snapshots, phase by phase."""
    player = _Player(case, kernel)
    return player.play()


class _Player:
    def __init__(self, case: Case, kernel: str) -> None:
        self.case = case
        self.now = 0
        self.events = {event.id: event for event in case.events}
        self.open: list[str] = []
        self.phases = [PhaseTimes() for _ in case.phases]
        machine = MachineSpec(counters=case.counters, fixed=0, pmu="armv8", kernel=kernel)
        self.core = HostCore.configured(ConfigurePerf(machine, DESIGNS["merged"], case.tasks, []))
        interval = round(case.mux_interval_ms * MS)
        self._command(SetMuxInterval(interval, phase=round(case.observed.tick_phase_ms * MS) % interval))

    def play(self) -> list[PhaseTimes]:
        """Actions in the order of time. At equal times, a switch precedes an operation, which precedes a snapshot."""
        agenda: list[tuple[float, int, object]] = [(ms, 0, task) for ms, task in self._switches()]
        for number, (phase, seen) in enumerate(zip(self.case.phases, self.case.observed.phases, strict=True)):
            agenda += [(ms, 1, (number, op)) for op, ms in zip(phase.ops, seen.op_done_ms, strict=True)]
            begin, end = seen.snapshot_ms
            agenda += [(begin, 2, (self.phases[number], "begin")), (end, 2, (self.phases[number], "end"))]
        for ms, _, action in sorted(agenda, key=lambda a: a[:2]):
            self._advance(ms)
            match action:
                case str():
                    self._command(RunTask(action, 0))
                case (int() as number, RecordedOp() as op):
                    self.phases[number].errnos.append(self._operate(op))
                case (PhaseTimes() as times, "begin"):
                    times.begin = self._snapshot()
                case (PhaseTimes() as times, _):
                    times.end = self._snapshot()
        return self.phases

    def _switches(self) -> list[tuple[float, str]]:
        if self.case.schedule is None:
            return [(0, self.case.tasks[0])] if self.case.tasks else []
        switches: list[tuple[float, str]] = []
        at = 0.0
        while at < self.case.duration_ms:
            for who, slot in self.case.schedule:
                if who != "idle":
                    switches += [(at, who), (at + slot - HAND_OVER_MS, "")]
                at += slot
        return switches

    def _advance(self, ms: float) -> None:
        until = round(ms * MS)
        while self.now < until:
            self._command(Advance(until - self.now))

    def _command(self, command: AnyPerfCommand) -> AnyResult:
        step = self.core.command(command, self.now)
        self.now = step.now
        return step.result

    def _operate(self, op: RecordedOp) -> int:
        """The errno of an operation, 0 for success."""
        try:
            result = self._command(self._translated(op))
        except RefusedError as error:
            return getattr(errno, error.errno)
        failed = result.errno if isinstance(result, Done) else ""
        if op.op == "open" and not failed:
            self.open.append(op.event)
        elif op.op == "close":
            self.open.remove(op.event)
        return getattr(errno, failed) if failed else 0

    def _translated(self, op: RecordedOp) -> AnyPerfCommand:
        match op.op:
            case "open":
                return _open(self.events[op.event])
            case "close":
                return Close(op.event)
            case "enable" | "enable_group":
                return Enable(op.event, op.op == "enable_group")
            case _:
                return Disable(op.event, op.op == "disable_group")

    def _snapshot(self) -> Times:
        read = ((name, self._command(Read(name))) for name in self.open)
        return {name: result if isinstance(result, Counted) and not result.errno else None for name, result in read}


def _open(event: RecordedEvent) -> Open:
    return Open(
        event.id,
        cpu=0 if event.bound_to_cpu or event.scope == "cpu" else -1,
        task=event.task or "",
        pinned=event.pinned,
        disabled=event.open_disabled,
        group=event.group or "",
        exclusive=event.exclusive,
        config="cycles" if event.config == "cycles" else "general",
    )
