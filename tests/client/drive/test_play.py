"""The player: outcomes of the central story, who is blocked, replay, and random tapes."""

from __future__ import annotations

from client.drive.sim import SimWire
from client.litmus import library_path, load
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import format_tape, parse_tape
from client.schedule.schedule import replay
from contract.design import Design
from contract.effects import StepResult
from contract.errors import SystemFailedError
from contract.trace import End, Rest, Setup, Statement, canonical
from tests.cases import cases
from tests.client.check.runs import ordered, outcomes, play, scenario
from tests.designs import DESIGNS, FAIL_ENTRY, MERGED

STORY = library_path("central-story")
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)


def unfinished(played: Run) -> dict[str, str]:
    return next(r.unfinished for r in played.records if isinstance(r, End))


# The central story ---------------------------------------------------------------------------------------

# t1 after the host event came, o1 the guest's older branch (f0: as it left it), s0 the host's sample (host, guest), t2
# afterwards. TOS is 8 before; 8 branches of the host, 4 of the guest, 3 of the host and 6 of the guest come after that.
CENTRAL: dict[str, tuple[int | str, int | str, tuple[int, int], int | str]] = {
    "v7": (12, 0, (0, 0), 18),
    "v7-pinned": (12, 0, (0, 0), 18),
    "v8": ("#GP", "#GP", (0, 0), "#GP"),
    "silent": (20, 0, (0, 0), 26),
    "merged": (12, 0, (0, 0), 18),
    "merged-2023": (0, 0, (0, 0), 29),
    "kvm-switch": (20, 0, (8, 4), 26),
    "vmx-transition": (12, "f0", (11, 0), 18),
    "revoke-gp": ("#GP", "#GP", (11, 0), 25),
    "revoke-zero": (0, 0, (11, 0), 25),
    "first-draft": ("#GP", "#GP", (11, 0), 25),
    "revoke-ack": ("#GP", "#GP", (11, 0), 25),
    "fenced": ("#GP", "#GP", (11, 0), 6),
}
REFUSED = {"first-come": "EBUSY", "mediated": "EOPNOTSUPP"}


@cases("name", CENTRAL)
def test_central_story(name: str) -> None:
    played = play(load(STORY), DESIGNS[name])
    seen = outcomes(played.records)

    t1, o1, (host, guest), t2 = CENTRAL[name]
    assert [seen[f"vm0/0:{r}"] for r in ("t0", "t1", "t2")] == [8, t1, t2]
    assert seen["vm0/0:o1"] == (seen["vm0/0:f0"] if o1 == "f0" else o1)
    sample = seen["host:s0"]
    assert isinstance(sample, dict)
    assert (sample["entries"], sample["host"], sample["guest"]) == (host + guest, host, guest)
    assert seen["host:h0"] == {"state": "CLOSED", "samples": 0}
    assert (seen["vm0/0:f1"] == "skipped") == (t1 == "#GP")
    assert (played.failure, played.wire, unfinished(played)) == (None, "sim", {})


@cases("name", REFUSED)
def test_central_story_where_the_host_is_refused(name: str) -> None:
    played = play(load(STORY), DESIGNS[name])
    seen = outcomes(played.records)

    assert seen["host:h0"] == {"state": REFUSED[name], "samples": 0}
    assert seen["host:s0"] == "EBADF"
    assert [seen[f"vm0/0:{r}"] for r in ("t0", "t1", "t2")] == [8, 12, 18]
    assert seen["vm0/0:o1"] == seen["vm0/0:f0"] != 0
    assert unfinished(played) == {}


def test_central_story_where_the_guest_is_not_entered() -> None:
    """One thread tells the story: it stands still with the guest, and so does the host that could let it go on."""
    played = play(load(STORY), FAIL_ENTRY)
    seen = outcomes(played.records)

    assert seen["host:h0"] == {"state": "ACTIVE", "samples": 0}
    assert seen["vm0/0:t0"] == 8
    assert "vm0/0:t1" not in seen
    assert unfinished(played) == {"host+vm0/0": "waits for Available"}


def test_every_design_has_its_central_story() -> None:
    assert CENTRAL.keys() | REFUSED.keys() | {"fail-entry"} == DESIGNS.keys()


