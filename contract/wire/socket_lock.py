"""One service on one Unix socket. gRPC unlinks an existing socket and listens in its place, and unlinks the path again
at its end. A lock file beside the socket prevents a second service from doing either."""

from __future__ import annotations

import fcntl
from typing import IO


def hold(listen: str) -> IO[str] | None:
    """The lock of a ``unix:PATH`` address, held until it is closed or the process ends; None for other addresses.

    The file PATH.lock stays: another service may already wait for it when it would be removed. Raises OSError if the
    folder cannot be written, RuntimeError if another service has the socket."""
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
