"""Commands that pages show: each is accepted, most are run, and output that is shown is the output."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_group

import kvm_svc.service.main
import perfcore_svc.service.main
from client.cli.app import app
from client.litmus import library
from contract.errors import ExitCode
from tests.cases import cases
from tests.client.cli.commands import lbrlab
from tests.docs.pages import DOCS, ROOT, pages, title_of

PROGRAMS = ("lbrlab", "perfcore-svc", "kvm-svc", "make")
SERVICES = {"perfcore-svc": perfcore_svc.service.main, "kvm-svc": kvm_svc.service.main}
GROUP = get_group(app)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

_CODE = re.compile(rf"^(?:    )(?:\$ )?((?:{'|'.join(PROGRAMS)})(?: .*)?)$", re.MULTILINE)
_INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)})(?: [^`\n]*)?)`")
SESSION = re.compile(r"^    \$ (lbrlab .*)\n((?:    .*\n)+)", re.MULTILINE)


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


def to_run(page: Path) -> Iterator[tuple[list[str], str]]:
    """Commands of a page that are carried out in one process."""
    for command in in_code(page):
        (program, *words), output = split(command)
        services = {"--perfcore", "--kvm", "--wire"} & set(words)
        if (
            program == "lbrlab"
            and words[0] not in LONG
            and words != ["claims"]
            and not services
            and not {"FILE", "RUN"} & set(words)
        ):
            yield words, output


WITH_COMMANDS = [page for page in pages() if title_of(page) not in ELSEWHERE and list(to_run(page))]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it: with the scenario that the guide has one save, and the recorded cases."""
    monkeypatch.chdir(tmp_path)
    guide = text_of(DOCS / "scenarios.md").split("Save this as `story.litmus`:\n")[1].split("Then run it:")[0]
    (tmp_path / "story.litmus").write_text(re.sub(r"^    ", "", guide, flags=re.MULTILINE))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return tmp_path


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=title_of)
def test_commands_do_what_they_are_shown_for(page: Path, workplace: Path) -> None:
    """In the order of the page, as a reader would type them."""
    for words, output in to_run(page):
        if "mine" in words:
            continue  # a design of a package that is not installed here
        result = lbrlab(*words)
        assert result.exit_code not in (ExitCode.BAD_INPUT, ExitCode.SYSTEM_FAILED), (words, result.stderr)
        if output:
            (workplace / output).write_text(result.stdout)


@pytest.mark.parametrize("page", [page for page in pages() if SESSION.search(text_of(page))], ids=title_of)
def test_output_that_is_shown_is_the_output(page: Path, workplace: Path) -> None:
    for command, shown in SESSION.findall(text_of(page)):
        words = split(command)[0][1:]
        if words[0] in LONG:
            continue
        assert lbrlab(*words).stdout.splitlines() == [line[4:] for line in shown.rstrip().splitlines()], command


def test_the_readme_shows_what_the_demo_prints(workplace: Path) -> None:
    readme = text_of(ROOT / "README.md")
    shown = [line[4:] for line in readme.split("It prints:\n\n")[1].split("\nEach column")[0].rstrip().splitlines()]
    printed = lbrlab("demo", "--wire", "sim").stdout.splitlines()
    first = next(i for i, line in enumerate(printed) if line.startswith("7 runs on "))
    assert re.fullmatch(r"7 runs on two processes joined by gRPC, [0-9.]+ s, judged by their traces", shown[0])
    assert shown[1:] == [line.rstrip() for line in printed[first + 1 : first + len(shown)]]


def test_scenarios_that_pages_name_are_in_the_library() -> None:
    known = {path.stem for path in library()}
    name = re.compile(r"`((?:c\d\d|r\d\d|mech|perf-e\d\d|kvm-w\d\d)-[a-z][a-z0-9-]*)`")
    assert {found for page in pages() for found in name.findall(text_of(page))} <= known
