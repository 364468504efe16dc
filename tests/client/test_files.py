"""Reading what a command line names ends, whatever it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from client.files import files_below, read_file
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


def test_a_folder_below_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its files are missing, and nothing says so. Root can read every folder; so the test patches scandir."""
    for name in ("b/2.json", "b/c/3.json", "1.json", "b/other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in files_below(tmp_path, ".json")] == ["1.json", "2.json", "3.json"]
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "c":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="b/c: cannot read: Permission denied"):
        files_below(tmp_path, ".json")


def test_a_full_disk_is_the_fault_of_the_environment(tmp_path: Path) -> None:
    """A path that is wrong is a bad input."""
    kept = str(tmp_path / "run.json")
    lbrlab("run", "exits", "-d", "fenced", "-o", kept)
    for path, code in (("/dev/full", 3), (kept + "/x.md", 2)):
        result = lbrlab("export", kept, "--to", "markdown", "-o", path)
        assert (result.exit_code, result.stderr.startswith(f"lbrlab: error: {path}: cannot write: ")) == (code, True)
