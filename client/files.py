"""Read and write files that a command line names. A file is read with a bounded size, without waiting for ever. It is
written with the folders that are missing, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import tempfile
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


def make_folder(folder: Path) -> None:
    """Create the folder and those above it. Raises InputError naming it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", str(folder)) from None


def write_file(path: Path, content: bytes) -> None:
    """Write the whole file, or nothing. Folders that are missing are created. A path that is not a regular file is
    written in place. Raises InputError naming the path."""
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", str(path)) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
