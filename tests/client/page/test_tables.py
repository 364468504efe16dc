"""The pages of tables: every cell leads to its run, the run's command plays it, and nothing needs a network."""

from __future__ import annotations

import re
import shlex
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import pytest
from playwright.sync_api import ConsoleMessage, Request

from client.cli import robust
from client.designs import DESIGNS
from client.document.contract import contract_document
from client.document.faulted import fault_table, fault_tasks
from client.document.needed import Need
from client.document.standing import standings
from client.litmus import library_path, load
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from client.matrix.pool import run_tasks
from client.page.contract_page import contract_page
from client.page.html import digest
from client.page.tables import anchor_of
from client.run.file import load_judged
from tests.client.cli.commands import document, lbrlab
from tests.client.page.browser import CONTRAST, barriers, chromium

FEW = [DESIGNS[name] for name in ("revoke-gp", "fenced")]
STORIES = [load(library_path(name)) for name in ("central-story", "guest-alone")]


class Read(HTMLParser):
    """``cells``: of grids, as kind, text and link. ``links``, ``ids``, ``commands``: of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str, str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.commands: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.grid = self.code = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.loads += [given[name] for name in ("src", "srcset", "data", "action") if name in given]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "table":
            self.grid = "grid" in given.get("class", "")
        elif tag == "td" and self.grid:
            self.cells.append((given.get("class", ""), "", ""))
        elif tag == "a":
            self.links.append(given["href"])
            if self.grid and self.cells:
                self.cells[-1] = (self.cells[-1][0], "", given["href"])
        self.code = tag == "code"

    def handle_data(self, data: str) -> None:
        if self.lasttag in ("td", "a") and self.grid and self.cells and data.strip():
            kind, text, link = self.cells[-1]
            self.cells[-1] = (kind, text + data, link)
        if self.code and data.strip():
            self.commands.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.code = False


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / "some" / "where" / f"{name}.html" for name in ("matrix", "robust", "cost", "contract")}
    few = ["--designs", "revoke-gp,fenced"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stories = ["--scenarios", "central-story,guest-alone", "--fault", "drop Revoke 1", "-o", "runs"]
        assert lbrlab("matrix", *few, *stories, "--workers", "1", "--html", str(found["matrix"])).exit_code == 1
        patch.setattr(robust, "FAULT_KINDS", [*FAULT_KINDS][:5])
        many = ["--faults", "all", "--scenarios", "central-story", "--runs", "4", "--workers", "1", "-o", "faults"]
        assert lbrlab("matrix", *few, *many, "--html", str(found["robust"])).exit_code == 1
        curve = ["--vary", "exits=1,2", "--picture", str(found["cost"])]
        assert lbrlab("cost", "c09-exits-per-switch", *few, *curve).exit_code == 0
    told = contract_document(FEW)
    names = [design.name for design in FEW]
    lost = (parse_fault("drop Revoke 1"),)
    cells, lossy = (
        [cell for row in run_tasks([(story, faults) for story in STORIES], FEW, None, workers=1) for cell in row]
        for faults in ((), lost)
    )
    told.standings = standings(names, cells, lossy)
    tasks = fault_tasks({"drop": FAULT_KINDS["drop"]}, ["central-story-in-full"])
    rows = run_tasks([task for _, task in tasks], FEW, None, workers=1)
    told.faulted = fault_table(names, tasks, enumerate(rows))
    told.needs = [Need("R9", "fenced+x=<y>", "r09-repair", [], [], ["no-loss"], "<b>", 3, str(folder / "a b.json"))]
    (folder / "a b.json").write_text("{}")
    found["contract"].write_text(contract_page(told, found["contract"]))
    return found


def test_every_cell_with_a_verdict_leads_to_its_row(pages: dict[str, Path]) -> None:
    for name, path in pages.items():
        read = Read(path.read_text())
        assert len(read.ids) == len(set(read.ids)), name
        assert {link[1:] for link in read.links if link.startswith("#")} <= {*read.ids}, name
        assert len(read.cells) > 10, name
        bare = [cell for cell in read.cells if cell[1] and not cell[2] and cell[0] != "idle"]
        # An invariant that no kind of fault breaks has no run of its own to lead to.
        assert [cell for cell in bare if cell[0] != "good" or cell[1] not in ("+", "0/4", "0/3", "0/2")] == [], name
        # Nor has a kind of fault that a design survives a run to lead to.
        assert name in ("contract", "robust") or bare == [], name


def test_the_links_to_run_files_lead_to_them(pages: dict[str, Path]) -> None:
    witnesses = len(list((pages["robust"].parents[2] / "faults").glob("revoke-gp-*.json")))
    assert witnesses > 1
    for name, number in (("matrix", 4), ("robust", witnesses), ("contract", 1), ("cost", 0)):
        files = [link for link in Read(pages[name].read_text()).links if not link.startswith("#")]
        assert len(files) == number, name
        assert all((pages[name].parent / unquote(link)).is_file() for link in files), name


def test_a_cell_of_faults_leads_to_its_witness_drawn(pages: dict[str, Path]) -> None:
    """The page alone shows the race, without the run files."""
    text = pages["robust"].read_text()
    for path in (pages["robust"].parents[2] / "faults").glob("revoke-gp-*.json"):
        kind = path.stem.removeprefix("revoke-gp-")
        shown = re.search(rf'<figure id="{anchor_of("witness", kind, "revoke-gp")}">(.*?)</figure>', text, re.DOTALL)
        assert shown is not None, kind
        run = load_judged(path)
        assert f"!! {run.broken()[0]} violated" in shown[1], kind
        assert all(str(rule) in shown[1] for rule in run.faults), kind
        assert max(map(len, shown[1].split("<pre>")[1].split("</pre>")[0].splitlines())) <= 80, kind


def test_a_violation_leads_to_a_command_that_shows_it(pages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pages["matrix"].parents[2])
    text = pages["contract"].read_text()
    row = re.search(rf'<tr id="{anchor_of("l", "one-owner", "revoke-gp")}">.*?<code>(.*?)</code>', text)
    assert row is not None
    words = shlex.split(row[1].replace("&#x27;", "'"))
    assert "one-owner" in document(lbrlab(*words[1:], "--json"))["invariants"]
    assert document(lbrlab(*words[1:], "--json"))["invariants"]["one-owner"] == "violated"
    shown = [command for command in Read(pages["matrix"].read_text()).commands if "central-story" in command]
    assert len(shown) >= 2
    for command in {*shown}:
        assert lbrlab(*shlex.split(command)[1:]).exit_code in (0, 1), command


def test_nothing_needs_a_network_or_a_script(pages: dict[str, Path]) -> None:
    for name, path in pages.items():
        text = path.read_text()
        read = Read(text)
        assert {"script", "iframe", "img", "link", "object"} & {*read.tags} == set(), name
        assert read.loads == [], name
        style = text.split("<style>")[1].split("</style>")[0]
        assert f"style-src '{digest(style)}'" in text, name
        assert "url(" not in style, name
        assert " style=" not in text, name
        assert "<b>" not in text, name


def test_only_a_page_of_lbrlab_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.html").write_text("<p>mine</p>")
    few = ["--designs", "v7", "--scenarios", "guest-alone", "--workers", "1"]
    for command in (
        ["matrix", *few, "--html", "mine.html"],
        ["contract", "--no-runs", "--html", "mine.html"],
        ["cost", "c09-exits-per-switch", "--designs", "v7", "--picture", "mine.html"],
    ):
        result = lbrlab(*command)
        assert (result.exit_code, "is not a report" in result.stderr) == (2, True), command
    for _ in range(2):
        assert lbrlab("contract", "--no-runs", "--html", "own.html").exit_code == 0
    assert Path("mine.html").read_text() == "<p>mine</p>"


def _text(told: list[str], message: ConsoleMessage) -> None:
    told.append(message.text)


def _url(asked: list[str], request: Request) -> None:
    asked.append(request.url)


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def test_in_a_browser_it_is_readable_light_dark_and_printed(pages: dict[str, Path]) -> None:
    with chromium() as browser:
        for name, path in pages.items():
            for scheme in SCHEMES:
                page = browser.new_page(viewport={"width": 1300, "height": 900}, color_scheme=scheme)
                told: list[str] = []
                asked: list[str] = []
                page.on("console", partial(_text, told))
                page.on("request", partial(_url, asked))
                page.goto(path.as_uri())
                assert page.evaluate(CONTRAST) == [], (name, scheme)
                assert (told, asked) == ([], [path.as_uri()]), (name, scheme)
                assert scheme == "dark" or barriers(page) == [], name
                if scheme == "dark":
                    page.emulate_media(media="print")
                    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == (
                        "rgb(255, 255, 255)"
                    )
                    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
                page.close()
