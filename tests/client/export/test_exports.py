"""Each export is read back: by its library, by pytest, by lbrlab itself."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from client import api
from client.export.markdown import WIDTH
from client.export.mermaid import mermaid
from client.export.pytest import literal
from client.export.registry import FORMATS, export
from client.export.xml import folded_tags
from client.run.run import Run
from client.schedule.decisions import format_tape
from client.timeline.story import left_out, story_of
from client.timeline.timeline import Timeline, timeline_of
from contract.errors import SystemFailedError
from contract.invariants import INVARIANTS, NOT_EXERCISED
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab
from tests.docs.pages import ROOT

FAULT = "drop Revoke 1"
MINE = r"""about = "Mine:  a \"quoted\" one, and its text is so long that it does not fit in one line of a mail"
like = "revoke-gp"
[axes]
save-select = "no"
[claims]
any = ["one-owner", "host-clean", "no-leak", "no-loss", "agreement"]
prompt = ["recovers"]
"""
BROKEN = {
    "one-owner", "host-clean", "no-leak", "no-loss", "no-silent-denial", "agreement", "revoke-completes",
}  # fmt: skip


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("run") / "lost.json"
    run = api.run("central-story", "revoke-gp", faults=[FAULT], keep_at=path)
    assert set(run.broken()) == BROKEN
    return run


@pytest.fixture(scope="module")
def timeline(lost: Run) -> Timeline:
    return timeline_of(lost)


def text(run: Run, name: str) -> str:
    return export(run, name).decode()


def test_every_format_writes_every_kind_of_run(lost: Run) -> None:
    for name in FORMATS:
        assert export(lost, name), name
        assert export(api.run("mech-migrate-with-lbr", "merged"), name), name


def test_a_mail_is_narrow_and_shows_the_race(lost: Run) -> None:
    lines = text(lost, "markdown").splitlines()
    assert [line for line in lines if len(line) > WIDTH] == []
    revoke = next(i for i, line in enumerate(lines) if line.strip() == "Revoke DROPPED")
    broken = next(i for i, line in enumerate(lines) if line.strip() == "!! one-owner violated, record 52")
    assert revoke < broken
    assert lines[revoke + 2].strip() == "---------------x"
    assert "    lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1'" in lines
    assert {f"- **{name} violated**" for name in BROKEN} == {
        line.split(" (")[0] for line in lines if line.startswith("- **")
    }


def test_a_late_message_is_drawn_where_it_is_sent_and_where_it_arrives() -> None:
    run = api.run("central-story", "revoke-gp", faults=["hold Revoke 1 by 4"])
    for name, sent, broken, arrives in (
        ("markdown", "Revoke #4 sent", "!! one-owner violated, record 52", "- - - - ------->"),
        (
            "mermaid", "Note over L2: Revoke #35;4 sent", "Note over L5: one-owner, no-leak VIOLATED, record 52",
            "L2->>L4: Revoke #35;4 DELAYED (f1.1)",
        ),
    ):  # fmt: skip
        lines = [line.strip() for line in text(run, name).splitlines()]
        places = [lines.index(line) for line in (sent, broken, arrives)]
        assert places == sorted(places), name


def test_a_shortened_story_says_so_in_every_format() -> None:
    run = api.run("central-story-in-full", "merged")
    timeline = timeline_of(run)
    gaps = [str(step.gap) for step in story_of(timeline) if step.gap is not None]
    assert len(gaps) > 1
    for name in ("markdown", "mermaid", "svg"):
        told = text(run, name)
        whole = " ".join(told.replace("<br/>", " ").split())
        assert [gap for gap in gaps if gap not in whole] == [], name
        assert left_out(timeline) in whole, name


def test_a_mail_holds_all_that_repeats_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every kind of input that a run can have. The reader has the mail, and no file of the writer."""
    monkeypatch.chdir(tmp_path)
    Path("own.litmus").write_text(text(api.run("c04-cpu-pinned-comes-later", "v7"), "litmus"))
    Path("mine.toml").write_text(MINE)
    Path("fenced-own.toml").write_text('like = "fenced"\n[axes]\nsave-select = "no"\n')
    plain = api.run("central-story", "revoke-gp")
    Path("late.tape").write_text(format_tape([d for d in plain.tape if "Revoke" not in str(d)]))
    for number, asked in enumerate((
        ["central-story", "-d", "revoke-gp", "--fault", FAULT],
        ["central-story", "-d", "revoke-gp", "--fault", FAULT, "--fault", "corrupt CreateEvent 1"],
        ["central-story", "-d", "v7+shut-out=no"],
        ["c09-exits-per-switch", "-d", "fenced", "--let", "exits=2"],
        ["own.litmus", "-d", "revoke-gp"],
        ["./own.litmus", "-d", "./mine.toml+save-select=yes", "--fault", "hold Revoke 1 by 4"],
        ["central-story", "-d", "./mine.toml"],
        ["mech-revoke-is-lost", "-d", "./fenced-own.toml", "--no-file-faults"],
        ["central-story", "-d", "revoke-gp", "--tape", "late.tape", "--lenient"],
        ["own.litmus", "-d", "./mine.toml", "--tape", "late.tape", "--lenient"],
    )):  # fmt: skip
        monkeypatch.chdir(tmp_path)
        ran = document(lbrlab("run", *asked, "-o", "run.json", "--json"))
        run = api.check("run.json")
        mail, tap = lbrlab("export", "run.json").stdout, lbrlab("export", "run.json", "--to", "ktap").stdout
        assert [line for line in mail.splitlines() if len(line) > WIDTH] == []
        assert [line for line in tap.splitlines() if len(line) > 80 and not line.startswith("# ")] == []
        files, command = cut_out(mail)
        assert words(cut_out_of_comments(tap)) == words((files, command))
        for other in ("junit", "itf"):
            assert [name for name in files if name not in text(run, other)] == []
        place = tmp_path / f"reader{number}"
        place.mkdir()
        monkeypatch.chdir(place)
        for name, content in files.items():
            Path(name).write_text(content)
        again = document(lbrlab(*shlex.split(command)[1:], "-o", "again.json", "--json"))
        assert "error" not in again, (asked, command, again)
        assert (again["verdict"], again["invariants"]) == (ran["verdict"], ran["invariants"]), (asked, command)
        played = api.check("again.json")
        assert played.records[1:] == run.records[1:], (asked, command)
        assert (played.design.axes(), played.design.claims) == (run.design.axes(), run.design.claims)


