"""Read a file that a command line names: of bounded size, without waiting for ever."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from contract.errors import InputError

SILENCE = 10.0
"""Seconds that the writer of a pipe may be silent."""
CHUNK = 1 << 20


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file or a pipe of at most ``limit`` bytes. The size from stat is not used as the bound:
    a device has size 0.

    Raises OSError, or InputError that names the path: for a device, a longer file, and a pipe without a writer."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISDIR(mode)):
        raise InputError("is not a regular file", str(path))
    content = bytearray()
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while len(content) <= limit:
            try:
                chunk = os.read(handle, CHUNK)
            except BlockingIOError:
                if not select.select([handle], [], [], SILENCE)[0]:
                    raise InputError(f"is a pipe, and nothing was written to it for {SILENCE:g} s", str(path)) from None
                continue
            if not chunk:
                return bytes(content)
            content += chunk
    finally:
        os.close(handle)
    raise InputError(f"larger than {limit >> 20} MiB", str(path))
