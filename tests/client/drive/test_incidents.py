"""Cuts, stalls and clocks in runs of the simulated wire: what they do, and what the ends make of it."""

from __future__ import annotations

from client.check.excuses import excuses_of
from client.designs import DESIGNS
from client.drive.sim import SimWire
from client.litmus import parse
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Decision, is_fault, parse_decision
from client.schedule.flight import Flight
from client.schedule.incidents import Cut, EndStall, Kill, Mend, SetClock, Shutdown, Stall
from client.schedule.injector import STRIKES_LIMIT
from client.schedule.schedule import Schedule, Tape, replay
from client.shrink.shrink import Shrinker
from client.shrink.target import Target
from contract.messages import Renew, Resume, Welcome
from contract.session import SessionPhase
from contract.spec import LEASE_NS
from contract.trace import (
    AnyRecord,
    ClockSet,
    Continued,
    Crash,
    Delivery,
    EventChange,
    GuestPmi,
    Killed,
    LinkCut,
    LinkMended,
    PeerSilent,
    Rest,
    Restart,
    Retired,
    Send,
    SessionChange,
    ShuttingDown,
    Stalled,
    Statement,
    TaskExit,
    Timer,
    VcpuMoved,
    VmEntry,
    canonical,
)
from tests.cases import cases
from tests.crashes.points import ends
from tests.library import library_scenario

STORY = library_scenario("central-story")
LEASES = parse(
    "LBR leases\nmachine { depth = 4; }\nvm vm0 { lbr = on; }\n"
    "host, vm0/0 { host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; "
    "host: repeat 24 { host: advance 1ms; } vm0/0: branch 2; }\n",
    "leases",
)
ROTATION = parse(
    "LBR rotation\nmachine { depth = 4; }\nvm vm0 { lbr = on; }\n"
    "host { host: a = open cpu0 flexible branch any; host: b = open cpu0 flexible branch call; "
    "host: repeat 30 { host: advance 1ms; } }\n",
    "rotation",
)


def played(*rules: str, design: str = "fenced", scenario: object = STORY, wire: SimWire | None = None) -> Run:
    faults = tuple(map(parse_fault, rules))
    return run(Inputs(scenario, DESIGNS[design], Schedule(faults), wire)).finished()  # type: ignore[arg-type]


def between(records: list[AnyRecord], first: type, last: type) -> list[AnyRecord]:
    at = [type(record) for record in records]
    return records[at.index(first) + 1 : at.index(last)]


def test_a_link_that_was_cut_resumes_and_both_ends_agree() -> None:
    for design in ("fenced", "revoke-gp", "merged"):
        wire = SimWire()
        done = played("cut kvm0 at SchedIn 1 by 3", design=design, wire=wire)
        cut = between(done.records, LinkCut, LinkMended)
        assert [r.message for r in cut if isinstance(r, Delivery) and r.fate == "lose" and r.fault == "f1.1"] != []
        assert [r.to_host for r in cut if isinstance(r, SessionChange)] == [False, True]
        assert not [r for r in cut if isinstance(r, Send)], "nothing is sent into a link that both ends have lost"
        greetings = [type(r.body) for r in done.of(Send) if isinstance(r.body, Resume | Welcome)]
        assert greetings == [Welcome, Resume, Welcome]
        ends = wire.host.endpoint.sessions["kvm0"], wire.kvms["kvm0"].endpoint.session
        assert [(end.phase, end.epoch) for end in ends] == [(SessionPhase.OPEN, 1)] * 2


def test_one_way_that_is_cut_loses_what_is_sent_and_the_sender_finds_the_other_silent() -> None:
    done = played("cut kvm0>host at EventCreated by 400ms")
    cut = between(done.records, LinkCut, LinkMended)
    sent = [r.n for r in cut if isinstance(r, Send) and r.to_host]
    assert sent
    assert {r.n for r in cut if isinstance(r, Delivery) and r.fate == "lose"} >= set(sent)
    assert {r.to_host for r in cut if isinstance(r, PeerSilent)} == {True, False}
    assert [r.fate for r in cut if isinstance(r, Delivery) and not r.to_host and r.fate == "take"], (
        "the other way works"
    )
    assert done.verdict.verdict == "held"


def test_fenced_keeps_all_that_it_claims_wherever_a_link_is_cut_or_a_service_stalls() -> None:
    records = len(played().records)
    kinds = ("cut kvm0", "cut kvm0>host", "cut host>kvm0", "stall kvm0", "stall perfcore")
    for nth, record in enumerate(range(3, records, 7)):
        rule = f"{kinds[nth % len(kinds)]} at record {record} by {(3, 15)[nth % 2]}ms"
        done = played(rule)
        assert (rule, done.broken(), done.applied) == (rule, [], [True])


