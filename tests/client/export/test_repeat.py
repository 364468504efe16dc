"""Every command that the program prints to repeat a run gives the same verdict on the same wire."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from client import api
from client.cli.campaign import _again, pairs_of
from client.cli.services import Services
from client.drive import pair as pairs
from client.drive.pair import Pair
from client.drive.wire import Layout
from client.export.command import command_of
from client.export.registry import FORMATS, export
from client.export.repeat import repetition
from client.page.html import page
from client.page.model import page_model
from client.run.file import save
from client.run.run import Run
from client.walk.walk import Walk
from contract.wire.tls import Identity
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab, unbroken
from tests.designs import REVOKE_GP

FAULT = "drop Revoke 1"
OWN = """LBR own
vm vm0 { lbr = on; }
host { run vm0/0 on cpu0; h0 = open cpu0 pinned branch any; }
vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; }
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Nobody drives it."""
    with Pair() as started:
        started.wire.close()
        yield started


@pytest.fixture
def services(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Commands that start two processes use these. The list has an entry for each time."""
    used: list[str] = []

    @contextmanager
    def running(layout: Layout, timeout: float = 5.0) -> Iterator[SimpleNamespace]:
        used.append("pair")
        wire = pair.connect(timeout)
        yield SimpleNamespace(wire=wire)
        wire.close()

    monkeypatch.setattr(pairs, "Pair", running)
    monkeypatch.chdir(tmp_path)
    return used


def again(command: str) -> dict[str, object]:
    """Carry out the command; the document of its run."""
    program, *words = shlex.split(command)
    assert program == "lbrlab"
    told = document(lbrlab(*words, "-o", "again.json", "--json"))
    assert "error" not in told, (command, told)
    return told


def commands_in(text: str) -> set[str]:
    """The commands of an export, with their folded lines joined."""
    plain = re.sub(r"\\?\n(?://|#)?     +(?=\S)", " ", text).replace("&#x27;", "'").replace("&apos;", "'")
    return {shlex.join(shlex.split(found)) for found in re.findall(r"lbrlab run [^\n\"<]*", plain)}


def test_a_run_on_two_processes_prints_its_command_with_the_wire(services: list[str]) -> None:
    Path("own.litmus").write_text(OWN)
    Path("mine.toml").write_text('about = "mine"\nlike = "revoke-gp"\n[axes]\nsave-select = "no"\n')
    tape = [str(decision) for decision in api.run("central-story", "revoke-gp", faults=[FAULT]).tape]
    Path("regression").mkdir()
    Path("late.tape").write_text("\n".join(["lbrlab-tape 1", *tape[:12], "step host+vm0/0", ""]))
    for asked in (
        ["central-story", "-d", "revoke-gp", "--fault", FAULT],
        ["own.litmus", "-d", "./mine.toml"],
        ["central-story", "-d", "revoke-gp", "--tape", "late.tape", "--lenient"],
    ):
        ran = document(lbrlab("run", *asked, "--wire", "grpc", "-o", "run.json", "--json"))
        assert ran.get("wire") == "grpc", ran
        run = api.check("run.json")
        again_by = repetition(run, 80)
        assert commands_in(page(page_model([run])).split("<details")[-1]) == {command_of(run)}
        found = set()
        for name in FORMATS:
            if name not in ("pytest", "perfetto", "litmus"):
                found |= commands_in(export(run, name).decode())
        assert found == {again_by.command}
        assert again_by.command.encode() in export(run, "perfetto")
        assert [file for file in again_by.files if file.encode() not in export(run, "perfetto")] == []
        for file, content in again_by.files.items():
            Path(file).write_text(content)
        for each in (command_of(run), again_by.command, litmus_command(run)):
            del services[:]
            told = again(each)
            assert (told["wire"], told["verdict"]) == ("grpc", ran["verdict"]), each
            assert told["invariants"] == ran["invariants"], each
            assert services == ["pair"]
        regression: dict[str, object] = {}
        exec(compile(export(run, "pytest").decode(), "test_it.py", "exec"), regression)
        test = next(value for name, value in regression.items() if name.startswith("test_"))
        if run.broken():
            with pytest.raises(AssertionError):
                test(Path("regression"))  # type: ignore[operator]
        else:
            test(Path("regression"))  # type: ignore[operator]
        assert services == ["pair", "pair"]


def litmus_command(run: Run) -> str:
    """The command in an exported litmus file, after the commands above it."""
    text = export(run, "litmus").decode()
    Path("FILE").write_text(text)
    for label, name in (("design", "mine.toml"), ("tape", "mine.tape")):
        if lines := re.findall(rf"^// {label}: (.*)$", text, re.MULTILINE):
            Path(name).write_text("\n".join([*lines, ""]))
    return re.findall(r"^// +(lbrlab run .*)$", text, re.MULTILINE)[0].replace("FILE", "./FILE")


