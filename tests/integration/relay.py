"""A relay between a KVM and its perf core, which a test can cut: the services live on, their connection does not."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """Passes on what comes over each connection to ``address`` until it is cut. ``target``: where it goes. ``passed``:
    bytes that went either way; the relay cuts by itself after so many of them as ``cut_at`` has, in order."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/relay.sock"
        self.address = f"unix:{self.path}"
        self.target = ""
        self.passed = 0
        self.cut_at: list[int] = []
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(self.path, family=socket.AF_UNIX)
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
                far = socket.socket(socket.AF_UNIX)
                try:
                    far.connect(self.target.removeprefix("unix:"))
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

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
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
