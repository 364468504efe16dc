"""Timers in a run: time stops for them, they fire in their time, and what was lost comes after all."""

from __future__ import annotations

import pytest

from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Fire, Step, format_tape, parse_tape
from client.schedule.schedule import Schedule, replay
from contract.design import Design
from contract.errors import InputError
from contract.messages import Renew
from contract.trace import Delivery, End, Granted, HostWake, Send, Statement, canonical
from perfcore_svc.grants.revocations import Revocations
from tests.cases import cases
from tests.client.check.runs import ordered, outcomes, play
from tests.designs import FENCED, MERGED, REVOKE_ACK, REVOKE_GP
from tests.schedules import WithoutTimers

MS = 1_000_000
USE = "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 4;"
KEEPS = ordered(USE + "host: advance 100ms; vm0/0: r = rdmsr LBR_TOS;")
TAKES = ordered(USE + "host: h0 = open cpu0 pinned branch any; host: branch 3; vm0/0: r = rdmsr LBR_TOS;")


def fired(played: Run) -> list[str]:
    return [str(decision) for decision in played.tape if isinstance(decision, Fire)]


def steps(played: Run) -> int:
    return sum(isinstance(decision, Step) for decision in played.tape)


def unfinished(played: Run) -> dict[str, str]:
    return next(r.unfinished for r in played.records if isinstance(r, End))


def end(played: Run) -> int:
    return played.records[-1].time


# Time advances -----------------------------------------------------------------------------------------------


def test_a_guest_keeps_its_grant_as_long_as_time_goes_by() -> None:
    played = play(KEEPS, REVOKE_ACK)
    assert outcomes(played.records)["vm0/0:r"] == 4
    assert [r.grant for r in played.records if isinstance(r, Granted)] == [1]


def test_it_is_renewed_at_half_of_each_lease() -> None:
    renewals = [r for r in play(KEEPS, REVOKE_ACK).records if isinstance(r, Send) and isinstance(r.body, Renew)]
    assert [r.time for r in renewals] == [n * 5 * MS for n in range(1, 21)]


def test_advancing_takes_a_step_more_for_each_stop_and_is_one_statement() -> None:
    played = play(KEEPS, REVOKE_ACK)
    assert steps(played) == steps(play(KEEPS, REVOKE_GP)) + 19
    assert [r.text for r in played.records if isinstance(r, Statement)].count("advance 100ms") == 1


@cases("design", [REVOKE_ACK, REVOKE_GP], ids=lambda d: d.name)
def test_time_goes_by_as_far_as_was_said(design: Design) -> None:
    assert end(play(KEEPS, design)) == 100 * MS


def test_each_advance_counts_from_where_it_begins() -> None:
    story = ordered(USE + "host: advance 8ms; host: advance 9ms;")
    assert end(play(story, REVOKE_ACK)) == 17 * MS


def test_a_run_does_not_wait_for_a_renewal() -> None:
    played = play(ordered(USE), REVOKE_ACK)
    assert (fired(played), end(played)) == ([], 0)


# On the tape -------------------------------------------------------------------------------------------------


@cases(("design", "faults"), [(REVOKE_ACK, ()), (FENCED, ("drop:CreateEvent:1",))])
def test_a_tape_with_timers_is_replayed_to_the_byte(design: Design, faults: tuple[str, ...]) -> None:
    played = play(KEEPS, design, *faults)
    assert fired(played)

    tape = parse_tape(format_tape(played.tape))
    again = run(Inputs(KEEPS, design, replay(tape)))
    assert canonical(again.records) == canonical(played.records)


def test_a_guest_whose_kvm_never_renews_stops_by_itself() -> None:
    played = run(Inputs(KEEPS, REVOKE_ACK, Schedule(other=WithoutTimers)))
    assert outcomes(played.records)["vm0/0:r"] == "#GP"
    assert end(played) == 100 * MS


def test_a_timer_that_fires_before_it_is_due_lets_the_time_go_by_until_then() -> None:
    played = play(ordered(USE), REVOKE_ACK)
    tape = [*played.tape, Fire("kvm0", True, "renew")]
    with pytest.raises(InputError, match="the tape ends, but 'take kvm0>host 4 Renew'"):
        run(Inputs(ordered(USE), REVOKE_ACK, replay(tape)))

    tape += parse_tape("lbrlab-tape 1\ntake kvm0>host 4 Renew\ntake host>kvm0 4 EventState\n")
    assert end(run(Inputs(ordered(USE), REVOKE_ACK, replay(tape)))) == 5 * MS


# Lost messages -----------------------------------------------------------------------------------------------


def wakes(played: Run) -> list[tuple[str, int]]:
    return [(r.reason, r.time) for r in played.records if isinstance(r, HostWake)]


def test_a_lost_revoke_is_said_again_when_kvm_renews() -> None:
    assert wakes(play(TAKES, REVOKE_ACK, "drop:Revoke:1")) == [("acknowledged", 5 * MS)]


def test_a_kvm_that_is_not_answered_renews_again() -> None:
    assert wakes(play(TAKES, REVOKE_ACK, "drop:Revoke:1", "drop:Renew:1")) == [("acknowledged", 7_500_000)]


def test_a_host_that_is_never_acknowledged_waits_as_long_as_the_lease() -> None:
    assert wakes(play(TAKES, REVOKE_ACK, "drop:Ack:1")) == [("the lease is over", 10 * MS)]


def kinds() -> list[str]:
    """Every message of an undisturbed run."""
    return [f"{r.message}:{n}" for r, n in numbered(play(TAKES, FENCED))]


def numbered(played: Run) -> list[tuple[Delivery, int]]:
    seen: dict[str, int] = {}
    found = []
    for record in played.records:
        if isinstance(record, Delivery):
            seen[record.message] = seen.get(record.message, 0) + 1
            found.append((record, seen[record.message]))
    return found


@cases("fate", ["drop", "duplicate"])
@cases("which", kinds())
def test_a_repaired_stream_ends_as_if_nothing_had_been_lost(fate: str, which: str) -> None:
    played = play(TAKES, FENCED, f"{fate}:{which}")
    assert unfinished(played) == {}
    assert outcomes(played.records)["vm0/0:r"] in (4, "#GP")


def test_what_was_lost_is_sent_again_after_10_ms() -> None:
    played = play(TAKES, FENCED, "drop:Hello:1")
    assert fired(played)[0] == "timer kvm0>host resend"
    assert end(played) == 10 * MS


def test_a_stream_that_is_taken_as_it_comes_stays_without_it() -> None:
    played = play(TAKES, MERGED, "drop:Hello:1")
    assert (fired(played), list(unfinished(played))) == ([], ["host+vm0/0"])


def test_a_service_that_forgets_that_its_timer_ran_out_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the run never ends: a timer that is due fires before anything else happens."""
    monkeypatch.setattr(Revocations, "lease_over", lambda self, session: None)
    played = run(Inputs(TAKES, REVOKE_ACK, Schedule((parse_fault("drop:Ack:1"),))))
    assert played.failure is not None
    assert played.failure.reason == "timer host>kvm0 lease: it ran out, and is due still"
