"""The data of the report, and its HTML, without a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from client import api
from client.page.align import align
from client.page.html import TABLE_LIMIT, page
from client.page.model import PageModel, page_model
from client.run.run import Run
from client.timeline.timeline import timeline_of
from contract import trace as t
from tests.client.cli.commands import document, lbrlab


@pytest.fixture(scope="module")
def lost() -> Run:
    return api.run("central-story", "revoke-gp", faults=["drop Revoke 1"])


@pytest.fixture(scope="module")
def good() -> Run:
    return api.run("central-story", "revoke-gp")


@pytest.fixture(scope="module")
def model(lost: Run, good: Run) -> PageModel:
    return page_model([lost, good])


def test_the_data_are_those_of_the_timeline(lost: Run, model: PageModel) -> None:
    timeline, run = timeline_of(lost), model.runs[0]
    assert [row.text for row in run.rows] == [row.text for row in timeline.rows]
    assert [run.kinds[row.kind] for row in run.rows] == [row.kind for row in timeline.rows]
    assert [m.fate for m in run.messages] == [m.fate for m in timeline.messages]
    ends = {m.kind: (run.lanes[m.sender].name, run.lanes[m.receiver].name) for m in run.messages}
    assert (ends["CreateEvent"], ends["Revoke"]) == (("kvm0", "perf"), ("perf", "kvm0"))
    assert [(bar.first, bar.last) for bar in run.bars if bar.kind == "overlap"] == [(52, 64)]
    assert [(v.seq, run.invariants[v.invariant].name) for v in run.violations if v.seq == 52] == [
        (52, "one-owner"),
        (52, "no-leak"),
    ]
    last = run.rings[0][-1][1]
    assert sum(last[1::2]) == run.depth
    assert [run.owners[n] for n in last[::2]][:2] == ["guest vm0/0", "host vm0/0"]


def test_two_runs_part_at_the_lost_message(lost: Run, good: Run, model: PageModel) -> None:
    alignment = model.alignments[0]
    revoked = next(r.seq for r in lost.of(t.Delivery) if r.fate == "drop")
    assert alignment.first == revoked
    assert (alignment.segments[0].one, alignment.segments[0].other) == (1, 1)
    pairs = [(s.one + n, s.other + n) for s in alignment.segments for n in range(s.count)]
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
    statements = [(a, b) for a, b in pairs if isinstance(lost.records[a - 1], t.Statement)]
    for a, b in statements:
        one, other = lost.records[a - 1], good.records[b - 1]
        assert isinstance(one, t.Statement)
        assert isinstance(other, t.Statement)
        assert one.text == other.text
    assert len(statements) == len(lost.of(t.Statement))
    same = align(lost.records, lost.records)
    assert (same.first, [s.count for s in same.segments]) == (0, [len(lost.records)])


def test_a_long_run_says_what_is_left_out(lost: Run) -> None:
    cut = page_model([lost], limit=60).runs[0]
    assert (cut.total, len(cut.rows)) == (90, 60)
    assert all(m.sent <= 60 and all(a.seq <= 60 for a in m.arrivals) for m in cut.messages)
    assert all(v.seq <= 60 for v in cut.violations)
    assert "The table has the first 60 of 90 records." in page(page_model([lost], limit=60))
    assert TABLE_LIMIT < 20_000


class Reader(HTMLParser):
    """Scripts, links and the tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append(tag)
        self.scripts += [given] if tag == "script" else []
        self.loads += [str(given[key]) for key in ("src", "href", "action") if given.get(key)]


def test_the_page_loads_nothing_and_runs_one_script(model: PageModel) -> None:
    text = page(model)
    found = Reader(text)
    assert [given.get("type") for given in found.scripts] == ["application/json", None]
    assert [load for load in found.loads if not load.startswith("#")] == []
    assert re.search(r"script-src 'sha256-[^']+'; base-uri 'none'", text)
    assert found.tags.count("tr") > sum(run.total for run in model.runs)
    assert len(text.encode()) < 400_000


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    evil = '</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>" & \u2028'
    lost = api.run("central-story", "v7", keep_at=tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    content["scenario"] = content["scenario"].replace("The story", "</script><img src=x onerror=alert(1)>")
    content["trace"] = json.loads(json.dumps(content["trace"]).replace("external-interrupt", json.dumps(evil)[1:-1]))
    content["design"]["about"] = evil
    (tmp_path / "a.json").write_text(json.dumps(content))
    hostile = api.check(tmp_path / "a.json")
    text = page(page_model([hostile]))
    found = Reader(text)
    assert len(found.scripts) == 2
    assert "img" not in found.tags
    data = text.split('id="model">')[1].split("</script>")[0]
    assert evil in [hostile.design.about, json.loads(data)["runs"][0]["about"]]
    assert msgspec.json.decode(data, type=PageModel).runs[0].about == evil
    assert lost.design.about not in text


def test_the_command_writes_the_page_and_replaces_only_a_report(
    lost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api.run("central-story", "revoke-gp", keep_at="a.json")
    for _ in range(2):
        result = lbrlab("report", "a.json", "a.json")
        assert (result.exit_code, re.sub(r"\d+ kB", "N kB", result.stdout)) == (
            0,
            "report.html: N kB, 2 runs, 228 records\n",
        )
    told = document(lbrlab("report", "a.json", "-o", "b.html", "--json"))
    assert (told["bytes"], told["records"], told["left_out"]) == (Path("b.html").stat().st_size, [114], [0])
    Path("mine.html").write_text("<p>mine</p>")
    for arguments, error in (
        (["a.json", "-o", "mine.html"], "mine.html: exists and is not a report; choose another name"),
        (["a.json", "-o", "a.json"], "a.json: exists and is not a report; choose another name"),
        (["no.json"], "no.json: cannot read"),
        (["a.json"] * 21, "RUN: expected at most 20 runs, found 21"),
    ):
        result = lbrlab("report", *arguments)
        assert (result.exit_code, error in result.stderr) == (2, True), result.stderr
    assert Path("mine.html").read_text() == "<p>mine</p>"
