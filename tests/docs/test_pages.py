"""Pages of the documentation: sizes, generated pages, fields of JSON documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.main import get_group

from client import api
from client.cli.app import app
from client.cli.documents import DOCUMENTS, schemas
from client.cli.reference import commands_page
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


def test_the_functions_of_the_walk_through_the_house_are_in_their_files() -> None:
    walk = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## A walk")[1].split("\n## ")[0]
    named = re.findall(r"`(\w+)`\s+in\s+\[[^]]+\]\(([^)]+)\)", walk)
    assert len(named) >= 10
    assert [name for name, path in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")] == []


def test_the_index_links_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.split("#")[0]).resolve() for link in LINK.findall(index.read_text(encoding="utf-8"))}
    assert {path for path in pages() if path != index} <= linked


def test_every_page_of_the_reference_is_generated() -> None:
    elsewhere = {"settings.md"}  # tests/contract/wire/test_settings.py compares it
    written = {f"{name}.md" for name in GENERATED} | {"commands.md", "schemas.json", "python.md"} | elsewhere
    assert {path.name for path in (DOCS / "reference").iterdir()} == written


@cases(("name", "page"), [("commands.md", commands_page), ("schemas.json", schemas)])
def test_the_page_of_the_commands_and_the_schemas_are_those_of_the_program(name: str, page: Callable[[], str]) -> None:
    kept = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert kept == page(), f"docs/reference/{name} is out of date: run 'make docs' and commit it"


def test_the_page_of_the_python_api_has_all_of_it() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    members = re.findall(r":members: (.*)", page)[0].split(", ")
    assert sorted(members + re.findall(r"client\.api\.(\w+)$", page, re.MULTILINE)) == sorted(api.__all__)


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
SCHEMAS = json.loads((DOCS / "reference" / "schemas.json").read_text(encoding="utf-8"))
NAMES = {
    "run and check": "run",
    "run with schedules": "run --schedules",
    "matrix with faults": "matrix --faults",
    "step of a scenario": "step SCENARIO",
    "Errors": "error",
}
"""Sections of json.md whose title is not the name of their schema."""


def misfits(name: str, told: Any) -> list[str]:
    """Where a document does not fit its schema."""
    schema = Draft202012Validator({"$ref": f"#/$defs/{name.replace(' ', '%20')}", "$defs": SCHEMAS["$defs"]})
    return [f"{error.json_path}: {error.message}" for error in schema.iter_errors(told)]


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
        ("step of a scenario", ["step", "central-story"]),
        ("Errors", ["run", "no-such-scenario"]),
    ],
)
def test_a_document_has_the_fields_that_are_listed(title: str, command: list[str]) -> None:
    told = document(lbrlab(*command, "--json"))
    assert sorted(fields(title)) == sorted(told)
    assert misfits(NAMES.get(title, title), told) == []


def test_the_document_of_a_live_run_has_the_fields_that_are_listed() -> None:
    told = document(lbrlab("record", "--duration", "0.1", "--vcpus", "1", "--json"))
    assert sorted([*fields("run and check"), "live"]) == sorted(told)
    assert fields("record") == ["live"]
    assert misfits("record", told) == []
    assert told["live"]["replayed"]


@cases("command", ["shrink", "confirm", "coverage", "step"])
def test_a_document_of_a_run_file_has_the_fields_that_are_listed(command: str) -> None:
    lbrlab("run", "central-story", "-d", "v8", "-o", "a.json")
    assert sorted(fields(command)) == sorted(document(lbrlab(command, "a.json", "--json")))


def test_the_documents_of_exports_have_the_fields_that_are_listed() -> None:
    lbrlab("run", "central-story", "-o", "a.json")
    told = document(lbrlab("export", "a.json", "-o", "a.md", "--json"))
    assert sorted(fields("export")) == sorted(told)
    assert sorted(fields("report")) == sorted(document(lbrlab("report", "a.json", "--json")))


def test_a_run_file_has_the_fields_that_are_listed() -> None:
    lbrlab("run", "central-story", "-d", "fenced", "--fault", "drop Revoke 1", "-o", "run.json")
    section = JSON.split("## Run files")[1]
    kept = json.loads(Path("run.json").read_text())
    assert re.findall(r"`(\w+)`", section) == list(kept)
    assert misfits("run file", kept) == []
    kept["trace"][5]["kind"] = "no such kind"
    assert len(misfits("run file", kept)) == 1


@cases(
    "command",
    [
        *(f"{name} a.json" for name in ("check", "shrink", "confirm", "coverage", "show", "step", "tape", "report")),
        *("export a.json -o a.md", "export --list", "certs certs --kvm kvm0", "designs", "designs --axes"),
        *("invariants", "scenarios", "lang", "msrs"),
    ],
)
def test_a_document_fits_its_schema(command: str) -> None:
    lbrlab("run", "central-story", "-d", "v8", "-o", "a.json")
    told = json.loads(lbrlab(*command.split(), "--json").stdout)
    assert misfits(command if command in DOCUMENTS else command.split()[0], told) == []


def test_every_command_with_a_document_has_a_schema() -> None:
    with_json = [
        name for name, found in get_group(app).commands.items() if any("--json" in p.opts for p in found.params)
    ]
    assert [name for name in with_json if name not in DOCUMENTS] == []
    assert {re.split(r" --| [A-Z]", name)[0] for name in DOCUMENTS} - set(with_json) == {"error", "run file"}
