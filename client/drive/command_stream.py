"""All commands of a run on one stream, one at a time. Loads grpc; import it late.

A synchronous stream has no deadline for a single answer, so a thread watches the time and cancels a stream whose answer
is late. The stream is then not used again: an answer that still came would be taken for the answer to the next command.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Any

import grpc

from lbrlab.v1 import drive_pb2

METHOD = drive_pb2.DESCRIPTOR.services_by_name["DriveService"].full_name + "/Drive"
LOOK_EVERY = 0.05
"""Seconds between two looks at the clock. A late answer is noticed up to this much later."""


class StreamBrokenError(grpc.RpcError):
    """The stream ended before the answer came."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[()]:
        return ()


class CommandStream:
    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: SimpleQueue[drive_pb2.DriveRequest | None] = SimpleQueue()
        self._due = float("inf")
        self._late = False
        self._over = threading.Event()
        open_stream = channel.stream_stream(
            f"/{METHOD}", drive_pb2.DriveRequest.SerializeToString, drive_pb2.DriveResponse.FromString
        )
        self._call: Any = open_stream(iter(self._requests.get, None))
        threading.Thread(target=self._watch, name="lbrlab-deadline", daemon=True).start()

    @property
    def open(self) -> bool:
        return not self._over.is_set()

    def exchange(self, method: str, request: bytes, timeout: float) -> drive_pb2.DriveResponse:
        """The outcome of one command, within ``timeout`` seconds. Raises grpc.RpcError, after which the stream is
        closed."""
        self._due = time.monotonic() + timeout
        self._requests.put(drive_pb2.DriveRequest(method=method, request=request))
        try:
            response: drive_pb2.DriveResponse = next(self._call)
        except BaseException as error:
            self.close(cancel=True)
            if self._late:
                raise StreamBrokenError(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer in time") from None
            if isinstance(error, StopIteration):
                raise StreamBrokenError(grpc.StatusCode.UNAVAILABLE, "the stream of commands ended") from None
            raise
        self._due = float("inf")
        return response

    def close(self, *, cancel: bool = False) -> None:
        """Say that no further command follows. ``cancel`` aborts the command under way."""
        if self.open:
            self._over.set()
            self._requests.put(None)
        if cancel:
            self._call.cancel()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            if time.monotonic() > self._due:
                self._late = True
                self._call.cancel()
                return
