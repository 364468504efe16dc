"""The machine stream of a KVM: requests to the silicon, and the steps of a free run that they belong to.

A request with the token of an attachment is that KVM's, and may name only its vCPUs and their threads (R7, R20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest
from contract.wire import spans
from contract.wire.codec import union_fields, union_from_proto
from contract.wire.records import RecordBlock
from contract.wire.status import CallError, shortened
from lbrlab.v1 import machine_pb2
from perfcore_svc.service.reading import read

if TYPE_CHECKING:
    from perfcore_svc.service.servicer import PerfcoreShell

_REPLIES = union_fields(AnyReply, machine_pb2.RunResponse)


class MachineStream:
    def __init__(self, shell: PerfcoreShell) -> None:
        self._shell = shell
        self._answered = machine_pb2.RunRequest(), machine_pb2.RunResponse()
        """The newest request, and the response to it."""

    async def serve(self, context: grpc.aio.ServicerContext) -> None:
        """The handler of MachineService.Run."""
        while (request := await read(context, machine_pb2.RunRequest)) is not None:
            match request.WhichOneof("request"):
                case "begin_step":
                    response = await self._shell.free_part.begin(request)
                case "end_step":
                    self._shell.free_part.end(request)
                    continue
                case _:
                    response = await self.served(request)
            await context.write(response)

    async def served(self, request: machine_pb2.RunRequest) -> machine_pb2.RunResponse:
        if self._shell.free_part.is_in_its_step(request):
            return self._answer_once(request)  # Its step holds the lock.
        async with self._shell.lock:
            return self._answer_once(request)

    def _answer_once(self, request: machine_pb2.RunRequest) -> machine_pb2.RunResponse:
        """A request that is sent again, because its answer was lost with the link, is not carried out again."""
        asked, answer = self._answered
        token = request.token
        request.token = ""  # Each link has its own.
        if request != asked:
            answer = self._answer(request, token)
            if answer.failure.code == grpc.StatusCode.PERMISSION_DENIED.value[0]:
                return answer
            self._answered = request, answer
        return answer

    def _answer(self, request: machine_pb2.RunRequest, token: str) -> machine_pb2.RunResponse:
        shell, response = self._shell, machine_pb2.RunResponse()
        try:
            attachment = shell.attachment(token)
            run = shell.current(request.stamp)
            run.check()
            log = run.log
            log.witness(request.stamp.clock, request.stamp.now_ns)
            block = RecordBlock(log)
            try:
                asked = union_from_proto(request, AnyRequest)
                may_act(run.core.endpoint.vcpus, attachment.kvm, asked)
                with spans.span(type(asked).__name__, request.stamp, run.number, attachment.kvm):
                    reply = shell.done(run, run.core.request(asked, log.now))
                member, encode = _REPLIES[type(reply)]
                response = machine_pb2.RunResponse(**{member: encode(reply)})
                block.flush()
                response.stamp.CopyFrom(shell.stamp(run))
            except RefusedError as error:
                code = grpc.StatusCode.FAILED_PRECONDITION
                fail(response, code, str(error), error.errno)
                response.stamp.CopyFrom(shell.stamp(run))
            except CallError:
                raise
            except Exception as error:
                shell.broken(run, error, "machine request")
                run.check()
            response.records.extend(block.records)
        except CallError as error:
            fail(response, error.code, error.message, "")
        return response


def may_act(owners: Mapping[str, str], kvm: str, request: AnyRequest | machine_pb2.BeginStep) -> None:
    """Raises CallError PERMISSION_DENIED if the vCPU, or the thread that acts for it, is another session's (R7)."""
    for name in (request.vcpu, getattr(request, "task", "")):
        if (owner := owners.get(name, kvm)) != kvm:
            raise CallError(grpc.StatusCode.PERMISSION_DENIED, f"{name} belongs to session {owner}, not to {kvm}")


def fail(response: machine_pb2.RunResponse, code: grpc.StatusCode, message: str, errno: str) -> None:
    response.failure.code = code.value[0]
    response.failure.message = shortened(message)
    response.failure.errno = errno
