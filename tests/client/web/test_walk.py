"""A walk by hand on the page: its requests, and a reader who uses it in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from playwright.sync_api import Browser, Download, Page, expect

from client import api
from client.run.file import decoded
from client.schedule.decisions import format_tape, parse_tape
from client.timeline.timeline import timeline_of
from client.walk.documents import walk_document
from client.walk.walk import Walk
from client.web import walk as limits
from client.web.app import Server
from contract.trace import canonical
from tests.cases import cases
from tests.client.cli.commands import lbrlab
from tests.client.page.browser import CONTRAST, FOCUS, barriers, chromium, drawn
from tests.client.web.asking import ask
from tests.designs import REVOKE_GP

STORY = {"scenario": "central-story", "design": "revoke-gp"}
LOST = "drop host>kvm0 4 Revoke"


def asked(server: Server, *moves: str, path: str = "/walk", **inputs: object) -> tuple[int, Any]:
    status, _, content = ask(server, path, STORY | {"moves": [*moves]} | inputs)
    return status, json.loads(content)


def test_a_walk_stands_where_its_moves_lead(server: Server) -> None:
    walk = Walk(api.load("central-story"), REVOKE_GP)
    walk.go_on(14)
    walk.take(parse_tape(f"lbrlab-tape 1\n{LOST}\n"))
    status, told = asked(server, "n 3", "n; n 10", LOST)
    assert status == 200
    assert told["walk"] == msgspec.to_builtins(walk_document(walk))
    assert [move.count(";") for move in told["moves"]] == [2, 10, 0]
    assert ";".join(told["moves"]) == ";".join(map(str, walk.tape))
    report = ask(server, told["report"])[2].decode()
    assert json.loads(report.split('id="model">')[1].split("</script>")[0])["runs"][0]["total"] == walk.records

    # Nothing is kept between two requests: the moves in full lead to the same, and fewer of them to where it stood.
    before = asked(server, *told["moves"][:2])[1]
    assert asked(server, *told["moves"])[1]["walk"] == told["walk"]
    assert asked(server, "n 3", "n; n 10")[1]["walk"] == before["walk"]
    finished = asked(server, *told["moves"], "f")[1]
    assert (finished["walk"]["over"], finished["walk"]["verdict"]) == (True, "violated")
    assert finished["moves"][-1].endswith(";f")
    assert asked(server, *finished["moves"])[1]["walk"] == finished["walk"]


def test_its_files_play_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = ask(server, "/walk/file", STORY | {"moves": ["n 14", LOST, "f"]})[2]
    run = decoded(content, Path("walk.json"))
    Path("walk.json").write_bytes(content)
    Path("walk.tape").write_text(format_tape(run.tape))
    for number, given in enumerate((["walk.json"], ["central-story", "-d", "revoke-gp", "--tape", "walk.tape"])):
        assert lbrlab("run", *given, "-o", f"{number}.json").exit_code == 1
        assert canonical(api.check(f"{number}.json").records) == canonical(run.records)
    # One that is not over is continued by the default schedule.
    Path("early.json").write_bytes(ask(server, "/walk/file", STORY | {"moves": ["n 14", LOST]})[2])
    assert lbrlab("run", "early.json", "--then-default", "-o", "late.json").exit_code == 1
    assert canonical(api.check("late.json").records) == canonical(run.records)


@cases(
    ("moves", "error"),
    [
        (["n 14", "drop host>kvm0 5 Revoke"], "move 2: 'drop host>kvm0 5 Revoke' is not possible here; "),
        (["n", "walk on"], "move 2: 'walk on': expected n, n 5, f, or a decision: expected 'step THREAD'"),
        (["n 0"], "move 1: 'n 0': expected n, n 5, f"),
        (["n;;n"], "move 1: '': expected n"),
        (["f", "n"], "move 2: the run is over"),
        (["n 36", "n"], "move 2: the default schedule is at its end"),
        (["take kvm0>host 1 Hallo"], "move 1: 'take kvm0>host 1 Hallo': expected n, n 5, f, or a decision: unknown"),
        (["n 2001"], "move 1: a walk takes at most 2000 decisions before 'f'"),
        (["n 999999999"], "move 1: a walk takes at most 2000 decisions before 'f'"),
        (["x" * 99], f"move 1: '{'x' * 80}': expected"),
        (["n"] * 2001, "moves: expected at most 2000 moves, found 2001"),
        ([1], "not a request: moves: entry 1: expected a text"),
    ],
)  # fmt: skip
def test_a_bad_move_is_named(moves: list[str], error: str, server: Server) -> None:
    for path in ("/walk", "/walk/file"):
        status, told = asked(server, *moves, path=path)
        assert (status, list(told)) == (400, ["error"])
        assert error in told["error"]


def test_bad_inputs_are_named(server: Server) -> None:
    for inputs, error in (
        ({"design": "v77"}, "unknown design 'v77'"),
        ({"scenario": "", "text": "LBR x\n!"}, "scenario:2"),
        ({"faults": ["drop Nothing"]}, "faults 'drop Nothing'"),
        ({"wire": "grpc"}, "wire"),
    ):
        status, told = asked(server, **inputs)
        assert (status, error in told["error"]) == (400, True), told


def test_the_bound_counts_the_decisions_of_all_moves(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DECISIONS_LIMIT", 10)
    assert asked(server, "n 4", "n 6", "f")[0] == 200
    assert asked(server, "n 4", "n 7")[1]["error"] == "move 2: a walk takes at most 10 decisions before 'f'"
    assert asked(server, "n 10", "n")[0] == 400


# In a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


class Walker:
    """A reader who walks by hand. ``wrong`` collects errors."""

    def __init__(self, browser: Browser, url: str, **look: Any) -> None:
        self.page: Page = browser.new_page(viewport=look.pop("viewport", {"width": 1300, "height": 700}), **look)
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        self.open(url)

    def open(self, url: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]")

    def at(self, decision: int) -> None:
        """Wait until the walk stands there."""
        expect(self.page.locator("#where")).to_contain_text(f"Decision {decision},")
        self.page.wait_for_selector("#walk[aria-busy=false]")

    def over(self) -> None:
        """Wait until the run is over."""
        expect(self.page.locator("#where")).to_contain_text("the run is over: violated")
        self.page.wait_for_selector("#walk[aria-busy=false]")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def drawn(self, what: str) -> list[dict[str, Any]]:
        return drawn(self.page.frames[1], what)

    def state(self) -> tuple[object, ...]:
        """All that a reader sees of the point at which the walk stands, but for what was said about the last move."""
        look = "(parts) => parts.map((part) => document.getElementById(part).innerText)"
        lists = self.page.evaluate(look, ["where", "choices", "blocked", "beliefs", "changed"])
        report = self.page.frames[1].evaluate(look, ["verdict", "broken", "at", "detail", "count"])
        return *lists, *report, self.drawn("[data-message], [data-bar], .row"), self.page.url

    def status(self) -> str:
        return self.page.inner_text("#status")


def test_a_reader_loses_the_revoke_by_hand(browser: Browser, server: Server, tmp_path: Path) -> None:
    reader = Walker(browser, f"http://127.0.0.1:{server.port}/")
    at = reader.page
    report = at.frame_locator("#report")
    at.click("#by-hand")
    reader.at(0)
    assert at.get_attribute("#choices button >> nth=0", "class") == "next"
    reader.press(*["Enter"] * 3)
    reader.at(3)
    assert at.get_attribute("#status", "class") == ""
    at.click("#five")
    reader.at(8)
    at.click("h1")
    reader.press("1", *["Enter"] * 5)
    reader.at(14)
    last = report.locator("#s0-47").bounding_box()
    chart = report.locator("#scroll").bounding_box()
    assert last is not None
    assert chart is not None
    assert last["y"] + last["height"] <= chart["y"] + chart["height"] <= 700, "the newest record is in sight"
    assert reader.status().startswith("Decision 14: 8 new records, the last: host>kvm0 #4 Revoke")
    assert reader.status().endswith("The two sides now disagree.")
    terminal = Walk(api.load("central-story"), REVOKE_GP)
    terminal.go_on(14)
    told = walk_document(terminal)
    assert at.locator("#choices button").evaluate_all("all => all.map((one) => one.ariaLabel)") == [
        f"{choice.number}: {choice.text}{', next' if choice.number == 1 else ''}" for choice in told.choices
    ]
    before = reader.state()

    # A message in flight is a ring, and its fate is chosen in the list or in the picture.
    assert [arrow["fate"] for arrow in reader.drawn("[data-fate='in flight']")] == ["in flight"]
    report.locator("[data-decision^=drop]").click()
    reader.at(15)
    assert "host>kvm0 #4 Revoke: LOST" in reader.status()
    in_picture = reader.state()
    reader.press("u")
    reader.at(14)
    assert reader.state() == before
    at.dblclick("#choices [data-decision^=drop]")
    reader.at(15)
    assert at.get_attribute("#status", "class") == ""
    assert reader.state() == in_picture

    # The picture at the end is the trace of the same tape.
    at.click("#finish")
    reader.over()
    assert "Violated by this move: one-owner" in reader.status()
    with at.expect_download() as saved:
        at.click("#save-tape")
    tape = text_of(saved.value, tmp_path / "walk.tape")
    command = "lbrlab run central-story -d revoke-gp --tape walk.tape"
    assert reader.status() == f"Saved as walk.tape. To play it: {command}"
    run = api.run("central-story", "revoke-gp", tape=tmp_path / "walk.tape")
    assert [str(decision) for decision in run.tape] == tape.splitlines()[1:]
    timeline = timeline_of(run)
    seen = reader.drawn(".row .n, [data-dot], [data-message], [data-bar]")
    numbers = [one["text"] for one in seen if one.keys() == {"heads", "stubs", "text"}]
    assert numbers == [str(row.seq) for row in timeline.rows]
    assert {int(one["dot"]) for one in seen if "dot" in one} == {row.seq for row in timeline.rows if row.lane >= 0}
    fates = {int(one["message"]): one["fate"] for one in seen if "message" in one}
    assert fates == {number: message.fate for number, message in enumerate(timeline.messages)}
    bars = {(one["bar"], int(one["first"]), int(one["last"])) for one in seen if "bar" in one}
    end = len(timeline.rows)
    overlaps = {("overlap", both.first, both.last or end) for both in timeline.overlaps}
    assert bars == {(bar.kind, bar.first, bar.last or end) for bar in timeline.bars} | overlaps
    assert report.locator("#broken button").all_inner_texts() == [
        f"{f.invariant} @ {f.violations[0].seq}" for f in run.verdict.findings if f.violations
    ]
    assert report.locator("#tables tbody tr").count() == end + len(run.verdict.findings)
    with at.expect_download() as saved:
        at.click("#save-run")
    text_of(saved.value, tmp_path / "walk.json")
    assert canonical(api.check(tmp_path / "walk.json").records) == canonical(run.records)

    # The link shows the same. There, undo goes back by whole moves, too.
    other = Walker(browser, at.url)
    other.over()
    assert other.state() == reader.state()
    other.page.click("#undo")
    other.at(15)
    assert other.state() == in_picture
    assert reader.wrong + other.wrong == []


def text_of(download: Download, path: Path) -> str:
    download.save_as(path)
    return path.read_text()


def test_a_reader_goes_back_changes_the_design_and_mistypes(browser: Browser, server: Server) -> None:
    link = f"http://127.0.0.1:{server.port}/#scenario=central-story&design=revoke-gp&walk="
    reader = Walker(browser, f"{link}{quote('n 14,take host>kvm0 4 Revoke,n')}")
    at = reader.page
    report = at.frame_locator("#report")
    reader.at(16)
    # A message that has arrived is lost where it arrived. Undo brings the longer walk back.
    longer = reader.state()
    report.locator("#search").fill("Revoke")
    report.locator(".row.send .x").click()
    report.locator("#drop").click()
    reader.at(15)
    assert reader.status().startswith("Went back to where host>kvm0 #4 Revoke arrived, and lost it there.")
    report.locator("#search").fill("")
    at.click("#undo")
    reader.at(16)
    assert reader.state() == longer
    # Keys reach the walk from the report, too.
    report.locator(".row >> nth=0").click()
    reader.press("r")
    reader.at(0)

    # A decision of a tape; one that is not possible; one that cannot be read.
    at.fill("#other", "cut kvm0")
    at.press("#other", "Enter")
    reader.at(1)
    assert reader.status().endswith("greeting -> lost, the link is lost.")
    for typed, told in (
        ("step t9", "move 2: 'step t9' is not possible here"),
        ("nonsense", "move 2: 'nonsense': expected n"),
    ):
        at.fill("#other", typed)
        at.press("#other", "Enter")
        at.wait_for_selector("#status.wrong")
        expect(at.locator("#status")).to_contain_text(told)
        reader.at(1)

    # Another design starts again and says so; "back" returns to the walk.
    at.select_option("#design", "fenced")
    reader.at(0)
    assert reader.status() == (
        "The design has changed, so the walk starts again. Back in the browser returns to the 1 move before."
    )
    at.go_back()
    reader.at(1)
    assert at.input_value("#design") == "revoke-gp"
    at.fill("#faults", "drop Revoke 1")
    at.press("#faults", "Tab")
    reader.at(0)
    assert reader.status().startswith("The list of faults has changed, so the walk starts again.")

    # A scenario with a mistake leaves nothing to take.
    at.click("text=Edit the scenario")
    at.fill("#text", at.input_value("#text").replace("branch 40", "branch forty"))
    at.click("h1")
    at.wait_for_selector("#status.wrong")
    assert reader.status().startswith("scenario:12:19: expected a number")
    assert at.locator("#walk button:enabled").count() == 0
    assert at.inner_text("#choices") == ""

    # A link whose walk does not fit says where it fails.
    reader.open(f"{link}{quote('n,take host>kvm0 9 Ack')}")
    at.wait_for_selector("#status.wrong")
    reader.at(0)
    assert "move 2: 'take host>kvm0 9 Ack' is not possible here" in reader.status()
    # At its end, and behind it, the default schedule has nothing to take.
    reader.open(f"{link}{quote('n 33')}")
    reader.at(33)
    at.click("#five")
    reader.at(35)
    reader.press("Enter")
    expect(at.locator("#status")).to_have_text("Nothing is left to do: Finish ends the run and judges it.")
    reader.press("f", "f")
    expect(at.locator("#status")).to_have_text("The run is over. Undo goes back.")
    # Run ends the walk.
    at.click("#go")
    at.wait_for_selector("#walk", state="hidden")
    report.locator("#verdict", has_text="held").wait_for()
    assert [text for text in reader.wrong if "400" not in text] == []


def test_it_serves_keys_screen_readers_and_a_narrow_screen(browser: Browser, server: Server) -> None:
    link = f"http://127.0.0.1:{server.port}/#scenario=central-story&design=revoke-gp&walk={quote('n 14')}"
    reader = Walker(browser, link, viewport={"width": 360, "height": 740})
    at = reader.page
    reader.at(14)
    assert at.evaluate("document.documentElement.scrollWidth") <= 360
    for scheme in ("light", "dark"):
        at.emulate_media(color_scheme=scheme)
        assert at.evaluate(CONTRAST) == []
        assert at.frames[1].evaluate(CONTRAST) == []
    assert barriers(at) == []
    assert barriers(at.frames[1]) == []
    assert at.get_attribute("#status", "aria-live") == "polite"
    # By keys alone: the focus comes to the list, and stays there when a decision is taken.
    at.focus("#reset")
    at.keyboard.press("Tab")
    assert at.evaluate(FOCUS).startswith("1 arrives")
    reader.press("Tab", "Enter")
    reader.at(15)
    assert "LOST" in reader.status()
    assert at.evaluate(FOCUS) == "1 host: branch 8 on cpu0"
    reader.press("Enter")
    reader.at(16)
    reader.press("f")
    reader.over()
    assert at.evaluate(FOCUS) == "undo"
    assert reader.wrong == []