def joined(text: str) -> str:
    """As the shell and TOML do."""
    return text.replace("\\\n", " ")


def words(cut: tuple[dict[str, str], str]) -> tuple[dict[str, list[str]], list[str]]:
    """The same without the places where lines are folded."""
    files, command = cut
    return {name: joined(content).split() for name, content in files.items()}, shlex.split(command)


def cut_out(mail: str) -> tuple[dict[str, str], str]:
    """The files of a mail as a reader copies them, each with its indentation, and the command."""
    head, command = mail.split("To repeat it:\n\n")
    blocks = re.findall(r"^([\w.-]+):\n\n((?:(?: {4}.*)?\n)+)", head, re.MULTILINE)
    return dict(blocks), joined(command)


def cut_out_of_comments(tap: str) -> tuple[dict[str, str], str]:
    """With the commands that are shown above them."""
    Path("FILE").write_text(tap)
    lines = [line.removeprefix("#").strip() for line in tap.split("\n1..")[0].splitlines()]
    names = []
    for line in (line for line in lines if line.startswith("sed ")):
        subprocess.check_call(["sh", "-c", line])
        names.append(line.split("> ")[1])
    first = next(number for number, line in enumerate(lines) if line.startswith("lbrlab run"))
    last = next(number for number, line in enumerate(lines) if number >= first and not line.endswith("\\"))
    return {name: Path(name).read_text() for name in names}, joined("\n".join(lines[first : last + 1]))


