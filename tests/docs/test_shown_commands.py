"""Commands that pages and the help show: each is accepted and carried out, and output that is shown is the output.

The page of the commands has the examples of each help, so they are carried out here too."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command, get_group

import client.cli.pools
import kvm_svc.service.main
import perfcore_svc.service.main
from client.cli.app import app
from client.litmus import library
from client.workers.pool import InThisProcess
from contract.errors import ExitCode
from contract.wire.tls import Identity
from tests.cases import cases
from tests.client.cli.commands import lbrlab, too_wide
from tests.docs.pages import DOCS, ROOT, pages, title_of
from tests.docs.shown import LEFT_OUT, Shown, saved_by, shown_by, spoken_of, text_of
from tests.forked import Forked

SERVICES = {"perfcore-svc": perfcore_svc.service.main, "kvm-svc": kvm_svc.service.main}
GROUP = get_group(app)
OPTIONS = {flag for param in get_command(app).params for flag in param.opts} | {"--help"}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


# Commands that are accepted ------------------------------------------------------------------------------


def problem(command: Shown, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why a command is not accepted; "" if it is. Nothing is carried out."""
    program, words = command.program, command.words
    try:
        if program == "make":
            assert set(words) <= TARGETS, f"no such target: {words}"
        elif program == "lbrlab" and words and words[0].startswith("--"):
            assert words[0] in OPTIONS, f"no such option: {words[0]}"
        elif program == "lbrlab" and words:
            assert words[0] in GROUP.commands, f"no such command: {words[0]}"
            GROUP.commands[words[0]].make_context(words[0], list(words[1:]))
        elif program in SERVICES and set(words) - {"--lease"}:
            parse_service(program, words, monkeypatch)
    except (AssertionError, Exception, SystemExit) as error:
        return str(error) or repr(error)
    return ""


def parse_service(program: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [program, *words])
        patch.setattr(SERVICES[program], "run", lambda options: options)
        patch.setattr(asyncio, "run", lambda options: 0)
        # A folder and a file that the reader makes.
        patch.setattr(Identity, "check", lambda identity: None)
        patch.setattr("contract.wire.settings.read._from_file", lambda service, settings, path: {})
        with pytest.raises(SystemExit) as end:
            SERVICES[program].main()
        assert end.value.code == 0, f"{program} does not take {words}"