@every_design
def test_shape_of_a_trace(design: Design) -> None:
    played = play(load(STORY), design)
    records = played.records

    assert isinstance(records[0], Setup)
    assert records[0].axes == design.axes()
    assert isinstance(records[-2], End)
    assert isinstance(records[-1], Rest)
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    statements = [r for r in records if isinstance(r, Statement)]
    steps = [step for block in load(STORY).blocks for step in block.steps]
    begun = len(steps) if not unfinished(played) else 8
    assert [r.actor for r in statements] == [step.actor for step in steps[:begun]]
    assert statements[0].line > 0


def test_no_vm_needs_no_kvm() -> None:
    played = play(scenario("host { branch 3; }", head="machine { cpus = 1; }"), MERGED)

    assert isinstance(played.records[-1], Rest)
    assert played.records[-1].kvm == []


# Blocked threads -----------------------------------------------------------------------------------------

RUN = "host { run vm0/0 on cpu0; } vm0/0 { r0 = rdmsr LBR_TOS; }"


@cases(
    ("fault", "why"),
    [
        ("drop:SchedIn:1", "KVM has not taken SchedIn for cpu0"),
        ("drop:EventCreated:1", "waits for EventCreated"),
        ("drop:CreateEvent:1", "waits for EventCreated"),
        ("drop:Hello:1", "KVM has not taken SchedIn for cpu0"),
        ("drop:RegisterVcpu:1", "KVM has not taken SchedIn for cpu0"),
    ],
)
def test_lost_message_leaves_the_guest_unfinished(fault: str, why: str) -> None:
    played = play(scenario(RUN), MERGED, fault)

    assert unfinished(played) == {"vm0/0": why}
    assert "vm0/0:r0" not in outcomes(played.records)


def test_thread_on_no_cpu() -> None:
    assert unfinished(play(scenario("vm0/0 { nop; }"), MERGED)) == {"vm0/0": "its thread is on no CPU"}


def test_blocked_thread_steps_once_it_can() -> None:
    """vm0/0 comes first in the file and waits for the host."""
    played = play(scenario("vm0/0 { r0 = rdmsr LBR_TOS; } host { branch 2; run vm0/0 on cpu0; }"), MERGED)

    assert unfinished(played) == {}
    assert outcomes(played.records) == {"vm0/0:r0": 0}


def test_user_space_is_never_blocked() -> None:
    head = "machine { cpus = 1; }\nvm vm0 { lbr = on; }"
    played = play(scenario("user { u0 = get vm0/0 PERF_CAPABILITIES; stop_lbr vm0/0; }", head=head), MERGED)

    assert (outcomes(played.records), unfinished(played)) == ({"user:u0": 0x2005}, {})


# Values --------------------------------------------------------------------------------------------------


def test_open_fails_with_an_errno() -> None:
    head = "machine { lbr = nehalem; }\n"
    story = ordered(
        "host: h0 = open cpu0 branch call_stack; host: n0 = read h0; host: close h0;", actors="host", head=head
    )
    played = play(story, MERGED)

    assert outcomes(played.records) == {
        "host:h0": {"state": "EOPNOTSUPP", "samples": 0},
        "host:n0": "EBADF",
        "host:": "EBADF",
    }


def test_open_and_read_states() -> None:
    """The second event wants another filter: pinned and too late, it is in ERROR, and read gives end of file."""
    story = ordered(
        "host: h0 = open cpu0 pinned branch any; host: h1 = open cpu0 pinned branch call;"
        "host: branch 5; host: n0 = read h0; host: n1 = read h1; host: s1 = sample h1;",
        actors="host",
    )
    assert outcomes(play(story, MERGED).records) == {
        "host:h0": {"state": "ACTIVE", "samples": 0},
        "host:h1": {"state": "ERROR", "samples": 0},
        "host:n0": {"count": 5, "enabled": 0, "running": 0},
        "host:n1": "EOF",
        "host:s1": "none",
    }


def test_a_group_belongs_to_the_actor_that_opened_it() -> None:
    """Both hosts have a g0; the sibling joins that of its own, and so is disabled with it."""
    story = ordered(
        "host: g0 = open cpu0 counter; host1: g0 = open cpu0 counter; host1: g1 = open cpu0 in g0 counter;"
        "host1: disable g0 group;",
        actors="host, host1",
    )
    states = {name: value["state"] for name, value in outcomes(play(story, MERGED).records).items()}  # type: ignore[index]
    assert states == {"host:g0": "ACTIVE", "host1:g0": "OFF", "host1:g1": "OFF"}


