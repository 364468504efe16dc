"""The output of the commands fits 80 columns: in a pipe, and on a terminal of that width."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.text import Text

from client.cli.app import app
from client.cli.console import console, print_columns
from tests.cases import cases
from tests.client.cli.commands import WIDTH, folded, lbrlab, too_wide
from tests.designs import DESIGNS

COMMANDS = (
    "scenarios",
    "lang",
    "designs",
    "designs --axes",
    "designs fenced",
    "invariants",
    "invariants recovers",
    "msrs",
    "contract --no-runs",
    "cost c09-exits-per-switch",
    "cost c07-entry-fails --designs fail-entry,fenced",
    "matrix --scenarios c04*,mech-pinned-failure-takes-guest-v512 --workers 1",
    "demo --wire sim",
    "claims C1 C2 C4",
    "run c04-cpu-pinned-comes-later -d revoke-gp --fault drop:Revoke:1",
    "run mech-four-vms-three-kvms -d v7",
    f"matrix --scenarios guest-alone --workers 1 --designs {','.join(DESIGNS)},v7+release=never,v8+release=never",
)


@cases("command", COMMANDS)
def test_no_line_is_wider_than_a_terminal_usually_is(command: str) -> None:
    text = lbrlab(*command.split()).stdout.splitlines()
    assert len(text) > 2
    assert too_wide(text) == []


def test_the_list_of_commands_has_whole_sentences() -> None:
    told = lbrlab("--help").stdout.split("Commands:")[1].splitlines()
    assert len(told) > 20
    assert [line for line in told if line.endswith("...")] == []


@cases(("columns", "sizes"), [(1, [1]), (9, [9]), (10, [5, 5]), (11, [5, 6]), (12, [9, 3]), (19, [6, 6, 7])])
def test_no_column_is_left_alone_in_a_last_table(columns: int, sizes: list[int]) -> None:
    out, names = console(), [f"c{number}" for number in range(columns)]
    with out.capture() as captured:
        print_columns(out, ["name", *names], [["x" * 17, *(["1234567"] * columns)]], apart=0)
    heads = [line.split()[1:] for line in captured.get().splitlines() if line.startswith("name")]
    assert [name for head in heads for name in head] == names
    assert [len(head) for head in heads] == sizes


ERRORS = (
    "run central-story -d nodesign",
    "run central-story -d fenced+notifier=blorb",
    "run central-story -d fenced --fault blorb:Revoke:1",
    "run central-story -d fenced --fault drop:Nothing:1",
    "run c09-exits-per-switch --let turns=2",
    "matrix --kernel linux",
    "invariants nothing",
    "export x.json --to nothing",
    "claims C99",
    "matrix --runs 7",
    "matrix --scenarios zz*",
    "run /a/folder/with/a/long/name/and/another/folder/with/a/long/name/in/it/story.litmus",
)


@cases("command", ERRORS)
def test_no_line_of_an_error_is_wider(command: str) -> None:
    result = folded(*command.split())
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith("lbrlab: error:")
    assert too_wide(lines) == []
    assert {line[:4] for line in lines[1:]} <= {"    "}


def test_no_line_of_a_warning_is_wider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for let in ("exits=2", "exits=3"):
        folded("run", "c09-exits-per-switch", "--let", let)
    runs = Path("lbrlab-runs")
    (taken,) = {path.name for path in runs.iterdir() if "exits2" in path.name}
    (runs / taken).write_bytes(next(path for path in runs.iterdir() if path.name != taken).read_bytes())
    told = folded("run", "c09-exits-per-switch", "--let", "exits=2").stderr.splitlines()
    assert told[0].startswith("lbrlab: warning:")
    assert too_wide(told) == []


def test_no_line_that_names_a_long_run_file_is_wider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    faults = [word for rule in ("drop Revoke first 2", "hold SchedIn 1 by 4") for word in ("--fault", rule)]
    told = folded("run", "mech-pinned-failure-takes-guest-v512", "-d", "v7+shut-out=no", *faults).stdout.splitlines()
    (path,) = [line.strip() for line in told if "lbrlab-runs/" in line]
    assert len(path) > WIDTH - 4
    assert path.startswith("lbrlab-runs/")
    assert too_wide(told) == []


def test_no_line_of_a_text_export_is_wider(tmp_path: Path) -> None:
    path = str(tmp_path / "run.json")
    for scenario, design in (("central-story-in-full", "merged"), ("central-story", "revoke-gp")):
        lbrlab("run", scenario, "-d", design, "--fault", "hold Revoke 1 by 4", "-o", path)
        for name in ("markdown", "litmus", "ktap"):
            told = folded("export", path, "--to", name).stdout.splitlines()
            assert [line for line in told if len(line) > WIDTH] == [], name


def test_no_line_of_a_log_is_wider(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    lbrlab("run", "mech-four-vms-three-kvms", "-d", "v7", "-o", str(path))
    whole = lbrlab("show", str(path)).stdout.splitlines()
    assert too_wide(whole) == []
    documents = json.loads(lbrlab("show", str(path), "--json").stdout)
    numbered = [int(line[:5]) for line in whole if line[:5].strip().isdigit()]
    assert numbered == [document["seq"] for document in documents]
    words = " ".join(whole).split()
    assert all(word in words for document in documents for word in document["text"].split())


def test_on_a_terminal_it_is_as_wide_as_that() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from client.cli.entry import main; main()", "designs"]
    environment = {**os.environ, "COLUMNS": "60", "NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        told = b""
        while process.poll() is None or not told:
            try:
                told += os.read(ours, 1 << 16)
            except OSError:
                break
    os.close(ours)
    widths = [len(line) for line in Text.from_ansi(told.decode().replace("\r", "")).plain.splitlines()]
    assert 50 < max(widths) <= 60


def test_every_command_that_prints_tables_has_a_machine_readable_twin() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    options = {name: [flag for param in found.params for flag in param.opts] for name, found in group.commands.items()}
    assert [name for name, flags in options.items() if "--json" not in flags] == []
