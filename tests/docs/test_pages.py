"""Pages of the documentation: sizes, generated pages, fields of JSON documents."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cases import cases
from tests.client.cli.commands import document, lbrlab
from tests.docs.pages import DOCS, ROOT, pages

README_BYTES = 8192
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
GENERATED = {
    "language": ["lang"],
    "invariants": ["invariants"],
    "designs": ["designs"],
    "msrs": ["msrs"],
    "contract": ["contract", "--no-runs"],
}


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands leave run files where they run."""
    monkeypatch.chdir(tmp_path)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


def test_the_tests_that_security_names_are_there() -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_index_links_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.split("#")[0]).resolve() for link in LINK.findall(index.read_text(encoding="utf-8"))}
    assert {path for path in pages() if path != index} <= linked


def test_every_page_of_the_reference_is_generated() -> None:
    by_the_services = {"settings"}  # tests/contract/wire/test_settings.py compares it
    assert {path.stem for path in (DOCS / "reference").iterdir()} == set(GENERATED) | by_the_services


@cases("name", GENERATED)
def test_a_page_of_the_reference_is_what_the_program_prints(name: str) -> None:
    result = lbrlab(*GENERATED[name], "--markdown")
    assert result.exit_code == 0
    kept = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert kept == result.stdout, f"docs/reference/{name}.md is out of date: run 'make docs' and commit the page"


@cases("name", GENERATED)
def test_one_format_at_a_time(name: str) -> None:
    result = lbrlab(*GENERATED[name], "--markdown", "--json")
    assert (result.exit_code, document(result)["error"]) == (2, "--markdown, --json: expected one of them")


JSON = (DOCS / "json.md").read_text(encoding="utf-8")


def fields(title: str) -> list[str]:
    """The fields that a section of json.md lists."""
    section = re.split(rf"^## {title}$", JSON, flags=re.MULTILINE)[1].split("\n## ")[0]
    return [
        field for names in re.findall(r"^- (.*?):", section, re.MULTILINE) for field in re.findall(r"`(\w+)`", names)
    ]


@cases(
    ("title", "command"),
    [
        ("run and check", ["run", "central-story"]),
        ("run with schedules", ["run", "central-story", "--schedules", "1"]),
        ("demo", ["demo", "--wire", "sim"]),
        ("matrix", ["matrix", "--designs", "merged", "--scenarios", "central-story", "--workers", "1"]),
        (
            "matrix with faults",
            ["matrix", "--faults", "all", "--runs", "1", "--designs", "merged", "--scenarios", "r12-fence"],
        ),
        ("campaign", ["campaign", "--runs", "1", "--workers", "1"]),
        ("differ", ["differ", "merged", "v8", "--scenarios", "r14-revoke"]),
        ("scoreboard", ["scoreboard", "tests.quality.few", "--runs", "5", "--control-runs", "1", "--workers", "1"]),
        ("claims", ["claims", "C4"]),
        ("cost", ["cost", "central-story", "--designs", "merged"]),
        ("contract", ["contract", "--no-runs"]),
        ("faults", ["faults"]),
        ("Errors", ["run", "no-such-scenario"]),
    ],
)
def test_a_document_has_the_fields_that_are_listed(title: str, command: list[str]) -> None:
    assert sorted(fields(title)) == sorted(document(lbrlab(*command, "--json")))


@cases("command", ["shrink", "confirm", "coverage"])
def test_a_document_of_a_run_file_has_the_fields_that_are_listed(command: str) -> None:
    lbrlab("run", "central-story", "-d", "v8", "-o", "a.json")
    assert sorted(fields(command)) == sorted(document(lbrlab(command, "a.json", "--json")))


def test_the_documents_of_exports_have_the_fields_that_are_listed() -> None:
    lbrlab("run", "central-story", "-o", "a.json")
    told = document(lbrlab("export", "a.json", "-o", "a.md", "--json"))
    assert sorted(fields("export")) == sorted(told)
    assert sorted(fields("report")) == sorted(document(lbrlab("report", "a.json", "--json")))


def test_a_run_file_has_the_fields_that_are_listed() -> None:
    lbrlab("run", "central-story", "-o", "run.json")
    section = JSON.split("## Run files")[1]
    assert re.findall(r"`(\w+)`", section) == list(json.loads(Path("run.json").read_text()))
