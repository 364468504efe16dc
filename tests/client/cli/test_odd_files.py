"""Pipes without a writer and endless devices: each command that reads a file refuses them at once."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cases import cases
from tests.client.cli.commands import lbrlab

READ = {
    "check": ["check", "FILE"],
    "confirm": ["confirm", "FILE"],
    "export": ["export", "FILE", "--to", "mail"],
    "report": ["report", "FILE"],
    "run": ["run", "FILE"],
    "run a design": ["run", "exits", "-d", "FILE"],
    "run a tape": ["run", "exits", "--tape", "FILE"],
    "run rules": ["run", "exits", "--faults", "FILE"],
    "matrix": ["matrix", "--baseline", "FILE"],
    "show": ["show", "FILE"],
    "shrink": ["shrink", "FILE"],
    "step": ["step", "FILE"],
}
"""A way to name a file for each kind of file that a command reads."""


@cases("name", READ)
def test_a_pipe_or_a_device_is_refused_at_once(name: str, tmp_path: Path) -> None:
    pipe = tmp_path / "odd.toml"
    os.mkfifo(pipe)
    for odd in (str(pipe), "/dev/zero"):
        result = lbrlab(*(odd if word == "FILE" else word for word in READ[name]))
        assert result.exit_code == 2
        assert Path(odd).name in result.stderr
    pipe.unlink()