@cases("page", pages(), ids=title_of)
def test_commands_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a sentence a command may have no arguments."""
    found = {command.line: problem(command, monkeypatch) for command in shown_by(page)}
    spoken = {command.line: problem(command, monkeypatch) for command in spoken_of(page)}
    found |= {line: why for line, why in spoken.items() if not why.startswith("Missing parameter: ")}
    assert {line: why for line, why in found.items() if why} == {}


@cases(
    "line",
    [
        "lbrlab rum x",
        "lbrlab --verison",
        "lbrlab run",
        "lbrlab run x --desing v7",
        "lbrlab matrix --workers many",
        "make it",
        "kvm-svc --port 1",
    ],
)
def test_a_command_that_is_wrong_is_found(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(Shown(line, None), monkeypatch) != ""


@cases("name", GROUP.commands)
def test_a_help_has_an_example_of_its_command(name: str) -> None:
    assert re.search(rf"^\s*lbrlab {name}\b", GROUP.commands[name].help or "", re.MULTILINE)


# Commands that are carried out ---------------------------------------------------------------------------

NOT_CARRIED_OUT = {
    r"(?!lbrlab|make demo)": "the programs of the services and make: their own tests run them",
    r".* --(perfcore|dask|tls) (?!unix:)": "services and schedulers that the reader starts",
    r"lbrlab web\b": "it does not end",
    r"lbrlab (run FILE|\w+ RUN)\b": "a word that stands for a file",
    r"lbrlab record\b": "it takes as long as it says: tests/integration/test_live.py",
    r"lbrlab oracle": "tests/oracle/test_oracle.py",
    r"lbrlab scoreboard": "minutes; tests/quality/test_scoreboard.py",
    r"lbrlab claims( --verbose)?$": "tests/client/claims",
    r"lbrlab contract(?! --no-runs)": "tests/client/document and tests/client/page",
    r"lbrlab (matrix(?!.* --scenarios)|coverage (all|lbrlab-runs/matrix))": "the whole library; tests/client/matrix",
    r"lbrlab differ .*--faults": "tests/client/search",
    r"lbrlab campaign .*--(runs [0-9]{4,}|time)": "minutes; tests/client/search",
}
"""Commands that no test of pages carries out, and who does it."""
STANDS_FOR = {"make demo": "lbrlab demo"}


def is_carried_out(command: Shown) -> bool:
    line = " ".join([command.program, *command.words])
    return command.in_background or not any(re.match(pattern, line) for pattern in NOT_CARRIED_OUT)


def own_commands() -> dict[Path, list[Shown]]:
    """Page to the commands that are carried out with it. A command that needs no file is carried out with the first
    page that has it, unless a page shows its output."""
    known: set[str] = set()
    found: dict[Path, list[Shown]] = {}
    for page in pages():
        for command in filter(is_carried_out, shown_by(page)):
            words = " ".join(command.words)
            if command.uses_files() or command.output or words not in known:
                found.setdefault(page, []).append(command)
            known.add(words)
    return found


COMMANDS = own_commands()


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """No process for each core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.cli.pools, "Processes", lambda workers: InThisProcess())
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture
def services(workplace: Path) -> Iterator[Callable[[Shown], None]]:
    """A function that starts a service of a page in the background, for the time of a test."""
    started: list[Forked] = []

    def start(command: Shown) -> None:
        words = [word.replace("unix:", f"unix:{workplace}/") for word in command.words]
        started.append(Forked(SERVICES[command.program].__name__, words))
        assert json.loads(started[-1].stdout.readline())["address"].startswith("unix:")

    yield start
    for service in reversed(started):
        service.terminate()
        assert service.wait(5) == 0


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it: with the files that the guides have one save, and the recorded cases."""
    monkeypatch.chdir(tmp_path)
    for page in pages():
        for name, text in saved_by(page).items():
            assert not (tmp_path / name).exists(), f"{name} is saved twice"
            (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return tmp_path


@pytest.mark.parametrize("page", COMMANDS, ids=title_of)
def test_commands_do_what_they_are_shown_for(page: Path, workplace: Path, services: Callable[[Shown], None]) -> None:
    """In the order of the page, as a reader would type them. Output that is shown is the output."""
    for command in COMMANDS[page]:
        if command.in_background:
            services(command)
            continue
        words = STANDS_FOR.get(command.line, command.line).split()[1:] if command.program == "make" else command.words
        result = lbrlab(*words, given=(workplace / command.source).read_text() if command.source else "")
        assert result.exit_code not in (ExitCode.BAD_INPUT, ExitCode.SYSTEM_FAILED), (command.line, result.stderr)
        assert command.status in (None, result.exit_code), (command.line, result.exit_code)
        if command.target:
            (workplace / command.target).write_text(result.stdout, encoding="utf-8")
        if not is_made_for_programs(command):
            assert too_wide(result.stdout.splitlines()) == [], command.line
        printed = [as_printed_anywhere(line) for line in result.stdout.splitlines()]
        shown = Shown(command.line, command.output and tuple(map(as_printed_anywhere, command.output)))
        assert shown.is_answered_by(printed), (command.line, printed)


def is_made_for_programs(command: Shown) -> bool:
    """Whether the output is a document, or a file as it is, whose lines may be wide."""
    return "--json" in command.words or command.words[:1] == ["scenarios"]


def as_printed_anywhere(line: str) -> str:
    """A line of output without the time that it took and the path of the program."""
    line = re.sub(r"\b[0-9.]+ s, judged", "0 s, judged", line.rstrip())
    return re.sub(r"^  \S+ (?=(show|check|web)\b)", "  lbrlab ", line)


def test_a_line_can_promise_its_exit_code() -> None:
    lines = ("lbrlab run x  # ends with 1", "lbrlab run x  # walk by hand", "lbrlab run x")
    assert [Shown(line, None).status for line in lines] == [1, None, None]


def test_an_output_that_is_shown_says_something() -> None:
    """A prompt with nothing behind it but a line left out shows what nobody compares."""
    empty = [command.line for page in pages() for command in shown_by(page) if set(command.output or ()) == {LEFT_OUT}]
    assert empty == []


def test_output_is_shown_of_commands_that_are_carried_out() -> None:
    shown = [command for page in pages() for command in shown_by(page) if command.output]
    assert len(shown) > 10
    assert [command.line for command in shown if not is_carried_out(command)] == [
        "lbrlab oracle tests/oracle/cases.jsonl.xz"
    ]


@cases(
    ("shown", "right"),
    [
        (["a", "b", "c"], True),
        (["a", "...", "c"], True),
        (["...", "c"], True),
        (["a", "..."], True),
        (["a", "c"], False),
        (["a", "..", "c"], False),
        (["...", "b"], False),
        (["c", "...", "a"], False),
    ],
)
def test_lines_can_be_left_out(shown: list[str], right: bool) -> None:
    assert Shown("lbrlab x", tuple(shown)).is_answered_by(["a", "b", "c"]) is right


def test_scenarios_that_pages_name_are_in_the_library() -> None:
    known = {path.stem for path in library()}
    name = re.compile(r"`((?:c\d\d|r\d\d|mech|perf-e\d\d|kvm-w\d\d)-[a-z][a-z0-9-]*)`")
    assert {found for page in pages() for found in name.findall(text_of(page))} <= known


def test_the_page_of_the_commands_has_each_command() -> None:
    sections = re.findall(r"^## (\w+)$", text_of(DOCS / "reference" / "commands.md"), re.MULTILINE)
    assert sections == list(GROUP.commands)