def test_a_design_that_repairs_nothing_breaks_where_its_news_are_cut_off() -> None:
    assert "one-owner" in played("cut kvm0 at Revoke 1", design="revoke-gp").broken()


def test_a_stalled_service_takes_nothing_and_sends_nothing() -> None:
    kvm = between(played("stall kvm0 at Revoke 1 by 20ms").records, Stalled, Continued)
    assert not [r for r in kvm if (isinstance(r, Send) and r.to_host) or (isinstance(r, Delivery) and not r.to_host)]
    assert [r for r in kvm if isinstance(r, Send)], "the host goes on"
    host = between(played("stall perfcore at record 30 by 20ms").records, Stalled, Continued)
    assert not [r for r in host if (isinstance(r, Send) and not r.to_host) or (isinstance(r, Delivery) and r.to_host)]


def test_the_timers_of_a_stalled_service_run_out_late() -> None:
    usual = [r.time for r in played(scenario=ROTATION, design="v8").of(EventChange) if r.time]
    late = [r.time for r in played("stall perfcore at 3ms by 13ms", scenario=ROTATION, design="v8").of(EventChange)]
    assert not [time for time in late if 3_000_000 < time < 16_000_000]
    assert min(time for time in late if time > 3_000_000) == 16_000_001
    assert min(usual) < 16_000_000

    done = played("stall kvm0 at 1ms by 8ms", scenario=LEASES, design="revoke-ack")
    renewals = [r.time for r in done.of(Send) if isinstance(r.body, Renew)]
    assert renewals[0] == 9_000_000 > LEASE_NS // 2


def test_kvm_renews_its_lease_by_its_own_clock() -> None:
    def first(rule: str) -> int:
        done = played(rule, scenario=LEASES, design="revoke-ack")
        assert done.broken() == []
        return next(r.due for r in done.of(Timer) if r.timer == "renew" and r.due > 0)

    assert first("clock kvm0 rate 1.25") == LEASE_NS // 2 * 4 // 5
    assert first("clock kvm0 rate 0.8") == LEASE_NS // 2 * 5 // 4


def test_a_lease_is_no_protection_where_the_clocks_differ_and_the_fence_is() -> None:
    """Finding: a KVM whose clock is slow uses the LBR after the host has stopped to wait for it."""
    scenario, late, slow = library_scenario("c05-passthrough-without-event"), "delay Revoke by 15ms", "clock rate 0.5"
    broken = {
        (design, rules): played(*rules, design=design, scenario=scenario).broken()
        for design in ("revoke-ack", "fenced")
        for rules in ((late,), (late, slow))
    }
    assert set(broken["revoke-ack", (late, slow)]) - set(broken["revoke-ack", (late,)]) >= {"one-owner", "host-clean"}
    assert broken["fenced", (late, slow)] == []


def test_a_rule_that_does_not_strike_changes_nothing_and_is_named() -> None:
    usual = canonical(played().records)
    for rule in ("cut kvm1 at Revoke", "stall kvm0 at 100s", "cut kvm0 at record 100000", "clock kvm9 rate 2"):
        done = played(rule)
        assert (rule, canonical(done.records) == usual, done.applied) == (rule, True, [False])
        assert f"fault '{rule}' did not strike" in done.verdict.reason


def test_a_tape_is_replayed_with_what_it_strikes() -> None:
    rules = ("cut kvm0>host at Revoke 1 by 20ms", "stall kvm0 at SchedIn 1", "clock rate 0.5 at record 20")
    done = played(*rules)
    assert {type(decision) for decision in done.tape} >= {Cut, Mend, Stall, EndStall, SetClock}
    assert len(done.of(ClockSet)) == 1
    again = run(Inputs(STORY, DESIGNS["fenced"], replay([parse_decision(str(d)) for d in done.tape])))
    assert canonical(again.records) == canonical(done.records)


def test_an_edited_tape_mends_and_continues_what_it_leaves_broken() -> None:
    done = played("cut kvm0 at Revoke 1", "stall perfcore at Revoke 2")
    edited: list[Decision] = [d for d in done.tape if not isinstance(d, Mend | EndStall)]
    again = run(Inputs(STORY, DESIGNS["fenced"], Schedule(tape=Tape(edited), lenient=True))).finished()
    assert len(again.of(LinkMended)) == len(again.of(LinkCut)) == 1
    assert len(again.of(Continued)) == len(again.of(Stalled)) == 1


def test_shrinking_keeps_the_cut_that_is_necessary() -> None:
    done = played("cut kvm0 at Revoke 1", "stall kvm0 at Hello", "clock rate 0.9", design="revoke-gp")
    case = Shrinker(done, Target(("revoke-completes",))).shrink()
    assert [type(d) for d in case.tape if is_fault(d)] == [Cut]


