"""KVM's part in a free run: its timers, and the steps of its vCPUs, which the perf core has to let begin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from contract.control import FireKvmTimer, StepVcpu
from contract.wire.free_part import FreePart
from contract.wire.service_run import ServiceRun
from kvm_svc.core import KvmCore
from kvm_svc.service.link import LinkLostError

if TYPE_CHECKING:
    from kvm_svc.service.servicer import KvmShell


class KvmFreePart(FreePart[KvmCore]):
    def __init__(self, shell: KvmShell) -> None:
        self._shell = shell
        self._step_ended = 0
        """The link's generation in which the end of a step was told last; 0: there was no step."""

    def firing(self, session: str, timer: str) -> FireKvmTimer:
        return FireKvmTimer(timer)

    async def begin_step(self, run: ServiceRun[KvmCore], command: StepVcpu) -> bool:
        """A step begins where the thread is neither asleep nor elsewhere, by KVM's state and by the perf core's."""
        vcpu = run.core.hv.vcpus.get(command.vcpu)
        if vcpu is None or vcpu.waiting or vcpu.ioctl is not None or vcpu.cpu < 0:
            return False
        if run.cut or run.parted:
            return False
        shell, n = self._shell, self._shell.next_request()
        try:
            begun = await shell.link.begin_step(shell.stamp(run), n, vcpu.name, vcpu.cpu, shell.answer_timeout)
        except LinkLostError:
            await self._end_step(run)  # The perf core may have begun it.
            return False
        if begun is None:
            return False
        run.log.witness(begun.clock, begun.now_ns)
        return True

    async def end_step(self, run: ServiceRun[KvmCore], command: StepVcpu) -> None:
        await self._end_step(run)

    async def keep(self, run: ServiceRun[KvmCore]) -> None:
        """An end of a step that was lost with the link is told again: the perf core waits for it."""
        if self._step_ended not in (0, self._shell.link.generation):
            await self._end_step(run)

    async def leave(self, run: ServiceRun[KvmCore]) -> None:
        """The perf core has heard of the end of the last step: it answers on the link over which this was told."""
        while self._step_ended:
            await self._shell.agreed(self._shell.stamp(run))
            if self._step_ended == self._shell.link.generation:
                return
            await self._end_step(run)

    async def _end_step(self, run: ServiceRun[KvmCore]) -> None:
        shell, n = self._shell, self._shell.next_request()
        while True:
            try:
                await shell.linked()
                self._step_ended = shell.link.generation
                return await shell.link.end_step(shell.stamp(run), n)
            except LinkLostError:
                await asyncio.sleep(0)
