"""Read and write files that a command line names. A file is read with a bounded size, without waiting for ever, and
with errors that name the expectation. It is written with the folders that are missing, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import stat
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from contract.errors import FullDiskError, InputError

T = TypeVar("T")

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


def files_below(folder: Path, ending: str) -> list[Path]:
    """The files in a folder and those below it whose names end so, in order of their paths. Raises InputError that
    names a folder which cannot be read: without it the rest would be taken for all."""

    def refuse(error: OSError) -> None:
        raise InputError(unreadable(error), str(error.filename or folder))

    found = [Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names]
    return sorted(path for path in found if path.name.endswith(ending))


def make_folder(folder: Path) -> None:
    """Create the folder and those above it. Raises InputError naming it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", str(folder)) from None


FAILED_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""Errors that no other path of the same disk would avoid."""


def write_file(path: Path, content: bytes) -> None:
    """Write the whole file, or nothing. Folders that are missing are created. A path that is not a regular file is
    written in place. Raises InputError naming the path, FullDiskError if the disk fails."""
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
        kind = FullDiskError if error.errno in FAILED_DISK else InputError
        raise kind(f"cannot write: {error.strerror}", str(path)) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def unreadable(error: OSError) -> str:
    """Why a file cannot be read."""
    return f"cannot read: {error.strerror or error}"


def read_content(path: Path, limit: int) -> bytes:
    """As ``read_file``, but for each failure InputError that names the path."""
    try:
        return read_file(path, limit)
    except OSError as error:
        raise InputError(unreadable(error), str(path)) from None


def read_text(path: Path, limit: int, encoding: str = "utf-8") -> str:
    """The text of a file. Raises InputError that names the path."""
    try:
        return read_content(path, limit).decode(encoding)
    except UnicodeDecodeError:
        raise InputError("not a text file in UTF-8", str(path)) from None


# JSON ----------------------------------------------------------------------------------------------------


class Head(msgspec.Struct):
    """The first fields of each JSON file of this program."""

    format: str
    version: int


def check_head(content: bytes, path: Path | str, what: str, form: str, version: int) -> None:
    """Check that a JSON file begins with ``format`` and ``version``. ``what``: what the file should be, "run file".
    Raises InputError that names the file and what was expected."""
    head = json_value(content, Head, path, what)
    if head.format != form:
        raise InputError(f"is not a {what}: its format is {head.format!r}, expected {form!r}", str(path))
    if head.version != version:
        raise InputError(
            f"is a {what} of version {head.version}; this program reads version {version}: make it again", str(path)
        )


def json_document(content: bytes, kind: type[T], path: Path | str, what: str, form: str, version: int) -> T:
    """The document in a JSON file, whose head is checked as in ``check_head``. Raises InputError that names the file
    and the place in it."""
    check_head(content, path, what, form, version)
    return json_value(content, kind, path, what)


def json_value(content: bytes, kind: type[T], path: Path | str, what: str) -> T:
    """The value in a JSON text. ``what``: what it should be. Raises InputError that names ``path`` and the place."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is not a {what}: {json_flaw(error, content)}", str(path)) from None


def json_flaw(error: Exception, content: bytes) -> str:
    """The flaw of a JSON text, in words. ``error``: of msgspec's decoder."""
    text = str(error)
    if not content.strip():
        return "it is empty"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, RecursionError):
        return "its parts nest too deep"
    if "truncated" in text:
        return "the JSON text ends early"
    if match := re.fullmatch(r"JSON is malformed: (.*) \(byte (\d+)\)", text):
        before = content[: int(match[2])]
        line = f"line {before.count(NEWLINE) + 1}, " if NEWLINE in content.strip() else ""
        return f"it is no JSON: {match[1]} in {line}column {len(before) - before.rfind(NEWLINE)}"
    return type_flaw(text)


def type_flaw(text: str) -> str:
    """A message of msgspec about a value of another type than expected, in words."""
    said, _, at = text.partition(" - at ")
    for before, after in _SAID:
        said = re.sub(before, after, said)
    said = re.sub(r"`([^`]*)`", lambda match: _type_name(match[1]), said)
    place = _place_in(at.split("`")[-2]) if "`" in at else ""
    return f"{place}: {said}" if place else said


def _type_name(text: str) -> str:
    return " or ".join(_TYPES.get(each, each) for each in text.split(" | "))


def _place_in(path: str) -> str:
    """``$.trace[8].cpu`` as ``trace: record 9: cpu``."""
    parts: list[str] = []
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        if name:
            parts.append(name)
        else:
            entry = _ENTRIES.get(parts[-1], "entry") if parts else "entry"
            parts.append(f"{entry} {int(index) + 1}" if index.isdecimal() else f"an {entry}")
    return ": ".join(parts)


NEWLINE = b"\n"
_ENTRIES = {"trace": "record", "tape": "decision", "faults": "rule"}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "array": "a list",
    "object": "an object",
    "bool": "true or false",
    "null": "null",
}
_SAID = (
    (r"^Expected", "expected"),
    (r", got", ", found"),
    (r"^Object missing required field `(.*)`", r"the field '\1' is missing"),
    (r"^Object contains unknown field `(.*)`", r"unknown field '\1'"),
    (r"^Invalid (?:enum )?value", "unknown value"),
)


_ENDINGS = {
    ".toml": ("a design", "-d takes"),
    ".litmus": ("a scenario", "is named before the options"),
    ".tape": ("a tape", "--tape takes"),
}


def mistaken(name: str, wanted: str) -> str:
    """Where the name of a file says that it holds another input than is ``wanted``, words for that; else ""."""
    what, place = _ENDINGS.get(Path(name).suffix, (wanted, ""))
    return "" if what == wanted else f"looks like {what}, which {place}"