def test_mux_and_mediate_give_ok_or_an_errno() -> None:
    """An event that is opened where nothing is named counts guests, too."""
    story = ordered(
        "host: m0 = mux 1ms; host: m1 = mux 999us; host: m2 = mediate; host: h0 = open cpu0 counter;"
        "host: h1 = open cpu0 counter exclude_guest; host: m3 = unmediate; host: h2 = open cpu0 counter;"
        "host: mux 2ms; host: m4 = mediate;",
        actors="host",
    )
    seen = outcomes(play(story, MERGED).records)

    assert [seen[f"host:m{i}"] for i in range(5)] == ["ok", "EINVAL", "ok", "ok", "EBUSY"]
    assert [seen[f"host:h{i}"]["state"] for i in range(3)] == ["EOPNOTSUPP", "ACTIVE", "ACTIVE"]  # type: ignore[index]
    assert "host:" not in seen


def test_samples_are_those_of_overflows() -> None:
    story = ordered(
        "host: h0 = open cpu0 branch any period 10; host: h1 = open cpu0 branch any; host: branch 35;"
        "host: s = sample h1;",
        actors="host",
    )
    seen = outcomes(play(story, MERGED).records)

    assert seen["host:h0"] == {"state": "ACTIVE", "samples": 3}
    assert seen["host:h1"] == {"state": "ACTIVE", "samples": 0}


def test_register_indexes_an_msr() -> None:
    story = ordered(
        "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: wrmsr LBR_TOS, 5; vm0/0: branch 1;"
        "vm0/0: t = rdmsr LBR_TOS; vm0/0: a = rdmsr LBR_FROM[t]; vm0/0: b = rdmsr LBR_FROM[6];"
        "vm0/0: c = rdmsr LBR_FROM[5];"
    )
    seen = outcomes(play(story, MERGED).records)

    assert seen["vm0/0:t"] == 6
    assert seen["vm0/0:a"] == seen["vm0/0:b"] != 0
    assert seen["vm0/0:c"] == 0


def test_index_wraps_and_faults_skip() -> None:
    head = "machine { depth = 8; }\nvm vm0 { lbr = off; }\nvm vm1 { lbr = on; }"
    story = ordered(
        "host: run vm0/0 on cpu0; vm0/0: p = rdmsr PERF_CAPABILITIES; vm0/0: f = rdmsr LBR_TOS;"
        "vm0/0: g = rdmsr LBR_FROM[f]; host: run vm1/0 on cpu0; vm1/0: p = rdmsr PERF_CAPABILITIES;"
        "vm1/0: q = rdmsr LBR_FROM[p];"
        "vm1/0: wrmsr LBR_FROM[5], 0x10; vm1/0: r = rdmsr LBR_FROM[p];",
        actors="host, vm0/0, vm1/0",
        head=head,
    )
    seen = outcomes(play(story, MERGED).records)

    assert (seen["vm0/0:f"], seen["vm0/0:g"]) == ("#GP", "skipped")
    assert (seen["vm1/0:p"], seen["vm1/0:q"], seen["vm1/0:r"]) == (0x2005, 0, 0x10)  # 0x2005 mod 8 is 5


def test_guest_stack() -> None:
    story = ordered(
        "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 3; vm0/0: wrmsr LBR_FROM[7], 0x10;"
        "vm0/0: g = rdmsr LBR_STACK;"
    )
    assert outcomes(play(story, MERGED).records)["vm0/0:g"] == {
        "tos": 3,
        "own": 3,
        "foreign": 0,
        "written": 1,
        "empty": 4,
    }


# Replay --------------------------------------------------------------------------------------------------


@every_design
def test_replay_is_byte_identical(design: Design) -> None:
    story = load(STORY)
    played = play(story, design)
    tape = parse_tape(format_tape(played.tape))

    again = run(Inputs(story, design, replay(tape)))

    assert canonical(again.records) == canonical(played.records)
    assert again.tape == played.tape


def test_wire_failure_keeps_what_there_was() -> None:
    class Failing(SimWire):
        def decide(self, *args: object) -> StepResult[bool]:
            raise SystemFailedError("kvm0", "gone")

    played = run(Inputs(load(STORY), MERGED, replay(play(load(STORY), MERGED).tape), wire=Failing()))

    assert played.failure is not None
    assert isinstance(played.records[0], Setup)
    assert not any(isinstance(r, End) for r in played.records)
