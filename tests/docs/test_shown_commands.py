"""Commands that pages show: each is accepted, most are run, and output that is shown is the output."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.main import get_command, get_group

import kvm_svc.service.main
import perfcore_svc.service.main
from client.cli.app import app
from client.litmus import library
from contract.errors import ExitCode
from contract.wire.tls import Identity
from tests.cases import cases
from tests.client.cli.commands import lbrlab
from tests.docs.pages import ROOT, pages, title_of

PROGRAMS = ("lbrlab", "perfcore-svc", "kvm-svc", "make")
SERVICES = {"perfcore-svc": perfcore_svc.service.main, "kvm-svc": kvm_svc.service.main}
GROUP = get_group(app)
OPTIONS = {flag for param in get_command(app).params for flag in param.opts} | {"--help"}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

_CODE = re.compile(rf"^(?:    )(?:\$ )?((?:{'|'.join(PROGRAMS)})(?: .*)?)$", re.MULTILINE)
_INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)})(?: [^`\n]*)?)`")
SESSION = re.compile(r"^    \$ (lbrlab .*)\n((?:    (?!\$ ).*\n)+)", re.MULTILINE)
SAVED = re.compile(r"[Ss]ave this as `([^`]+)`:\n\n((?:    .*\n|\n)+)")
LEFT_OUT = "..."
"""A line that stands for any number of lines of the output."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def in_code(page: Path) -> list[str]:
    """Commands on lines of their own."""
    return _CODE.findall(text_of(page))


def split(command: str) -> tuple[list[str], str]:
    """Words of a command without its comment, and where its output goes ("" on the terminal)."""
    words = shlex.split(command, comments=True)
    return (words[: words.index(">")], words[-1]) if ">" in words else (words, "")


def problem(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why a command is not accepted; "" if it is. Nothing is carried out."""
    (program, *words), _ = split(command)
    try:
        if program == "make":
            assert set(words) <= TARGETS, f"no such target: {words}"
        elif program == "lbrlab" and words and words[0].startswith("--"):
            assert words[0] in OPTIONS, f"no such option: {words[0]}"
        elif program == "lbrlab" and words:
            assert words[0] in GROUP.commands, f"no such command: {words[0]}"
            GROUP.commands[words[0]].make_context(words[0], words[1:])
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
    found = {command: problem(command, monkeypatch) for command in in_code(page)}
    spoken = {command: problem(command, monkeypatch) for command in _INLINE.findall(text_of(page))}
    found |= {command: why for command, why in spoken.items() if not why.startswith("Missing parameter: ")}
    assert {command: why for command, why in found.items() if why} == {}


@cases(
    "command",
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
def test_a_command_that_is_wrong_is_found(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(command, monkeypatch) != ""


# Commands that are carried out ---------------------------------------------------------------------------

ELSEWHERE = {"contract/fenced.md": "tests/client/document/test_fenced_page.py"}
"""Pages whose commands another test runs."""
LONG = {"demo", "web", "matrix", "contract", "oracle", "campaign", "coverage", "scoreboard"}
"""Commands that play the whole library, or do not end; their own tests run them."""


def to_run(command: str) -> tuple[list[str], str] | None:
    """The words of a command that is carried out in this process, and where its output goes."""
    (program, *words), output = split(command)
    elsewhere = {"--perfcore", "--kvm", "--wire", "FILE", "RUN"} & set(words) or words == ["claims"]
    if program != "lbrlab" or not words or words[0] in LONG or elsewhere:
        return None
    return words, output


WITH_COMMANDS = [page for page in pages() if title_of(page) not in ELSEWHERE and any(map(to_run, in_code(page)))]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it: with the files that the guides have one save, and the recorded cases."""
    monkeypatch.chdir(tmp_path)
    for page in pages():
        for name, text in SAVED.findall(text_of(page)):
            assert not (tmp_path / name).exists(), f"{name} is saved twice"
            (tmp_path / name).write_text(re.sub(r"^    ", "", text, flags=re.MULTILINE))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return tmp_path


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=title_of)
def test_commands_do_what_they_are_shown_for(page: Path, workplace: Path) -> None:
    """In the order of the page, as a reader would type them. Output that is shown is the output."""
    shown = dict(SESSION.findall(text_of(page)))
    for command in in_code(page):
        if not (carried_out := to_run(command)):
            continue
        words, output = carried_out
        result = lbrlab(*words)
        assert result.exit_code not in (ExitCode.BAD_INPUT, ExitCode.SYSTEM_FAILED), (command, result.stderr)
        if output:
            (workplace / output).write_text(result.stdout)
        if command in shown:
            printed = result.stdout.splitlines()
            assert is_shown_by(printed, [line[4:] for line in shown[command].rstrip().splitlines()]), (command, printed)


def is_shown_by(printed: list[str], shown: list[str]) -> bool:
    """Whether the lines of an output are those that a page shows, in order."""
    pattern = "".join("(?:.*\n)*?" if line == LEFT_OUT else re.escape(line) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


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
    assert is_shown_by(["a", "b", "c"], shown) is right


def test_the_readme_shows_what_the_demo_prints(workplace: Path) -> None:
    readme = text_of(ROOT / "README.md")
    shown = [line[4:] for line in readme.split("It prints:\n\n")[1].split("\nEach column")[0].rstrip().splitlines()]
    printed = lbrlab("demo", "--wire", "sim").stdout.splitlines()
    assert [as_on_grpc(line) for line in printed] == [as_on_grpc(line) for line in shown]


def as_on_grpc(line: str) -> str:
    """A line of the demo without its time, the path of the program, and the wire."""
    line = re.sub(r"^  \S+ (show|check) ", r"  .venv/bin/lbrlab \1 ", line.rstrip()).replace("-sim.json", "-grpc.json")
    return re.sub(
        r"^7 runs on (two processes joined by gRPC|one process, simulated wire), [0-9.]+ s,",
        "7 runs on two processes joined by gRPC, 0.0 s,",
        line,
    )


def test_scenarios_that_pages_name_are_in_the_library() -> None:
    known = {path.stem for path in library()}
    name = re.compile(r"`((?:c\d\d|r\d\d|mech|perf-e\d\d|kvm-w\d\d)-[a-z][a-z0-9-]*)`")
    assert {found for page in pages() for found in name.findall(text_of(page))} <= known