# The promises of docs/faults.md ------------------------------------------------------------------------------


@cases("rule", ["cut kvm0 at Hello,Resume by 1", "crash kvm0 at Hello by 1", "crash perfcore at Hello by 1"])
def test_a_rule_strikes_100_times_at_most_and_the_run_ends(rule: str) -> None:
    done = played(rule)
    struck = [r for r in done.records if isinstance(r, LinkCut | Stalled | Crash)]
    assert len(struck) == STRIKES_LIMIT
    assert isinstance(done.records[-1], Rest)


def test_a_rule_without_a_selection_strikes_at_each_message() -> None:
    """Nothing is sent by a KVM that is stalled, and a stall of one decision is over before the next message."""
    done = played("stall kvm0 at all by 1")
    struck, sent = done.of(Stalled), done.of(Send)
    assert len(sent) / 2 < len(struck) <= len(sent)


def test_no_guest_runs_on_a_host_that_stalls() -> None:
    ran = 0
    for record in range(20, 90, 5):
        done = played(f"stall perfcore at record {record} by 20ms")
        stalled = between(done.records, Stalled, Continued)
        assert not [r for r in stalled if isinstance(r, VmEntry | Retired | Statement)], record
        ran += len(done.of(VmEntry))
    assert ran


@cases(("advance", "struck"), [("10ms", 10_000_000), ("3ms; advance 4ms", 7_000_000)])
def test_a_moment_comes_when_time_stops(advance: str, struck: int) -> None:
    """A step is never split: a moment within an advance comes at its end."""
    steps = "; host: advance ".join(advance.split("; advance "))
    story = parse(
        f"LBR moment\nvm vm0 {{ lbr = on; }}\nhost {{ host: advance {steps}; host: advance 1ms; }}\n", "moment"
    )
    for rule, kind in (("cut kvm0 at 4ms", LinkCut), ("stall kvm0 at 4ms", Stalled), ("crash kvm0 at 4ms", Crash)):
        done = played(rule, scenario=story)
        (record,) = done.of(kind)
        assert (rule, record.time) == (rule, struck)


def test_a_rule_strikes_behind_the_step_that_writes_its_record() -> None:
    steps = ends("central-story", "fenced")
    for record in range(steps[0], steps[-1], 3):
        done = played(f"stall kvm0 at record {record}")
        (stalled,) = done.of(Stalled)
        assert stalled.seq - 1 == next(end for end in steps if end >= record), record


@cases("service", ["kvm0", "perfcore"])
@cases("design", ["fenced", "merged"])
def test_a_service_that_is_told_to_stop_drains_goes_and_comes_back(service: str, design: str) -> None:
    done = played(f"shutdown {service} at record 30 by 20ms", design=design)
    (stop,), (gone,), (back,) = done.of(ShuttingDown), done.of(Crash), done.of(Restart)
    assert {r.fault for r in (stop, gone, back)} == {"f1.1"}
    assert {excuse.after for excuse in excuses_of(done.records, done.findings)} == {f"shutdown {service.rstrip('0')}"}
    assert (stop.service, stop.vcpus, gone.time - stop.time) == (service, ["vm0/0"], 20_000_000)
    assert back.seq == gone.seq + 1
    ended = [(r.to_host, r.new) for r in done.of(SessionChange) if stop.seq < r.seq < gone.seq]
    for to_host in (True, False):
        assert [new for end, new in ended if end == to_host][-1] == "ended"
    greets = [r.epoch for r in done.of(Send) if type(r.body).__name__ == "Hello"]
    assert greets == [1, 2]
    assert done.verdict.unfinished == {}
    assert set(done.broken()) <= set(played(design=design).broken())


@cases("service", ["kvm0", "perfcore"])
def test_a_service_that_is_told_to_stop_goes_though_its_peer_does_not_answer(service: str) -> None:
    done = played("cut kvm0 at record 29 by 400", f"shutdown {service} at record 30 by 4")
    assert done.applied == [True, True]
    assert [r.new for r in done.of(SessionChange)].count("draining") == 0
    assert len(done.of(Crash)) == len(done.of(Restart)) == 1
    assert (done.verdict.unfinished, done.broken()) == ({}, [])


def test_a_vcpu_that_is_migrated_while_its_kvm_stops_runs_no_more_where_it_was() -> None:
    """The old thread exits when the host takes Drain; the vCPU is on another host by then."""
    moved = library_scenario("mech-migrate-without-lbr")
    done = played("delay Drain by 5", "shutdown kvm0 at EventCreated 1 by 400", scenario=moved)
    (loaded,) = (r for r in done.of(VcpuMoved) if r.action == "loaded")
    (left,) = (r for r in done.of(TaskExit) if r.task == "vm0/0")
    assert loaded.seq < left.seq
    assert left.host == 0
    assert done.verdict.unfinished == {}


