"""grants-kept: the host names no grant after its end, and lets none hold beyond its lease."""

from __future__ import annotations

from msgspec.structs import replace

from client.check.judge import Finding
from contract.messages import Ack, EventCreated, EventState, Revoke, SchedIn
from contract.spec import EVENTS_OF_A_HOST
from contract.trace import (
    AnyRecord,
    ClockSet,
    Crash,
    EventClose,
    EventOpen,
    Granted,
    HostWait,
    HostWake,
    Send,
    Setup,
    VmEntry,
)
from tests.cases import cases
from tests.client.check.runs import HELD, IDLE, USE, VIOLATED, finding, ordered, renumbered, trace
from tests.client.check.streams import crashed, judged, sent
from tests.designs import FENCED, REVOKE_ACK

NAME = "grants-kept"
MS = 1_000_000
OPENED = EventOpen(1, "vlbr:vm0/0", "vm0/0", -1, "vm0/0", True, "INACTIVE", 0, [], [], "")
WAITS, WAKES = HostWait("h0", [1]), HostWake("h0", "acknowledged")


def news(n: int, grant: int, expires: int = 0, *, event: int = 1, order: int = 0) -> AnyRecord:
    return sent(n, order, EventState(event, "ACTIVE", 0, grant, expires), to_host=False)


def revoke(n: int, grant: int = 1, *, order: int = 0) -> AnyRecord:
    return sent(n, order, Revoke(1, grant, "h0"), to_host=False)


def found(*records: AnyRecord) -> Finding:
    return judged(NAME, records, REVOKE_ACK)


def text(*records: AnyRecord) -> str:
    judgement = found(*records)
    assert judgement.verdict == VIOLATED
    return judgement.violations[0].text


def test_news_after_a_revoke_is_of_a_newer_grant() -> None:
    assert found(news(1, 1), revoke(2)).verdict == IDLE
    assert found(news(1, 1), revoke(2), news(3, 2)).verdict == HELD
    assert text(news(1, 1), revoke(2), news(3, 1)) == "R14: event 1 has grant 1, which was revoked"
    in_thread = sent(3, 0, SchedIn("vm0/0", 0, 0, 1), to_host=False)
    assert text(OPENED, news(1, 1), revoke(2), in_thread) == "R14: event 1 has grant 1, which was revoked"


def test_a_place_that_is_sent_again_is_no_news() -> None:
    told = news(1, 1, order=1), revoke(2, order=2), news(3, 2, order=3)
    assert judged(NAME, [*told, news(4, 1, order=1)], FENCED).verdict == HELD
    assert judged(NAME, [*told, news(4, 1, order=4)], FENCED).verdict == VIOLATED


def test_a_number_is_of_one_event() -> None:
    assert text(news(1, 1), news(2, 1, event=2)) == "R6: grant 1 is of event 1 and of event 2"
    assert text(news(1, 2), news(2, 1)) == "R6: event 1 has grant 1 after 2"


def test_a_restarted_host_and_a_closed_event_leave_their_grants() -> None:
    assert found(news(1, 1, 10 * MS), crashed(), news(1, 1, event=2)).verdict == HELD
    assert found(OPENED, news(1, 1, 10 * MS), EventClose(1, "vlbr:vm0/0"), news(2, 1, event=2)).verdict == HELD


def test_a_lease_ends_after_ten_milliseconds_at_the_latest() -> None:
    assert found(news(1, 1, 10 * MS)).verdict == HELD
    created = EventCreated("vm0/0", 1, 1, "", "ACTIVE", 1, 11 * MS)
    assert text(sent(1, 0, created, to_host=False)) == "R19: the lease of grant 1 ends in 11000000 ns"


def test_a_host_task_waits_for_ack_or_for_the_end_of_the_lease() -> None:
    told = news(1, 1, 10 * MS), revoke(2), WAITS
    ack = sent(1, 0, Ack(1))
    assert found(*told, ack, WAKES).verdict == HELD
    assert found(*told, replace(WAKES, time=10 * MS)).verdict == HELD
    held = "R18: h0 continues, and grant 1 is not acknowledged and holds until 10000000 ns"
    assert text(*told, WAKES) == held
    assert text(*told, sent(1, 0, Ack(2)), WAKES) == held


def entered(*, late: bool, by: list[AnyRecord] | None = None, held: int = 1) -> list[AnyRecord]:
    """A guest that enters with the LBR while its lease holds, or after it. ``by``: what comes before."""
    records = trace(ordered(USE), REVOKE_ACK)
    at = next(i for i, r in enumerate(records) if isinstance(r, VmEntry) and r.passthrough)
    entry = replace(records[at], time=(10 if late else 9) * MS)
    return renumbered([*records[:at], *(by or []), Granted("vm0/0", held, "test"), entry])


def test_kvm_enters_no_guest_with_the_lbr_after_its_lease() -> None:
    assert finding(entered(late=False), NAME).verdict == HELD
    late = finding(entered(late=True), NAME).violations
    assert [v.text for v in late] == ["R19: vm0/0 enters with the LBR, and the lease of grant 1 ended at 10000000 ns"]


