"""Relays between two services, or a driver and a service, which a test can cut, delay and make lossy: the processes
live on, their connection does not, or not as well."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress

RETRANSMISSION = 0.2
"""Seconds until TCP sends a lost segment again."""


class Relay:
    """Passes on what comes over each connection to ``address`` until it is cut. ``target``: where it goes. ``passed``:
    bytes that went either way; the relay cuts by itself after so many of them as ``cut_at`` has, in order. ``delay``:
    seconds that each piece takes on its way. ``loss``: the part of the pieces that are lost and sent again later, which
    is what a stream sees of a lost packet."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/relay.sock"
        self.address = f"unix:{self.path}"
        self._begin(socket.create_server(self.path, family=socket.AF_UNIX))

    def _begin(self, listener: socket.socket) -> None:
        self.target = ""
        self.delay = 0.0
        self.loss = 0.0
        self.passed = 0
        self.cut_at: list[int] = []
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """All connections end, as by a reset."""
        self.cuts += 1
        ends, self._open = self._open, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = self._connect()
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _connect(self) -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        far.connect(self.target.removeprefix("unix:"))
        return far

    def _due(self) -> bool:
        """True if the relay has to cut now; for one of its threads only."""
        with self._lock:
            if due := bool(self.cut_at) and self.cut_at[0] <= self.passed:
                del self.cut_at[0]
            return due

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.passed += len(data)
                if self._due():
                    self.cut()
                    break
                if wait := self.delay + (RETRANSMISSION if random.random() < self.loss else 0.0):
                    time.sleep(wait)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class TcpRelay(Relay):
    """The same over TCP, at a free port of ``host``."""

    def __init__(self, host: str) -> None:
        listener = socket.create_server((host, 0))
        self.address = f"{host}:{listener.getsockname()[1]}"
        self._begin(listener)

    def _connect(self) -> socket.socket:
        host, _, port = self.target.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=None)