def test_the_text_of_a_design_does_not_begin_with_its_name_twice(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    told = " ".join(text(api.run("central-story", str(tmp_path / "mine.toml")), "markdown").split())
    assert 'Design mine: a "quoted" one, and its text is so long that' in told


def test_a_tape_that_is_too_long_for_a_mail_is_sent_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.export.markdown.TAPE_LIMIT", 20)
    run = api.run("central-story", "v7", keep_at=tmp_path / "run.json")
    run.tape[:2] = run.tape[1::-1]
    told = text(run, "markdown")
    said = f"Its schedule has {len(run.tape)} decisions, too many for a mail. Send the run file"
    assert said in " ".join(told.split())
    assert shlex.split(joined(told.split("To repeat it:\n\n")[1])) == ["lbrlab", "run", str(run.path)]
    run.path = None
    assert "To repeat it" not in text(run, "markdown")


@cases("name", FORMATS)
def test_lines_are_folded_where_the_format_permits_it(name: str, lost: Run) -> None:
    """The text of a diagram, of a log and of an attribute is one line of its format."""
    runs = [lost, api.run("central-story-in-full", "v7+save-select=no"), api.run("mech-migrate-with-lbr", "merged")]
    if name == "perfetto":
        return
    lines = [line for run in runs for line in text(run, name).splitlines()]
    wide = [line for line in lines if len(line) > 80]
    unbroken = {
        "mermaid": r" *(Note over \w+|\w+-(x|>>)\w+): .*",
        "shiviz": r"\d+ .*|(\S+ \{.*\})",
        "itf": r' *"\w+": ".*",?',
        "junit": r' *[\w:-]+="[^"]*"( ?/?>)*',
        "svg": r' *(<\w+ )?[\w:-]+="[^"]*">.*</text>',
    }
    assert [line for line in wide if not re.fullmatch(unbroken.get(name, "none"), line)] == []
    drawn = [part for line in lines for part in line.split(": ", 1)[-1].split("<br/>")]
    assert name != "mermaid" or max(map(len, drawn)) <= 80


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=9), st.text('ab <>&"=', max_size=90)), max_size=9))
def test_a_folded_document_means_the_same(pairs: list[tuple[str, str]]) -> None:
    root = ElementTree.Element("root", dict(pairs))
    for name, content in pairs:
        ElementTree.SubElement(root, name, dict(pairs)).text = content
    text = ElementTree.tostring(root, encoding="unicode")
    folded = folded_tags(text)
    assert ElementTree.canonicalize(folded) == ElementTree.canonicalize(text)
    assert len(pairs) < 9 or folded != text


def test_mermaid_names_ends_messages_and_violations(lost: Run) -> None:
    lines = [line.strip() for line in text(lost, "mermaid").splitlines()]
    assert lines[0] == "sequenceDiagram"
    assert {"participant L2 as perf (host perf)", "participant L4 as kvm0 (KVM)"} <= {*lines}
    assert "L2-xL4: Revoke DROPPED (f1.1)" in lines
    assert "Note over L5: one-owner, no-leak VIOLATED, record 52" in lines
    assert [line for line in lines if ";" in re.sub(r"#\d+;", "", line)] == []


def test_mermaid_makes_no_link_of_a_text(lost: Run, timeline: Timeline) -> None:
    rows = [msgspec.structs.replace(row, text="[see](https://a.example); #1") for row in timeline.rows]
    drawn = mermaid(lost, msgspec.structs.replace(timeline, rows=rows))
    assert "#91;see#93;(https://a.example)#59; #35;1" in drawn
    assert "[" not in drawn


def test_the_pytest_fails_again(lost: Run, tmp_path: Path) -> None:
    source = text(lost, "pytest")
    scope: dict[str, object] = {}
    exec(compile(source, "test_again.py", "exec"), scope)
    test = scope["test_central_story_under_revoke_gp"]
    assert callable(test)
    with pytest.raises(AssertionError):
        test(tmp_path)
    assert scope["BROKEN"] == lost.broken()
    scope["DESIGN"] = "fenced"
    test(tmp_path)


def test_the_pytest_has_a_design_that_has_no_name(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'about = "a \\"quoted\\" one"\nlike = "revoke-gp"\n[axes]\nsave-select = "no"\n'
    )
    run = api.run("central-story", str(tmp_path / "mine.toml"), faults=[FAULT])
    scope: dict[str, object] = {}
    exec(compile(text(run, "pytest"), "test_again.py", "exec"), scope)
    test = scope["test_central_story_under_mine"]
    assert callable(test)
    with pytest.raises(AssertionError):
        test(tmp_path)