def test_a_kvm_that_holds_another_grant_or_has_a_clock_of_its_own_is_not_judged() -> None:
    assert finding(entered(late=True, held=2), NAME).verdict == HELD
    assert finding(entered(late=True, by=[ClockSet("kvm0", 900_000)]), NAME).verdict == HELD
    assert finding(entered(late=True, by=[ClockSet("kvm0", 1_000_000)]), NAME).verdict == VIOLATED


@cases(("passthrough", "debugctl", "verdict"), [(True, 0, VIOLATED), (False, 1, VIOLATED), (False, 0, HELD)])
def test_an_entry_with_passthrough_or_with_the_lbr_on_uses_it(passthrough: bool, debugctl: int, verdict: str) -> None:
    *before, entry = entered(late=True)
    assert isinstance(entry, VmEntry)
    assert finding([*before, replace(entry, passthrough=passthrough, debugctl=debugctl)], NAME).verdict == verdict


def test_a_clock_that_runs_as_the_hosts_again_is_not_the_hosts() -> None:
    clocks: list[AnyRecord] = [ClockSet("kvm0", 900_000), ClockSet("kvm0", 1_000_000)]
    assert finding(entered(late=True, by=clocks), NAME).verdict == HELD


def test_a_grant_without_a_lease_has_no_end() -> None:
    leased = [news(1, 5, 9 * MS, event=3), news(2, 6)]
    assert finding(entered(late=True, by=leased, held=6), NAME).verdict == HELD


def test_a_kvm_that_crashed_holds_no_grant() -> None:
    *before, entry = entered(late=True)
    crash = Crash("kvm0", -1, ["kvm0"], ["vm0/0"])
    assert finding(renumbered([*before, crash, entry]), NAME).verdict == HELD


def test_a_thread_that_comes_without_a_grant_is_no_news_of_one() -> None:
    alone = sent(2, 0, SchedIn("vm0/0", 0, 0, 0), to_host=False)
    assert found(OPENED, news(1, 1), alone).verdict == IDLE


def test_an_older_revoke_takes_none_back() -> None:
    again = news(1, 1), revoke(2), news(3, 2), revoke(4, 2), revoke(5, 1)
    assert text(*again, news(6, 2)) == "R14: event 1 has grant 2, which was revoked"
    assert text(revoke(1, 2), news(2, 1)) == "R14: event 1 has grant 1, which was revoked"


def test_the_latest_lease_that_was_told_counts() -> None:
    told = news(1, 1, 10 * MS), news(2, 1, 8 * MS), WAITS
    assert text(*told, replace(WAKES, time=9 * MS)).startswith("R18: h0 continues, and grant 1")


def test_a_new_grant_has_a_lease_and_an_end_of_its_own() -> None:
    waits = HostWait("h0", [2])
    assert found(news(1, 1, 10 * MS), news(2, 2), waits, WAKES).verdict == HELD
    acknowledged = news(1, 1, 10 * MS), sent(1, 0, Ack(1))
    assert text(*acknowledged, news(2, 2, 10 * MS), waits, WAKES).startswith("R18: h0 continues, and grant 2")
    assert found(news(1, 1, 10 * MS), WAITS, news(2, 2, 10 * MS), WAKES).verdict == HELD


# Two hosts number their grants alike -----------------------------------------------------------------------

OTHER = EVENTS_OF_A_HOST + 1
"""The first event of the second host."""


def on_two_hosts(*records: AnyRecord) -> Finding:
    setup = trace(ordered(USE), REVOKE_ACK)[0]
    assert isinstance(setup, Setup)
    two = replace(setup, cpus=2, hosts=[1, 1], kvms={"kvm0": 0, "kvm1": 1})
    return finding(renumbered([two, *records]), NAME)


def on_second(record: AnyRecord) -> AnyRecord:
    """The same message in the session of the second host."""
    assert isinstance(record, Send)
    return replace(record, session="kvm1")


def test_hosts_number_their_grants_alike() -> None:
    both = [news(1, 1, 10 * MS), on_second(news(1, 1, 10 * MS, event=OTHER))]
    assert on_two_hosts(*both).verdict == HELD
    acknowledged = [*both, WAITS, on_second(sent(1, 0, Ack(1))), WAKES]
    assert on_two_hosts(*acknowledged).violations[0].text.startswith("R18: h0 continues, and grant 1")
    opened = EventOpen(OTHER + 1, "h0", "", 1, "", True, "INACTIVE", 0, [], [], "")
    there = [*both, opened, WAITS, sent(1, 0, Ack(1))]
    assert on_two_hosts(*there, WAKES).verdict == VIOLATED
    assert on_two_hosts(*there, on_second(sent(1, 0, Ack(1))), WAKES).verdict == HELD


def test_a_crash_leaves_the_grants_of_the_other_host() -> None:
    told = on_second(news(1, 1, event=OTHER)), on_second(sent(2, 0, Revoke(OTHER, 1, "h0"), to_host=False))
    again = on_second(news(3, 1, event=OTHER))
    assert on_two_hosts(*told, crashed(), again).violations[0].text.startswith("R14: ")
