"""Reading what a command line names ends, whatever it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from client.files import read_file
from contract.errors import InputError
from tests.cases import cases
from tests.client.cli.commands import lbrlab


def test_a_device_is_no_file() -> None:
    with pytest.raises(InputError, match="/dev/zero: is not a regular file"):
        read_file(Path("/dev/zero"), 10)


def test_a_pipe_without_a_writer_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert read_file(tmp_path / "pipe", 10) == b""


def test_a_silent_pipe_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.files.SILENCE", 0.01)
    read, write = os.pipe()
    with pytest.raises(InputError, match="nothing was written"):
        read_file(Path(f"/dev/fd/{read}"), 10)
    os.close(read)
    os.close(write)


def test_a_pipe_is_read_to_its_end() -> None:
    read, write = os.pipe()

    def fill() -> None:
        for _ in range(3):
            os.write(write, b"x" * 1000)
        os.close(write)

    writer = threading.Thread(target=fill)
    writer.start()
    content = read_file(Path(f"/dev/fd/{read}"), 3000)
    writer.join()
    os.close(read)

    assert content == b"x" * 3000


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="larger than 0 MiB"):
        read_file(tmp_path / "file", 10)
    assert read_file(tmp_path / "file", 11) == b"x" * 11


@cases("arguments", [("check", "/dev/zero"), ("run", "exits", "--tape", "/dev/zero")])
def test_a_command_refuses_a_device(arguments: tuple[str, ...]) -> None:
    result = lbrlab(*arguments)

    assert result.exit_code == 2
    assert "/dev/zero: is not a regular file" in result.output
