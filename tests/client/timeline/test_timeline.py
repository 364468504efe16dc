"""The timeline of a run: lanes, messages, owners, rings, facts and strips, compared with its trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from client import api
from client.run.run import Run
from client.timeline.facts import Fact
from client.timeline.messages import TAKEN, messages_of
from client.timeline.story import LIMIT, Part, left_out, story_of
from client.timeline.timeline import Timeline, timeline_of
from contract import trace as t
from contract.invariants import INVARIANTS


@pytest.fixture(scope="module")
def lost() -> Run:
    return api.run("central-story", "revoke-gp", faults=["drop Revoke 1"])


@pytest.fixture(scope="module")
def timeline(lost: Run) -> Timeline:
    return timeline_of(lost)


def fact(timeline: Timeline, name: str) -> Fact:
    return next(fact for fact in timeline.facts if fact.name == name)


def seq_of(run: Run, kind: type[t.AnyRecord], number: int = 0) -> int:
    return run.of(kind)[number].seq


def test_each_record_has_a_row_and_a_lane(lost: Run, timeline: Timeline) -> None:
    assert [row.seq for row in timeline.rows] == [record.seq for record in lost.records]
    assert [lane.name for lane in timeline.lanes] == ["cpu0", "host", "perf", "wire", "kvm0", "vm0/0"]
    whole = [row.kind for row in timeline.rows if row.lane < 0]
    assert whole == ["setup", "end", "rest"]


def test_each_message_has_its_fate(timeline: Timeline) -> None:
    fates = {message.kind: message.fate for message in timeline.messages}
    assert fates.pop("Revoke") == "dropped"
    assert set(fates.values()) == {"delivered"}
    revoke = next(message for message in timeline.messages if message.kind == "Revoke")
    assert (revoke.taken, [arrival.fault for arrival in revoke.arrivals]) == (0, ["f1.1"])
    assert timeline.rows[revoke.arrivals[0].seq - 1].causes[-1] == revoke.sent


def test_a_fault_gives_a_fate() -> None:
    cases = [
        ("central-story", "duplicate Revoke 1", "Revoke", "doubled"),
        ("central-story", "corrupt Revoke 1", "Revoke", "damaged"),
        ("central-story", "hold Revoke 1 by 4", "Revoke", "delayed"),
        ("central-story", "delay Revoke 1 by 4", "Revoke", "delayed"),
        ("central-story", "cut kvm0 at Revoke 1 by 20ms", "Revoke", "cut off"),
        ("mech-migrate-with-lbr", "reorder EventState 1", "EventState", "delayed"),
    ]
    for scenario, fault, kind, fate in cases:
        run = api.run(scenario, "revoke-gp", faults=[fault])
        assert run.unmet == [], fault
        assert fate in [message.fate for message in messages_of(run.records) if message.kind == kind], fault


def test_owners_overlap_where_the_invariant_breaks(lost: Run, timeline: Timeline) -> None:
    overlap = timeline.overlaps[0]
    violation = lost.violation("one-owner")
    assert violation is not None
    assert (overlap.cpu, overlap.vcpu, overlap.first) == (0, "vm0/0", violation.seq)
    host = next(bar for bar in timeline.bars if bar.kind == "host")
    assert [host.first, host.last] == [record.seq for record in lost.of(t.HostLbr)]
    assert timeline_of(api.run("central-story", "revoke-gp")).overlaps == []


def test_the_ring_shows_whose_branches_are_in_a_sample(lost: Run, timeline: Timeline) -> None:
    sample = seq_of(lost, t.SampleTaken)
    runs = [runs for seq, runs in timeline.rings[0].changes if seq <= sample][-1]
    assert runs == [("host vm0/0", 3), ("guest vm0/0", 4), ("host vm0/0", 8), ("", 17)]
    assert all(sum(n for _, n in runs) == 32 for _, runs in timeline.rings[0].changes)


def test_each_side_believes_what_it_was_told(lost: Run, timeline: Timeline) -> None:
    last = len(timeline.rows)
    assert fact(timeline, "vm0/0 in perf").at(last) == "ERROR"
    assert fact(timeline, "vm0/0 as KVM was told").at(last) == "available, grant 1"
    agree = fact(timeline, "vm0/0 the two agree")
    created = next(message for message in timeline.messages if message.kind == "EventCreated")
    revoked = next(message for message in timeline.messages if message.kind == "Revoke")
    assert [agree.at(created.taken), agree.at(revoked.sent), agree.at(last)] == ["yes", "NO", "NO"]
    assert fact(timeline, "in flight").at(revoked.sent) == "host>kvm0 #4 Revoke"
    assert fact(timeline, "event 2 h0").at(last) == "closed"
    good = timeline_of(api.run("central-story", "fenced", faults=["drop Revoke 1"]))
    assert fact(good, "vm0/0 the two agree").at(len(good.rows)) == "yes"


def test_strips_end_with_the_verdict(lost: Run, timeline: Timeline) -> None:
    assert [strip.invariant for strip in timeline.strips] == list(INVARIANTS)
    for strip, finding in zip(timeline.strips, lost.verdict.findings, strict=True):
        assert strip.at(len(timeline.rows)) == finding.verdict, strip.invariant
        if finding.violations:
            first = finding.violations[0].seq
            assert (strip.at(first - 1) == "violated", strip.at(first)) == (False, "violated"), strip.invariant


def test_the_story_shows_the_loss_and_its_consequence(timeline: Timeline) -> None:
    steps = story_of(timeline)
    lost_at = next(i for i, step in enumerate(steps) if step.message is not None and step.message.kind == "Revoke")
    broken_at = next(i for i, step in enumerate(steps) if "one-owner" in step.broken)
    assert lost_at < broken_at
    assert not any("rdmsr LBR_FROM[t0]" in step.text and step.seq < 40 for step in steps)
    assert {name for step in steps for name in step.broken} == {name for row in timeline.rows for name in row.broken}


def test_a_long_story_says_how_many_steps_it_leaves_out_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    for scenario, fault in (("central-story-in-full", ""), ("central-story", "delay Revoke 1 by 4")):
        timeline = timeline_of(api.run(scenario, "revoke-gp" if fault else "merged", faults=[fault] if fault else []))
        with monkeypatch.context() as patch:
            patch.setattr("client.timeline.story.LIMIT", 1 << 20)
            whole = story_of(timeline)
        assert not any(step.gap for step in whole)
        for limit in (LIMIT, 12):
            monkeypatch.setattr("client.timeline.story.LIMIT", limit)
            steps = story_of(timeline)
            assert (len(steps) < len(whole)) == (limit < len(whole))
            shown = [(step.seq, step.part) for step in steps]
            missing = [step for step in whole if (step.seq, step.part) not in shown]
            gaps = [step.gap for step in steps if step.gap is not None]
            assert len(steps) <= limit * 3 // 2
            assert all(gap.statements + gap.others > 1 for gap in gaps)
            assert sum(gap.statements for gap in gaps) == sum(step.kind == "statement" for step in missing)
            assert sum(gap.others for gap in gaps) == sum(step.kind != "statement" for step in missing)
            assert all(any(gap.first <= step.seq <= gap.last for gap in gaps) for step in missing)
            assert not any(gap.first < step.seq < gap.last for gap in gaps for step in steps)
            assert [step.broken for step in steps if step.broken] == [step.broken for step in whole if step.broken]


def test_a_story_says_what_it_never_shows(lost: Run, timeline: Timeline) -> None:
    assert left_out(timeline) == (
        f"Records 1 to 90 of {len(lost.records)}: statements, messages, owners, violations. "
        "Not shown: 2 reads, 3 messages of the handshake."
    )


def test_a_message_stands_where_it_is_sent_and_where_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.timeline.story.LIMIT", 1 << 20)
    for scenario, fault in (
        ("central-story", "hold Revoke 1 by 4"),
        ("central-story", "delay Revoke 1 by 4"),
        ("central-story", "duplicate Revoke 1"),
        ("central-story", "corrupt Revoke 1"),
        ("central-story", "cut kvm0 at Revoke 1 by 20ms"),
        ("central-story", "crash kvm0 at Revoke 1 by 20ms"),
        ("mech-migrate-with-lbr", "reorder EventState 1"),
    ):
        timeline = timeline_of(api.run(scenario, "revoke-gp", faults=[fault]))
        steps = story_of(timeline)
        assert [step.seq for step in steps] == sorted(step.seq for step in steps), fault
        for message in timeline.messages:
            own = [step for step in steps if step.message is message]
            if not own:
                continue
            ends = [a.seq for a in message.arrivals if a.fate in TAKEN | {"drop", "lose"} and a.seq <= steps[-1].seq]
            arrivals = [step.seq for step in own if step.part == Part.ARRIVAL]
            if own[0].part == Part.ALL:
                between = [step for step in steps if message.sent < step.seq < ends[0]]
                assert (between, arrivals) == ([], ends[1:]), (fault, message)
            else:
                assert own[0].seq == message.sent, (fault, message)
                assert arrivals == ends or arrivals == [message.ended], (fault, message)


def test_a_crash_ends_messages_owners_and_beliefs(tmp_path: Path) -> None:
    plain = api.run("central-story", "revoke-gp")
    lines = [str(decision) for decision in plain.tape]
    at = lines.index("take host>kvm0 3 EventCreated")
    for service, fates, lane in (("kvm0", {"EventCreated": "cut off"}, "kvm0"), ("perfcore", {}, "perf")):
        (tmp_path / "a.tape").write_text(
            "\n".join(["lbrlab-tape 1", *lines[:at], f"crash {service}", f"restart {service}"])
        )
        run = api.run("central-story", "revoke-gp", tape=tmp_path / "a.tape", lenient=True)
        crash = run.of(t.Crash)[0]
        timeline = timeline_of(run)
        row = timeline.rows[crash.seq - 1]
        assert timeline.lanes[row.lane].name == lane
        found = {m.kind: m.fate for m in timeline.messages if m.sent < crash.seq and m.fate != "delivered"}
        assert fates.items() <= found.items(), service
        assert [bar for bar in timeline.bars if bar.first < crash.seq and bar.last == 0 and bar.lane == lane] == []
        assert fact(timeline, "in flight").at(crash.seq) == "nothing"
        if service == "perfcore":
            assert fact(timeline, "cpu0 runs").at(crash.seq) == "no power"
            assert timeline.rings[0].changes[-1][1] == [("", 32)] or timeline.rings[0].changes[-1][0] > crash.seq


def test_an_outage_is_a_bar_on_the_lane_of_what_is_out() -> None:
    for fault, lane, name, value in (
        ("cut kvm0>host at Revoke 1 by 20ms", "wire", "link of kvm0", "cut to the host"),
        ("stall perfcore at Revoke 1 by 20ms", "perf", "service perfcore", "stalled"),
        ("clock kvm0 rate 1.25", "kvm0", "clock of kvm0", "1.25 times the host's"),
    ):
        run = api.run("central-story", "fenced", faults=[fault])
        assert run.unmet == [], fault
        kinds = (t.LinkCut, t.Stalled, t.ClockSet)
        record = next(r for r in run.records if isinstance(r, kinds))
        timeline = timeline_of(run)
        assert timeline.lanes[timeline.rows[record.seq - 1].lane].name == lane, fault
        assert fact(timeline, name).at(record.seq) == value, fault
        assert record.seq in [step.seq for step in story_of(timeline)], fault
        bars = [(bar.lane, bar.first) for bar in timeline.bars if bar.kind == "down"]
        assert bars == ([] if isinstance(record, t.ClockSet) else [(lane, record.seq)]), fault


def test_several_hosts_and_sessions_have_their_lanes() -> None:
    for scenario, names in (
        ("mech-four-vms-three-kvms", {"wire kvm2", "kvm2"}),
        ("mech-migrate-with-lbr", {"perf1"}),
        ("guest-reads-cpuid", set()),
    ):
        run = api.run(scenario, "fenced")
        timeline = timeline_of(run)
        assert names <= {lane.name for lane in timeline.lanes}, scenario
        assert len(timeline.rows) == len(run.records)
        assert {row.kind for row in timeline.rows if row.lane < 0} <= {"setup", "end", "rest"}
