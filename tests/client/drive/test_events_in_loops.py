"""open in a loop: each turn opens an event of its own, and the register names the newest."""

from __future__ import annotations

from client.litmus import format_scenario, parse
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import replay
from contract.trace import End, EventClose, EventFailed, EventOpen, canonical
from tests.client.check.runs import outcomes, play, scenario
from tests.designs import DESIGNS, MERGED, REVOKE_ACK


def events(body: str) -> tuple[list[str], dict[str, object]]:
    """Names of the events that were opened, and what the registers hold in the end."""
    played = play(scenario(body), MERGED)
    assert not next(r.unfinished for r in played.records if isinstance(r, End))
    return [r.name for r in played.records if isinstance(r, EventOpen)], dict(outcomes(played.records))


def test_each_turn_opens_one_and_closes_it() -> None:
    names, seen = events("host { repeat 3 { h = open cpu0 pinned branch any; branch 2; s = sample h; close h; } }")
    assert names == ["h", "h#2", "h#3"]
    assert seen["host:h"] == {"state": "CLOSED", "samples": 0}
    assert seen["host:s"] == {"entries": 2, "host": 2, "guest": 0, "empty": 6}


def test_the_register_names_the_newest() -> None:
    body = "host { for i in 0 .. 3 { h = open cpu0 flexible counter; branch 5; } n = read h; e = state h; disable h; }"
    names, seen = events(body)
    assert names == ["h", "h#2", "h#3"]
    assert (seen["host:n"], seen["host:e"]) == ({"count": 5, "enabled": 0, "running": 0}, "ACTIVE")
    assert seen["host:h"] == {"state": "OFF", "samples": 0}


def test_one_that_is_refused_is_the_newest_too() -> None:
    """BTS keeps LBR events out, on some turns."""
    body = """host {
        for i in 0 .. 2 { h = open cpu0 pinned branch any; b = open cpu0 counter bts; if i = 0 { close h; } }
        n = read b;
    }"""
    story = scenario(body)
    records = play(story, MERGED).records
    assert [r.name for r in records if isinstance(r, EventFailed)] == ["b", "b#2"]
    assert outcomes(records)["host:n"] == "EBADF"
    assert outcomes(records)["host:b"] == {"state": "EBUSY", "samples": 0}


def test_a_group_joins_the_newest_leader() -> None:
    names, seen = events(
        "host { repeat 2 { l = open cpu0 pinned counter; m = open cpu0 in l counter; } disable l group; }"
    )
    assert names == ["l", "m", "l#2", "m#2"]
    assert seen["host:m"] == {"state": "OFF", "samples": 0}


def test_an_event_closed_twice_gives_an_errno() -> None:
    records = play(scenario("host { h = open cpu0 counter; repeat 2 { close h; } }"), MERGED).records
    assert sum(isinstance(r, EventClose) for r in records) == 1


WAITS = """host { repeat 2 { h = open cpu0 pinned branch any; branch 3; close h; } }
vm0/0 { wrmsr DEBUGCTL, LBR; repeat 8 { branch 2; cpuid; } }
host1 { run vm0/0 on cpu0; }"""


def test_an_open_that_waits_for_ack_keeps_its_name_and_replays() -> None:
    story = scenario(WAITS)
    first = play(story, REVOKE_ACK)
    assert [r.name for r in first.records if isinstance(r, EventOpen) and not r.guest] == ["h", "h#2"]
    again = run(Inputs(story, REVOKE_ACK, replay(first.tape)))
    assert canonical(again.records) == canonical(first.records)
    assert parse(format_scenario(story)) == story


def test_every_design_plays_it() -> None:
    for design in DESIGNS.values():
        assert run(Inputs(scenario(WAITS), design)).failure is None