def test_a_literal_is_the_text() -> None:
    for content in ("a\nb\n", 'say "x"\n"""\\\n', "one", 'a "b" \\', "it's\n\x00\u2028\n", "tab\t\nend\\"):
        assert ast.literal_eval(literal(content)) == content


def test_the_litmus_file_fails_again(lost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("again.litmus").write_text(text(lost, "litmus"))
    again = document(lbrlab("run", "again.litmus", "-d", "revoke-gp", "--json"))
    assert (again["exit_code"], {*again["surprises"]} >= BROKEN) == (1, True)
    assert lbrlab("run", "again.litmus", "-d", "fenced").exit_code == 0


def test_a_litmus_file_holds_tape_and_design_that_have_no_name(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('about = "x"\nlike = "revoke-gp"\n[axes]\nsave-select = "no"\n')
    (tmp_path / "t.tape").write_text("\n".join(["lbrlab-tape 1", *map(str, api.run("central-story", "v7").tape)]))
    run = api.run("central-story", str(tmp_path / "mine.toml"), tape=tmp_path / "t.tape", lenient=True)
    run.tape[:2] = run.tape[1::-1]
    lines = text(run, "litmus").splitlines()
    for what, name in (("design", "mine.toml"), ("tape", "t.tape")):
        held = [line.removeprefix(f"// {what}: ") for line in lines if line.startswith(f"// {what}: ")]
        (tmp_path / name).write_text("\n".join(held))
    assert [str(d) for d in run.tape] == (tmp_path / "t.tape").read_text().splitlines()[1:]
    assert api.run("central-story", str(tmp_path / "mine.toml")).design == run.design


def test_perfetto_has_slices_flows_and_instants(lost: Run, timeline: Timeline) -> None:
    trace = Trace.FromString(export(lost, "perfetto"))
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")}
    events = [(p.timestamp, p.track_event) for p in trace.packet if p.HasField("track_event")]
    assert [at for at, e in events if e.type != TrackEvent.TYPE_COUNTER] == sorted(
        at for at, e in events if e.type != TrackEvent.TYPE_COUNTER
    )
    assert all(event.track_uuid in tracks for _, event in events)
    assert all(track.parent_uuid in tracks for track in tracks.values() if track.parent_uuid)
    processes = {t.process.process_name for t in tracks.values() if t.HasField("process")}
    assert processes == {"host", "kvm0"}
    names = {track.name for track in tracks.values()}
    assert {lane.name for lane in timeline.lanes} <= names
    begun = [e.name for _, e in events if e.type == TrackEvent.TYPE_SLICE_BEGIN]
    ended = [e for _, e in events if e.type == TrackEvent.TYPE_SLICE_END]
    assert sorted(begun) == sorted(bar.text for bar in timeline.bars)
    assert len(begun) == len(ended)
    instants = [e for _, e in events if e.type == TrackEvent.TYPE_INSTANT]
    told = [e.name for e in instants if "violation" not in e.categories]
    assert told == [row.text for row in timeline.rows]
    assert {e.name for e in instants if "violation" in e.categories} == {f"VIOLATED {name}" for name in BROKEN}
    assert [e.name for e in instants if "fault" in e.categories] == ["host>kvm0 #4 Revoke: LOST, fault f1.1"]
    started = {flow for e in instants for flow in e.flow_ids}
    finished = {flow for e in instants for flow in e.terminating_flow_ids}
    dropped = {n for n, message in enumerate(timeline.messages, 1) if message.fate == "dropped"}
    assert started == {n for n, _ in enumerate(timeline.messages, 1)}
    assert started - finished == dropped


def test_junit_has_a_case_for_each_invariant(lost: Run) -> None:
    document = JUnitXml.fromstring(export(lost, "junit"))
    (suite,) = document
    results = {case.name: [type(result).__name__ for result in case.result] for case in suite}
    assert list(results) == list(INVARIANTS)
    assert {name for name, result in results.items() if result == ["Failure"]} == BROKEN
    assert {name for name, result in results.items() if result == ["Skipped"]} == {
        f.invariant for f in lost.verdict.findings if f.verdict == NOT_EXERCISED
    }
    failed = replace(lost, records=lost.records[:60], failure=SystemFailedError("kvm0", "gone \x00"))
    assert '<error message="kvm0: gone ?"' in text(failed, "junit")


def test_ktap_says_ok_not_ok_skip_and_xfail(lost: Run) -> None:
    lines = text(lost, "ktap").splitlines()
    assert (lines[0], lines[3]) == ("KTAP version 1", "1..20")
    told = [re.fullmatch(r"(ok|not ok) (\d+) ([a-z-]+)( # .*)?", line) for line in lines[4:] if line[0] != "#"]
    assert all(told)
    results = {found[3]: (found[1], found[4] or "") for found in told if found}
    assert {name for name, result in results.items() if result == ("not ok", "")} == BROKEN
    assert results["user-clean"] == ("ok", " # SKIP not exercised")
    expected = replace(lost, scenario=api.load("central-story", expects=["violated no-loss"]))
    assert "not ok 7 no-loss # XFAIL" in text(expected, "ktap").splitlines()


def test_itf_has_a_state_after_each_record(lost: Run, timeline: Timeline) -> None:
    trace = json.loads(export(lost, "itf"))
    assert len(trace["states"]) == len(lost.records)
    for state in trace["states"]:
        assert list(state)[1:] == trace["vars"]
    last = trace["states"][-1]
    assert (last["belief_vm0_0_in_perf"], last["kvm_vm0_0_grant"]) == ("ERROR", "1")
    assert {*last["violated"]["#set"]} == BROKEN
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in trace["vars"])


def test_clocks_of_shiviz_follow_the_messages(lost: Run, timeline: Timeline) -> None:
    expression, _, *lines = text(lost, "shiviz").splitlines()
    pattern = re.compile(expression.replace("(?<", "(?P<"))
    events = {}
    for event, line in zip(lines[::2], lines[1::2], strict=True):
        found = pattern.fullmatch(f"{event}\n{line}")
        assert found is not None
        events[int(found["event"].split(" ")[0])] = found["host"], json.loads(found["clock"])
    assert len(events) == len(lost.records)
    counts: dict[str, int] = {}
    for host, clock in events.values():
        counts[host] = counts.get(host, 0) + 1
        assert clock[host] == counts[host]
    for message in timeline.messages:
        sender, sent = events[message.sent]
        if message.taken:
            receiver, taken = events[message.taken]
            assert {sender, receiver} == {"host", "kvm0"}
            assert taken[sender] >= sent[sender]
        else:
            assert events[message.arrivals[0].seq][0] == "wire"


def test_a_picture_has_the_overlap_and_the_lost_message(lost: Run) -> None:
    picture = ElementTree.fromstring(text(lost, "svg"))
    kinds = [one.get("class") for one in picture.iter()]
    assert (kinds.count("both"), kinds.count("lost"), kinds.count("host") > 1) == (1, 2, True)
    assert "DROPPED (f1.1)" in [one.text for one in picture.iter()]
    assert (ROOT / "docs" / "central-story.svg").read_text() == text(lost, "svg"), "run make docs"


def test_bad_requests_name_the_place(lost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(lost.path)
    for arguments, told in (
        (["export", path, "--to", "perfeto"], "--to: unknown format 'perfeto', did you mean 'perfetto'?"),
        (["export"], "RUN: expected a run file, or --list"),
        (["export", path, "--to", "litmus", "-o", path], "is a run file; choose another name"),
        (["export", path, "--json"], "--json: expected a file for the export: -o FILE"),
        (["export", "no.json"], "no.json: cannot read"),
    ):
        result = lbrlab(*arguments)
        assert result.exit_code == 2, arguments
        assert told in result.stderr, (arguments, result.stderr)
    assert lbrlab("export", path, "-o", "a.md").exit_code == 0
    assert Path("a.md").read_text() == lbrlab("export", path).stdout
    assert [row["format"] for row in json.loads(lbrlab("export", "--list", "--json").stdout)] == list(FORMATS)
