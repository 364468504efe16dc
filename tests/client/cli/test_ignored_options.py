"""No option is ignored in silence: where it has no effect it is refused, with exit code 2 and its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from client.cli.app import app
from tests.cases import cases
from tests.client.cli.commands import unbroken

SERVICES = ("--perfcore", "unix:p", "--kvm", "unix:k")
FAULTS_ALL = ("matrix", "--scenarios", "exits", "--designs", "v7", "--faults", "all")
MATRIX = ("matrix", "--scenarios", "exits", "--designs", "v7")
TAPE = ("run", "exits", "--tape", "exits.tape")

IGNORED: dict[str, list[tuple[str, ...]]] = {
    "--timeout": [
        ("run", "exits"),
        ("run", "exits", "--wire", "sim"),
        ("run", "exits", "--schedules", "2"),
        MATRIX,
        FAULTS_ALL,
        ("claims", "C4"),
        ("demo", "--wire", "sim"),
    ],
    "--wait": [
        ("campaign",),
        ("run", "exits"),
        ("run", "exits", "--wire", "grpc"),
        MATRIX,
        ("claims", "C4"),
        ("demo",),
        ("confirm", "r.json"),
        ("record",),
    ],
    "--take-over": [
        ("campaign",),
        ("run", "exits"),
        MATRIX,
        FAULTS_ALL,
        ("claims", "C4"),
        ("demo",),
        ("confirm", "r.json"),
        ("record",),
    ],
    "--tls": [
        ("campaign",),
        ("record",),
        ("run", "exits"),
        ("run", "exits", *SERVICES),
        MATRIX,
        ("claims", "C4"),
        ("demo",),
        ("confirm", "r.json"),
    ],
    "--insecure": [
        ("campaign",),
        ("record",),
        ("run", "exits"),
        ("run", "exits", *SERVICES),
        ("run", "exits", "--perfcore", "localhost:1", "--kvm", "127.0.0.1:2"),
        MATRIX,
        ("claims", "C4"),
        ("demo",),
        ("confirm", "r.json"),
    ],
    "--wire sim": [("run", "exits", *SERVICES), ("demo", *SERVICES)],
    "--wire grpc": [("run", "exits", "--schedules", "2")],
    "--perfcore": [("run", "exits"), MATRIX, ("claims", "C4"), ("demo",), ("confirm", "r.json"), ("record",)],
    "--kvm": [("run", "exits"), MATRIX, ("claims", "C4"), ("demo",), ("confirm", "r.json"), ("record",)],
    "--kvms": [("record", *SERVICES), ("record", "exits")],
    "--vcpus": [("record", "exits")],
    "--kill-every": [("record", *SERVICES)],
    "--fault 'drop Revoke'": [("record",)],
    "--fault 'crash kvm0 at 1ms'": [("record",)],
    "--fault 'delay p=0.5 by 1ms'": [("record",)],
    "--seed": [
        ("run", "exits"),
        ("run", "exits", "--faults", "all"),
        ("run", "r.json"),
        MATRIX,
        (*MATRIX, "--faults", "all seed=1"),
    ],
    "--runs": [MATRIX, (*MATRIX, "--faults", "lossy")],
    "--schedules": [("run", "r.json"), TAPE],
    "--tape exits.tape": [
        ("run", "r.json"),
        ("run", "exits", "--fault", "drop Revoke"),
        ("run", "exits", "--schedules", "2"),
    ],
    "--then-default": [("run", "exits"), (*TAPE, "--lenient"), ("run", "r.json", "--lenient")],
    "--lenient": [("run", "exits"), ("run", "exits", "--schedules", "2")],
    "--fault": [("run", "r.json"), TAPE, FAULTS_ALL],
    "--faults": [("run", "r.json"), TAPE],
    "--faults ''": [("run", "exits"), MATRIX, ("run", "exits", "--schedules", "2")],
    "--faults empty.faults": [("run", "exits"), MATRIX, ("run", "exits", "--schedules", "2")],
    "--no-file-faults": [
        ("run", "exits"),
        ("run", "exits", "--schedules", "2"),
        ("run", "r.json"),
        TAPE,
        MATRIX,
        FAULTS_ALL,
    ],
    "--let": [("run", "central-story")],
    "--design ''": [("run", "exits"), ("run", "exits", "--schedules", "2"), ("run", "r.json")],
    "--designs ''": [("matrix",), ("campaign",), ("cost", "exits")],
    "--scenarios ''": [("matrix",), ("campaign",), ("differ", "v7", "v8")],
    "--baseline": [("run", "exits", "--schedules", "2"), FAULTS_ALL],
    "--write-baseline": [("run", "exits", "--schedules", "2"), FAULTS_ALL],
    "--workers": [
        (*MATRIX, "--dask", "tcp://h:1"),
        (*MATRIX, *SERVICES),
        ("campaign", "--dask", "tcp://h:1"),
        ("campaign", "--pair", "unix:p,unix:k"),
        ("contract", "--no-runs"),
    ],
    "--dask": [
        (*MATRIX, *SERVICES),
        (*MATRIX, "--workers", "2"),
        ("campaign", "--workers", "2"),
        ("campaign", "--pair", "unix:p,unix:k"),
    ],
    "--faults crash": [("campaign", "--pair", "unix:p,unix:k")],
    "--stories": [],
    "--no-stories": [("campaign", "--scenarios", "none")],
    "--picture": [("cost", "central-story")],
    "--vary": [("cost", "central-story")],
    "--list": [("export", "r.json"), ("export", "--to", "svg"), ("export", "-o", "x")],
    "--to ''": [("export", "r.json")],
    "--json": [
        ("export", "r.json"),
        ("designs", "v7", "--markdown"),
        ("lang", "--markdown"),
        ("contract", "--markdown"),
    ],
    "--markdown": [("invariants", "--json"), ("msrs", "--json"), ("designs", "--axes")],
    "--axes": [("designs", "--markdown")],
    "--verbose": [("claims", "C4", "--json"), ("oracle", "c.jsonl", "--json")],
    "--invariant": [("shrink", "r.json"), ("show", "r.json")],
}
"""Option, with its value where VALUES has none, to commands in which it has no effect."""
VALUES = {
    "--timeout": "3", "--wait": "3", "--perfcore": "unix:p", "--kvm": "unix:k", "--seed": "7", "--runs": "7",
    "--schedules": "2", "--fault": "drop Revoke", "--faults": "lossy", "--let": "exits=1", "--baseline": "none.json",
    "--write-baseline": "none.json", "--workers": "2", "--dask": "tcp://h:1", "--picture": "x.svg",
    "--vary": "exits=1,2", "--kvms": "2", "--kill-every": "1", "--tls": "certs",
    "--invariant": "none-such",
}  # fmt: skip
ALWAYS = {
    "--output": "each command that has it writes a file, or a folder",
    "--at": "the record at which a walk begins, or that the document has",
    "--expect": "an expectation decides the verdict of each run",
    "--kernel": "the rules of each run, or the rows of a table",
    "--control-runs": "the controls are always played",
    "--time": "a limit beside --runs",
    "--corpus": "a folder that does not exist yet is a corpus that grows",
    "--junit": "it is always written",
    "--host": "each is a name in the certificates of services",
    "--duration": "how long a live run is free",
    "--speed": "of virtual time in a live run",
    "--vcpus": "of a live run",
    "--pair": "the services on which a campaign plays",
    "--days": "each certificate ends some day",
    "--port": "the server always listens",
    "--pmu": "the MSRs of this PMU version",
    "--counters": "the MSRs of so many counters",
    "--fixed": "the MSRs of so many fixed counters",
    "--html": "a page is written beside the table",
    "--no-runs": "it leaves runs out",
}
"""Options with an effect wherever they can be given, and which."""


@pytest.fixture(autouse=True)
def files(in_tmp: Path) -> None:
    unbroken("run", "exits", "-o", "r.json")
    Path("exits.tape").write_text(unbroken("tape", "r.json").stdout)
    Path("empty.faults").write_text("# none\n")
    Path("c.jsonl").write_text("")


@cases("option", IGNORED)
def test_an_option_without_effect_is_refused(option: str) -> None:
    flag, _, value = option.partition(" ")
    given = [value.strip("'")] if value else [VALUES[flag]] if flag in VALUES else []
    for command in IGNORED[option]:
        result = unbroken(*command, flag, *given)
        assert result.exit_code == 2, (command, result.output)
        named = flag in result.stderr or (given and given[0] and given[0] in result.stderr)
        assert named, (command, result.stderr)


def test_each_option_is_in_the_table() -> None:
    group = typer.main.get_command(app)
    flags = {
        flag
        for command in vars(group)["commands"].values()
        for param in command.params
        for flag in [*param.opts[:1], *param.secondary_opts]
        if flag.startswith("--")
    }
    table = {option.partition(" ")[0] for option in IGNORED}
    assert flags - table - ALWAYS.keys() == set()
    assert table - flags == set()
    assert ALWAYS.keys() - flags == set()
