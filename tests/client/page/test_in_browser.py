"""The report as a reader has it: opened in a browser, clicked through, compared with the trace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Dialog, Page, expect

from client import api
from client.page.html import page
from client.page.model import LIMIT, PageModel, page_model
from client.run.run import Run
from client.timeline.timeline import Timeline, timeline_of
from contract import trace as t
from tests.client.page.browser import CONTRAST, FOCUS, barriers, chromium, drawn

ROW = 22
"""Height of a row, pixels."""


@pytest.fixture(scope="module")
def lost() -> Run:
    return api.run("central-story", "revoke-gp", faults=["drop Revoke 1"])


@pytest.fixture(scope="module")
def timeline(lost: Run) -> Timeline:
    return timeline_of(lost)


@pytest.fixture(scope="module")
def model(lost: Run) -> PageModel:
    return page_model([lost, api.run("central-story", "revoke-gp")])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


class Reader:
    """A reader with the page open. ``wrong`` collects errors, dialogs and requests."""

    def __init__(self, browser: Browser, path: Path, text: str, **look: Any) -> None:
        path.write_text(text, encoding="utf-8")
        self.url = path.as_uri()
        self.page: Page = browser.new_page(viewport=look.pop("viewport", {"width": 1300, "height": 900}), **look)
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda r: None if r.url.startswith(self.url) else self.wrong.append(r.url))
        self.open("")

    def _dismiss(self, dialog: Dialog) -> None:
        self.wrong.append(dialog.message)
        dialog.dismiss()

    def open(self, place: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(self.url + place)
        self.page.wait_for_selector("html[data-ready]")

    def press(self, *keys: str) -> int:
        """The step that is selected after these keys."""
        for key in keys:
            self.page.keyboard.press(key)
        return self.step()

    def step(self) -> int:
        picked = self.page.get_attribute("[aria-selected=true]", "aria-posinset")
        assert picked is not None
        assert self.page.get_attribute("#canvas", "aria-activedescendant") in (f"s0-{picked}", f"s1-{picked}")
        assert f"step={picked}" in self.page.evaluate("location.hash")
        return int(picked)

    def drawn(self, what: str) -> list[dict[str, Any]]:
        return drawn(self.page, what)

    def facts(self, side: str) -> dict[str, str]:
        """The table of facts of the panel."""
        rows = self.page.locator(f"table[data-side={side}] tr").all_inner_texts()
        return dict(row.split("\t") for row in rows)


def test_the_central_story(browser: Browser, lost: Run, timeline: Timeline, model: PageModel, tmp_path: Path) -> None:
    reader = Reader(browser, tmp_path / "report.html", page(model))
    at = reader.page
    assert at.inner_text("#title") == "central-story under revoke-gp"
    assert at.inner_text("#verdict") == "violated"
    assert at.inner_text("#command") == "lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1'"
    assert reader.step() == min(v.seq for f in lost.verdict.findings for v in f.violations) == 52

    # Every record, message, bar and verdict is drawn as the trace has it.
    assert {int(row["dot"]) for row in reader.drawn("[data-dot]")} == {
        row.seq for row in timeline.rows if row.lane >= 0
    }
    arrows = {int(arrow["message"]): arrow for arrow in reader.drawn("[data-message]")}
    assert [arrows[n]["fate"] for n in range(len(timeline.messages))] == [m.fate for m in timeline.messages]
    for n, message in enumerate(timeline.messages):
        heads = 0 if message.fate == "dropped" else len(message.arrivals)
        assert (arrows[n]["heads"], arrows[n]["stubs"]) == (heads, int(not heads)), message
    assert "f1.1" in next(arrow["text"] for arrow in arrows.values() if arrow["fate"] == "dropped")
    bars = {(bar["bar"], int(bar["first"]), int(bar["last"])) for bar in reader.drawn("[data-bar]")}
    end = len(timeline.rows)
    assert bars == {(bar.kind, bar.first, bar.last or end) for bar in timeline.bars} | {("overlap", 52, 64)}
    assert {(v["invariant"], v["verdict"]) for v in reader.drawn("[data-invariant]")} == {
        (strip.invariant, verdict) for strip in timeline.strips for _, verdict in strip.changes
    }
    named = at.locator("#lanehead span").all_inner_texts()
    assert named == [*(lane.name for lane in timeline.lanes), "LBR of cpu0", *lost.broken(), "other invariants"]
    sample = lost.of(t.SampleTaken)[0].seq
    ring = [(r["owner"], int(r["count"])) for r in reader.drawn(f"[data-ring='{sample}']")]
    assert ring == [("host vm0/0", 3), ("guest vm0/0", 4), ("host vm0/0", 8)]

    # A click selects; the panel says what each side believes, and leads to causes.
    revoke = next(m for m in timeline.messages if m.kind == "Revoke")
    reader.open(f"#step={revoke.sent}")
    box = at.locator("[data-bar=overlap]").bounding_box()
    assert box is not None
    assert abs(box["height"] - 12 * ROW) < 4
    assert reader.press("m") == revoke.arrivals[0].seq
    assert "Revoke: LOST, fault f1.1" in at.inner_text("#at")
    assert reader.facts("belief") == {
        "vm0/0 in perf": "ERROR",
        "vm0/0 as KVM was told": "ACTIVE, grant 1",
        "vm0/0 the two agree": "NO",
    }
    at.click("#s0-51 .x")
    assert reader.step() == 51
    at.click("[data-invariant=one-owner][data-verdict=violated]", position={"x": 2, "y": 5})
    assert reader.step() == 52
    assert "one-owner violated" in at.inner_text(".violation >> nth=0")
    assert reader.facts("host")["cpu0 LBR of the host"] == "on"
    at.click(".violation a >> nth=0")
    assert reader.step() == 44
    at.click("text=host-clean @ 67")
    assert reader.step() == 67
    assert at.get_attribute("#detail .cells", "aria-label") == "3 host vm0/0, 4 guest vm0/0, 8 host vm0/0, 17 empty"

    # Keys, filters and the address.
    at.focus("#canvas")
    assert [reader.press(key) for key in ("Home", "j", "ArrowUp", "n", "n", "p", "End")] == [1, 2, 1, 52, 55, 52, end]
    reader.press("/")
    at.keyboard.type("Revoke")
    shown = sum("revoke" in row.text.lower() for row in timeline.rows)
    assert at.inner_text("#count") == f"{shown} of {end} records"
    at.fill("#search", "")
    at.keyboard.press("Escape")
    at.click("text=Sources")
    at.uncheck("#sources >> text=driver")
    assert at.inner_text("#count") == f"{sum(row.source != 'driver' for row in timeline.rows)} of {end} records"
    at.click("text=Kinds")
    at.uncheck("#kinds >> text=delivery")
    left = sum(row.source != "driver" and row.kind != "delivery" for row in timeline.rows)
    assert at.inner_text("#count") == f"{left} of {end} records"
    assert not at.is_visible("#sources"), "one menu is open at a time"
    at.keyboard.press("Escape")
    assert not at.is_visible("#kinds")
    reader.open(at.url.split("report.html")[1])
    assert at.inner_text("#count") == f"{left} of {end} records"
    reader.open("#step=52&ancestors=1")
    left = int(at.inner_text("#count").split(" ")[0])
    assert 2 < left < 52
    assert at.locator("#s0-44").count() == 1
    reader.open("#step=3")
    at.click("#play")
    expect(at.locator("#count")).to_have_text(re.compile(r"([5-9]|[1-4]\d) of .*"), timeout=10_000)
    assert at.locator(".row").count() < end / 2
    at.click("#play")
    assert at.inner_text("#count") == f"{end} of {end} records"
    reader.open("#step=90&axis=time&vm=vm0")
    assert reader.step() == 90
    assert at.is_checked("input[value=time]")
    assert reader.wrong == []


def test_two_runs_side_by_side_in_the_dark_on_paper_and_on_a_phone(
    browser: Browser, model: PageModel, tmp_path: Path
) -> None:
    reader = Reader(browser, tmp_path / "report.html", page(model), color_scheme="dark")
    at = reader.page
    assert at.evaluate(CONTRAST) == []
    at.select_option("#other", "1")
    first = model.alignments[0].first
    assert reader.step() == first == 48
    assert at.locator(".differs").count() == 2
    assert "LOST" in at.inner_text(f".differs#s0-{first} .x")
    assert "taken" in at.inner_text(f".differs#s1-{first} .x")
    pairs = {s.one + n: s.other + n for s in model.alignments[0].segments for n in range(s.count)}
    for one, other in ((40, pairs[40]), (49, pairs[49])):
        tops = [at.locator(f"#s{side}-{seq}").bounding_box() for side, seq in ((0, one), (1, other))]
        assert tops[0] is not None
        assert tops[1] is not None
        assert tops[0]["y"] == tops[1]["y"]
    heads = at.locator("#lanehead span", has_text=re.compile("^revoke-gp")).all()
    for side, name in enumerate(heads):
        boxes = name.bounding_box(), at.locator(f"#s{side}-{first} .x").bounding_box()
        assert boxes[0] is not None
        assert boxes[1] is not None
        assert abs(boxes[0]["x"] - boxes[1]["x"]) < 1, "the head of a pane is above it"
        assert boxes[1]["width"] > 250
    at.emulate_media(color_scheme="light")
    assert at.evaluate(CONTRAST) == []
    reader.open("#step=52")
    at.evaluate("dispatchEvent(new Event('beforeprint'))")
    at.emulate_media(media="print")
    assert at.locator(".row").count() == len(model.runs[0].rows)
    assert at.is_visible("#twin-0 tbody tr >> nth=50")
    at.emulate_media(media="screen")
    at.evaluate("dispatchEvent(new Event('afterprint'))")
    at.set_viewport_size({"width": 390, "height": 800})
    reader.open("#step=52")
    assert at.evaluate("document.documentElement.scrollWidth") <= 390
    text = at.locator("#s0-52 .x").bounding_box()
    assert text is not None
    assert text["width"] > 150
    assert reader.wrong == []


def test_many_lanes_leave_room_for_the_text(browser: Browser, tmp_path: Path) -> None:
    run = api.run("mech-four-vms-three-kvms", "fenced")
    reader = Reader(
        browser, tmp_path / "report.html", page(page_model([run, run])), viewport={"width": 1100, "height": 700}
    )
    at = reader.page
    for place, rows in (("#step=52", [0]), ("#step=52&with=1", [0, 1])):
        reader.open(place)
        chart = at.locator("#scroll").bounding_box()
        assert chart is not None
        for side in rows:
            text = at.locator(f"#s{side}-52 .x").bounding_box()
            assert text is not None
            assert text["width"] > 115, place
            assert text["x"] + text["width"] <= chart["x"] + chart["width"], place
    reader.open("#step=52")
    legend = at.locator("#legend")
    for width, columns, said in (
        (1900, True, "not exercised"),
        (1100, False, "No room for the columns of the invariants: the panel of a step has them."),
        (600, False, "No room for the LBR and the columns of the invariants: the panel of a step has them."),
    ):
        at.set_viewport_size({"width": width, "height": 700})
        at.locator("#legend", has_text=said).wait_for()
        assert ("invariants" in at.locator("#lanehead").inner_text()) is columns, width
        assert ("not exercised" in legend.inner_text()) is columns, width
        assert ("branches of" in legend.inner_text()) is (width != 600), width
    assert reader.wrong == []


def test_it_serves_a_reader_who_uses_keys_or_a_screen_reader(
    browser: Browser, model: PageModel, tmp_path: Path
) -> None:
    reader = Reader(browser, tmp_path / "report.html", page(model))
    at = reader.page
    for place in ("#step=52", "#step=67&with=1"):
        reader.open(place)
        at.click("#tables summary")
        assert barriers(at) == [], place
    # The tools come in the order of the page; then the timeline, the panel, and the records as a table.
    reader.open("#step=52")
    order: list[str] = []
    while not order or order[-1] not in ("BODY", "The records as a table"):
        at.keyboard.press("Tab")
        order.append(at.evaluate(FOCUS))
        assert len(order) < 200
    marks = ["Skip to the records as a table", "copy", "run", "search", "Sources", "play", "Keys", "canvas"]
    places = [order.index(mark) for mark in [*marks, "The records as a table"]]
    assert places == sorted(places)
    at.focus(".skip")
    at.keyboard.press("Enter")
    at.keyboard.press("Tab")
    assert at.evaluate(FOCUS) == "The records as a table"
    assert reader.wrong == []


def test_a_hostile_run_and_a_long_one(browser: Browser, model: PageModel, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    run = model.runs[0]
    rows = [replace(row, text=evil) for row in run.rows]
    long = replace(run, design=evil, purpose=evil, total=LIMIT + 5, rows=(rows * (LIMIT // len(rows) + 1))[:LIMIT])
    text = page(replace(model, runs=[long], alignments=[]))
    reader = Reader(browser, tmp_path / "report.html", text)
    at = reader.page
    assert at.inner_text("#purpose") == evil
    assert at.inner_text("#at") == f"Step 52: {evil}"
    assert at.locator("img").count() == 0
    assert at.inner_text("#notice") == ("This run has 20,005 records. The page shows the first 20,000; 5 are left out.")
    assert [reader.press("End"), reader.press("Home"), reader.press("PageDown")] == [LIMIT, 1, 21]
    assert 20 < at.locator(".row").count() < 200
    assert reader.wrong == []
