"""The wire of a live run. During a free run its answers are blocks that services have reported; otherwise it is the
gRPC wire.

So the player carries out the decisions of a free run with the code of every other run: it asks for what has happened
already. It keeps the tape, the records, the registers and its knowledge of the services as always.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from client.drive.grpc_wire import GrpcWire
from client.drive.wire import SINGLE, Layout
from contract.control import Advance, AnyKvmCommand, AnyPerfCommand
from contract.effects import StepResult
from contract.errors import PeerContractError, RefusedError
from contract.network import Fate
from contract.results import AnyResult, Done
from contract.trace import AnyRecord, Recorder, Send


class Happened:
    """An input of a service that is over. ``command``: what was asked; None where the service asked itself.
    ``outcome``: the result, or the refusal."""

    __slots__ = ("command", "outcome", "records")

    def __init__(self, command: Any, outcome: AnyResult | RefusedError, records: list[AnyRecord]) -> None:
        self.command = command
        self.outcome = outcome
        self.records = records


class LiveWire:
    """``free``: a free run is under way. ``happened``: the input whose decision is carried out now. ``passed``: the
    records of time that has passed, oldest first."""

    name = "grpc"

    def __init__(self, real: GrpcWire) -> None:
        self.real = real
        self.log: Recorder = real.log
        self.free = False
        self.happened: Happened | None = None
        self.passed: deque[AnyRecord] = deque()

    def begin(self, layout: Layout = SINGLE) -> None:
        self.real.begin(layout)
        self.log = self.real.log

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        if not self.free:
            return self.real.perf(command, host)
        return self._pass(command) if isinstance(command, Advance) else self._answer(command)

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        return self._answer(command) if self.free else self.real.kvm(session, command)

    def decide(
        self, receiver: str, fate: Fate, session: str, n: int, fault: str = "", field: str = ""
    ) -> StepResult[bool]:
        if not self.free:
            return self.real.decide(receiver, fate, session, n, fault, field)
        answer = self._answer(None)
        return StepResult(True, answer.effects, answer.now)

    def losses(self) -> list[str]:
        return [] if self.free else self.real.losses()

    @property
    def owns_services(self) -> bool:
        return self.real.owns_services

    def crash(self, service: str) -> None:
        self.real.crash(service)

    def start(self, service: str) -> None:
        self.real.start(service)

    def close(self) -> None:
        self.real.close()

    def _answer(self, command: Any) -> StepResult[AnyResult]:
        happened, self.happened = self.happened, None
        if happened is None or (happened.command is not None and happened.command != command):
            raise PeerContractError(f"the services have not done {command}")
        self._append(happened.records)
        if isinstance(happened.outcome, RefusedError):
            raise happened.outcome
        return StepResult(happened.outcome, happened.records, self.log.now)

    def _pass(self, command: Advance) -> StepResult[AnyResult]:
        until = self.log.now + command.ns
        records = []
        while self.passed and self.passed[0].time <= until:
            records.append(self.passed.popleft())
        self._append(records)
        self.log.now = until
        return StepResult(Done(), records, until)

    def _append(self, records: list[AnyRecord]) -> None:
        """Number the records in the order of the run."""
        log = self.log
        for record in records:
            log.clock += 1
            record.seq = log.clock
            if isinstance(record, Send):
                record.clock = log.clock
        log.records += records
