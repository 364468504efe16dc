"""One service on one Unix socket. gRPC unlinks a socket that is there and listens in its place, and unlinks it by its
path at its end; a lock beside the socket keeps a second service from both."""

from __future__ import annotations

import fcntl
from typing import IO


def hold(listen: str) -> IO[str] | None:
    """The lock of a ``unix:PATH`` address, held until it is closed or the process ends; None for other addresses.

    The file PATH.lock stays: another service may wait for it already when it is removed.
    Raises OSError where the folder cannot be written, RuntimeError where another service has the socket."""
    if not listen.startswith("unix:"):
        return None
    path = listen.removeprefix("unix:")
    lock = open(f"{path}.lock", "w")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RuntimeError(f"another service listens at {listen}") from None
    return lock