def test_a_run_that_ended_early_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(api.load("central-story"), REVOKE_GP)
    walk.go_on(100)
    run = walk.run
    assert command_of(run) == "", "it is not at rest"
    early = repetition(run, 80)
    assert (early.decisions, list(early.files)) == (len(run.tape), ["central-story.tape"])
    assert early.command.endswith(" --tape central-story.tape --then-default")
    run.path = tmp_path / "early.json"
    save(run, run.path)
    command = command_of(run)
    assert command.endswith("early.json --then-default")
    monkeypatch.chdir(tmp_path)
    walk.finish()
    for file, content in early.files.items():
        Path(file).write_text(content)
    for each in (command, early.command):
        assert again(each)["invariants"] == {finding.invariant: finding.verdict for finding in walk.run.findings}


def test_a_matrix_on_services_names_them(pair: Pair, services: list[str]) -> None:
    """A scenario takes as many of them as it needs."""
    addresses = ["--perfcore", pair.perfcore.address, "--kvm", pair.kvm.address]
    chosen = ["--scenarios", "central-story", "--designs", "revoke-gp", "--fault", FAULT, "-o", "runs", *addresses]
    result = unbroken("matrix", *chosen, "--html", "matrix.html")
    assert result.exit_code == 1
    hint = re.findall(r"lbrlab run FILE(.*) to replay it", result.stdout)[0]
    found = commands_in(Path("matrix.html").read_text())
    assert found == {f"lbrlab run central-story -d revoke-gp --fault '{FAULT}' {shlex.join(addresses)}"}
    for command in (*found, f"lbrlab run runs/central-story-revoke-gp.json{hint}"):
        told = again(command)
        assert (told["wire"], told["verdict"]) == ("grpc", "violated")
    assert services == []


@cases(
    "options",
    [
        ("--kernel", "v6.16"),
        ("--fault", FAULT),
        ("--no-file-faults",),
        ("--fault", "drop SchedIn vm1/0"),
    ],
)
def test_each_command_of_a_matrix_gives_the_verdict_of_its_cell(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with another kernel, without the faults of a file, with a fault that some scenarios cannot have, and for a
    design of a file."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('about = "mine"\nlike = "v8"\n[axes]\nsave-select = "no"\n')
    chosen = ["--scenarios", "mech-revoke-is-lost,two-vms-one-cpu", "--designs", "revoke-gp,./mine.toml"]
    told = document(lbrlab("matrix", *chosen, *options, "-o", "runs", "--html", "matrix.html", "--json"))
    cells = {(cell["scenario"], cell["design"]): cell for cell in told["cells"]}
    commands = commands_in(Path("matrix.html").read_text())
    assert commands
    for command in commands:
        run = again(command)
        cell = cells[str(run["scenario"]), str(run["design"])]
        assert (run["verdict"], run["invariants"]) == (cell["verdict"], cell["invariants"]), command


def test_the_costs_of_a_design_of_a_file_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('about = "mine"\nlike = "v8"\n[axes]\nsave-select = "no"\n')
    assert (
        lbrlab("cost", "c09-exits-per-switch", "--designs", "v8,./mine.toml", "--picture", "cost.html").exit_code == 0
    )
    commands = [command for command in commands_in(Path("cost.html").read_text()) if "exits=64" not in command]
    shown = [next(c for c in sorted(commands) if f" -d {design}" in c) for design in ("v8", "./mine.toml")]
    assert [again(command)["design"] for command in shown] == ["v8", "mine"]


def test_services_are_named_as_they_were_given(tmp_path: Path) -> None:
    one = Services(("unix:/a b", "10.0.0.1:7401"), ("unix:k", "unix:l"), identity=Identity(tmp_path))
    assert one.options() == (
        f" --perfcore 'unix:/a b' --perfcore 10.0.0.1:7401 --kvm unix:k --kvm unix:l --tls {tmp_path}"
    )
    assert one.options(api.load("central-story")) == " --perfcore 'unix:/a b' --kvm unix:k"
    exposed = Services(("10.0.0.1:7401",), ("10.0.0.1:7402",), insecure=True)
    assert exposed.options() == " --perfcore 10.0.0.1:7401 --kvm 10.0.0.1:7402 --insecure"
    assert Services().options() == ""
    assert _again(()) == ""
    assert _again(pairs_of(["unix:p,unix:k"], None, False)) == " --perfcore unix:p --kvm unix:k"
    assert _again(pairs_of(["unix:p,unix:k,unix:l"], None, False)) == " --wire grpc"