def test_a_thread_exits_on_its_host() -> None:
    done = played("shutdown kvm1 at SchedIn 2", scenario=library_scenario("mech-migrate-without-lbr"))
    assert [(r.task, r.host) for r in done.of(TaskExit)] == [("vm0/0", 1)]
    assert done.verdict.unfinished == {}


def test_a_tape_without_rules_ends_with_the_process_of_a_service_that_was_told_to_stop() -> None:
    done = played("shutdown kvm0 at record 30 by 4")
    at = next(n for n, decision in enumerate(done.tape) if isinstance(decision, Shutdown))
    again = run(Inputs(STORY, done.design, Schedule(tape=Tape(done.tape[: at + 1]), then_default=True))).finished()
    assert len(again.of(Crash)) == len(again.of(Restart)) == 1
    assert again.verdict.unfinished == {}


@cases(
    ("first", "crash", "end"),
    [
        ("stall kvm0 at record 20 by 400", "kvm0", Continued),
        ("stall perfcore at record 20 by 400", "perfcore", Continued),
        ("cut kvm0 at record 20 by 400", "kvm0", LinkMended),
        ("cut kvm0>host at record 20 by 400", "perfcore", LinkMended),
    ],
)
def test_a_crash_ends_the_stall_and_the_cut_of_its_service(first: str, crash: str, end: type) -> None:
    assert played(first).of(end), "without the crash it ends by itself"
    done = played(first, f"crash {crash} at record 22 by 2")
    assert done.applied == [True, True]
    assert done.of(end) == []
    assert isinstance(done.records[-1], Rest)
    assert done.broken() == []


OVERTAKEN = """\
take kvm0>host 1 Hello
cut kvm0>host
mend kvm0>host
take kvm0>host 3 Resume
overtake host>kvm0 4 Welcome
take host>kvm0 3 Welcome
timer kvm0>host resend
"""
"""The first Welcome, which is repeated, overtakes the answer to Resume."""


def test_a_late_answer_to_resume_acknowledges_all_the_same() -> None:
    tape = [parse_decision(line) for line in OVERTAKEN.splitlines()]
    done = run(Inputs(STORY, DESIGNS["fenced"], Schedule(tape=Tape(tape), then_default=True))).finished()
    assert (done.verdict_of("stream-kept"), done.verdict.unfinished) == ("held", {})
    late = next(r for r in done.of(Delivery) if r.message == "Welcome" and r.n == 3)
    again = [type(r.body).__name__ for r in done.of(Send) if r.to_host and r.seq > late.seq]
    assert again[0] == "RegisterVcpu"


def test_a_way_that_is_held_is_free_again_once_its_link_is_lost() -> None:
    """Two real services can lose a link by themselves; no decision loses its messages then."""
    flight = Flight()
    lost = SessionChange("kvm0", False, 1, "open", "lost", "the link is lost")
    flight.follow([Send("kvm0", False, 1, 1, 0, Renew(1)), Delivery("hold", "kvm0", False, 1, "Renew"), lost])
    flight.follow([Send("kvm0", False, 1, 2, 0, Renew(1))])
    (head,) = flight.heads()
    assert (head.n, flight.is_held(head)) == (2, False)


def test_a_kvm_that_is_gone_takes_along_what_its_vcpus_were_and_nothing_of_others() -> None:
    flight = Flight()
    flight.follow([GuestPmi(vcpu, 0, 1, False) for vcpu in ("vm0/0", "vm1/0")])
    flight.follow([Killed("vm", ["vm0/0"]), Killed("vm", ["vm1/0"])])
    flight.follow([Timer("kvm0", to_host, "resend", 9, awaited=True) for to_host in (True, False)])
    flight.follow([Crash("kvm0", -1, ["kvm0"], ["vm0/0"])])
    assert (flight.pmis, flight.outages.ended) == ({"vm1/0": 1}, {"vm1/0"})
    assert [timer.to_host for timer in flight.armed()] == [False]


def test_a_kvm_that_has_not_greeted_its_host_again_is_not_cut_off_and_its_threads_do_not_end() -> None:
    flight = Flight()
    outages = flight.outages
    outages.kvms, outages.vcpus = {"kvm0": 0}, ["vm0/0"]
    allowed = []
    for adrift in (set[str](), {"kvm0"}):
        outages.adrift = adrift
        allowed.append((outages.allow(Cut("kvm0", None)), outages.allow(Kill("thread", "vm0/0"))))
    assert allowed == [(True, True), (False, False)]
