"""The perf core's part in a free run: time, timers, and the steps of KVMs.

A step of a vCPU is made of several requests to the silicon. Nothing else happens at the perf core between the first and
the last of them, as on a CPU with interrupts off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from secrets import compare_digest
from typing import TYPE_CHECKING

import grpc

from contract.control import Advance, FireHostTimer
from contract.errors import RefusedError
from contract.wire.free_part import FreePart
from contract.wire.service_run import ServiceRun
from contract.wire.status import CallError
from lbrlab.v1 import machine_pb2
from perfcore_svc.core import HostCore
from perfcore_svc.service.machine_stream import fail, may_act

if TYPE_CHECKING:
    from perfcore_svc.service.servicer import PerfcoreShell

STEP_LIMIT = 3.0
"""Seconds in which a KVM has to end a step of a free run."""


class KvmStep:
    """A step of a vCPU of ``kvm`` in a free run. ``task``: it holds the run for the step; asyncio itself keeps no
    reference to it."""

    def __init__(self, kvm: str) -> None:
        self.kvm = kvm
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class PerfcoreFreePart(FreePart[HostCore]):
    def __init__(self, shell: PerfcoreShell) -> None:
        self._shell = shell
        self._step: KvmStep | None = None
        """The step of a KVM that is under way."""
        self._steps: dict[str, KvmStep] = {}
        """The newest step of each KVM. Its end can come before its begin is carried out: over another link."""

    async def keep(self, run: ServiceRun[HostCore]) -> None:
        """The driver is still there."""
        if run.owner == self._shell.lease.owner:
            self._shell.lease.renew()

    def passing(self, run: ServiceRun[HostCore], now: int) -> Iterator[Advance]:
        while run.log.now < now:
            yield Advance(now - run.log.now)

    def firing(self, session: str, timer: str) -> FireHostTimer:
        return FireHostTimer(session, timer)

    # Steps of KVMs ---------------------------------------------------------------------------------------

    def is_in_its_step(self, request: machine_pb2.RunRequest) -> bool:
        """Whether the request belongs to the step that is under way."""
        return self._step is not None and self._is_of(request, self._step)

    async def _hold(self, step: KvmStep) -> None:
        """Nothing else happens here before the end of the step. A link that is lost meanwhile does not end it."""
        async with self._shell.lock:
            self._step = step
            step.begun.set()
            try:
                async with asyncio.timeout(STEP_LIMIT):
                    await step.over.wait()
            except TimeoutError:
                why = f"perfcore: {step.kvm} has not ended its step within {STEP_LIMIT:g} s"
                self._shell.run.fail(CallError(grpc.StatusCode.UNAVAILABLE, why))
            finally:
                self._step = None

    def end(self, request: machine_pb2.RunRequest) -> None:
        """EndStep has come."""
        for step in self._steps.values():
            if self._is_of(request, step):
                self._shell.run.hear(request.stamp.clock, request.stamp.now_ns)
                step.over.set()

    def _is_of(self, request: machine_pb2.RunRequest, step: KvmStep) -> bool:
        attachment = self._shell.attached.get(step.kvm)
        return attachment is not None and compare_digest(attachment.token.encode(), request.token.encode())

    async def begin(self, request: machine_pb2.RunRequest) -> machine_pb2.RunResponse:
        """The answer to BeginStep."""
        shell, response = self._shell, machine_pb2.RunResponse()
        asked = request.begin_step
        try:
            attachment = shell.attachment(request.token)
            run = shell.current(request.stamp)
            run.check()
            may_act(run.core.endpoint.vcpus, attachment.kvm, asked)
            step = self._steps[attachment.kvm] = KvmStep(attachment.kvm)
            step.task = asyncio.create_task(self._hold(step))
            try:
                await step.begun.wait()
                if step.over.is_set():
                    raise RefusedError("it has ended before it began", "EAGAIN")
                await self._may_begin(shell.current(request.stamp), request)
            except BaseException:
                step.over.set()
                raise
            response.step_begun.SetInParent()
            response.stamp.CopyFrom(shell.stamp(run))
        except RefusedError as error:
            fail(response, grpc.StatusCode.FAILED_PRECONDITION, str(error), error.errno)
        except CallError as error:
            fail(response, error.code, error.message, "")
        return response

    async def _may_begin(self, run: ServiceRun[HostCore], request: machine_pb2.RunRequest) -> None:
        """Raises RefusedError if the step cannot begin now."""
        asked = request.begin_step
        if run.free is None or run.free.halt is not None:
            raise RefusedError("this is no free run", "EAGAIN")
        await run.free.reach(request.stamp)
        if run.core.perf.kernel.cpu_running(asked.vcpu) != asked.cpu:
            raise RefusedError(f"{asked.vcpu} is not on cpu{asked.cpu}", "EAGAIN")
