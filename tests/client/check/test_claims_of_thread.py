"""The demo story and its relatives: verdicts as the model computes them today, and the mechanism behind surprises.

A cell that changes is news, not necessarily a bug: look at the trace first.
"""

from __future__ import annotations

from msgspec.structs import replace

from client.litmus import library_path, load
from contract.design import Design, Event, Save
from contract.design_check import flaw
from contract.invariants import INVARIANTS
from contract.trace import EventChange, GuestMsr, SampleTaken, VmEntry
from tests.cases import cases
from tests.client.check.runs import (
    HELD,
    IDLE,
    USE,
    VIOLATED,
    broken,
    finding,
    first,
    ordered,
    outcomes,
    scenario,
    trace,
    verdicts,
)
from tests.designs import DESIGNS, MERGED, REVOKE_GP, V7, V8

STORY = library_path("central-story")
TASK = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
TWO_VMS = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)

LETTERS = {HELD: "+", VIOLATED: "X", IDLE: "."}

# User space reads no LBR register in this story, nor does the guest read PERF_CAPABILITIES. All messages come once and
# in order. No grant has a lease, and none of an event that lost one is told.
NOT_IN_IT = ("user-clean", "capability-kept", "stream-kept", "grants-kept")
ALL_HELD = {**dict.fromkeys(INVARIANTS, "+"), **dict.fromkeys(NOT_IN_IT, ".")}

# +: held, X: violated, .: not exercised.
CENTRAL: dict[tuple[str, str], dict[str, str]] = {
    ("v7", ""): {
        "one-owner": "+",
        "guest-clean": "+",
        "host-clean": ".",  # the shut-out host reads nothing: its sample is empty
        "host-served": "X",  # the guest's event takes no slot, so h0 is ACTIVE, and shut out: LBR never enabled for it
        "no-leak": ".",  # no host branch is ever recorded
        "user-clean": ".",
        "no-loss": "X",  # intel_pmu_lbr_add of h0: resched took the guest's event off, so h0 is a new first user
        "no-silent-denial": ".",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "X",  # a task event has what a CPU-pinned one wants, see host-served
        "no-counter": "+",
        "debugctl-restored": "+",  # the host's DEBUGCTL stays 0: shut out
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",  # never denied
    },
    ("v8", ""): {
        "one-owner": "X",  # DEBUGCTL.LBR stays in the VMCS of a guest whose event is in ERROR
        "guest-clean": "+",
        "host-clean": ".",  # the sample is empty, see host-served
        "host-served": "X",  # twice: the losing event's filter in br_sel, and DEBUGCTL 0 after the exit
        "no-leak": ".",
        "user-clean": ".",
        "no-loss": "+",  # denied with a #GP, to the end
        "no-silent-denial": "+",  # DEBUGCTL is looked at like the other LBR MSRs: #GP
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "+",  # its event meets the slot, and loses it
        "no-counter": "+",
        "debugctl-restored": "X",  # the host's value was remembered at vcpu_load, before h0 came
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": "X",  # ERROR is for ever: denied twice after h0 has gone
    },
    ("silent", ""): {
        "one-owner": "X",  # nobody takes passthrough or DEBUGCTL.LBR from the guest
        "guest-clean": "+",  # as kvm-switch
        "host-clean": ".",  # the sample is empty, see host-served
        "host-served": "X",  # as v8
        "no-leak": "X",
        "user-clean": ".",
        "no-loss": "X",
        "no-silent-denial": "X",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "+",  # perf does its part
        "no-counter": "+",
        "debugctl-restored": "X",  # as v8
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "X",  # passed through to the end, on an event in ERROR
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",
    },
    ("merged", ""): {
        "one-owner": "+",
        "guest-clean": "+",
        "host-clean": ".",
        "host-served": "X",  # counter 58 never meets the LBR slot: both ACTIVE, the host shut out
        "no-leak": ".",
        "user-clean": ".",
        "no-loss": "X",  # as v7: the newcomer resets the ring
        "no-silent-denial": ".",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "X",
        "no-counter": "+",
        "debugctl-restored": "+",
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",
    },
    ("merged-2023", ""): {
        "one-owner": "X",  # the entry check takes passthrough, but leaves DEBUGCTL.LBR in the VMCS
        "guest-clean": "+",
        "host-clean": ".",  # the sample is empty, see host-served
        "host-served": "X",  # each access enables the event again: it loses, and leaves its filter in br_sel
        "no-leak": "X",  # enabled once h0 has gone, an event that has been on before resets nothing
        "user-clean": ".",
        "no-loss": "+",  # its LBR on again, it looks at no older entry than its newest
        "no-silent-denial": "X",  # a WRMSR of DEBUGCTL enables nothing, and is acknowledged in ERROR
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "+",
        "no-counter": "+",
        "debugctl-restored": "+",  # remembered at entry
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": "+",
    },
    ("first-come", ""): {
        "one-owner": ".",  # h0 is refused: the host has no LBR event
        "guest-clean": "+",
        "host-clean": ".",
        "host-served": ".",
        "no-leak": ".",
        "user-clean": ".",
        "no-loss": "+",
        "no-silent-denial": ".",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "X",  # EBUSY for a CPU-pinned event, because a task-pinned one has the LBR
        "no-counter": "+",
        "debugctl-restored": "+",
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",
    },
    ("kvm-switch", ""): {
        "one-owner": "X",  # perf knows nothing of the guest
        "guest-clean": "+",  # the guest happens not to look at the entries that the host filled
        "host-clean": "X",
        "host-served": "X",  # DEBUGCTL 0 after the exit
        "no-leak": "X",
        "user-clean": ".",
        "no-loss": "X",  # h0 resets the ring, and moves TOS by its own branches
        "no-silent-denial": "X",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": ".",  # one event alone has no class to respect
        "no-counter": "+",
        "debugctl-restored": "X",
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",
    },
    ("vmx-transition", ""): {
        "one-owner": "+",  # both have the LBR, each a whole one of its own
        "guest-clean": "+",
        "host-clean": "+",
        "host-served": "+",
        "no-leak": "+",
        "user-clean": ".",
        "no-loss": "+",
        "no-silent-denial": ".",  # there is nothing to deny
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": ".",
        "no-counter": "+",
        "debugctl-restored": "+",
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",
    },
    ("mediated", ""): {
        "one-owner": ".",  # h0 is refused
        "guest-clean": "+",
        "host-clean": ".",
        "host-served": ".",
        "no-leak": ".",
        "user-clean": ".",
        "no-loss": "+",
        "no-silent-denial": ".",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "X",  # EOPNOTSUPP for an event that counts guests, whatever its class
        "no-counter": "+",
        "debugctl-restored": "+",
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": ".",
        "no-starvation": "+",
        "recovers": ".",
    },
    ("revoke-gp", ""): ALL_HELD,
    ("revoke-gp", "drop:Revoke:1"): {
        "one-owner": "X",
        "guest-clean": "+",
        "host-clean": "X",
        "host-served": "+",  # remembered at entry: the host's DEBUGCTL comes back
        "no-leak": "X",
        "user-clean": ".",
        "no-loss": "X",
        "no-silent-denial": "X",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",  # KVM never took a Revoke
        "precedence": "+",  # perf's order is kept, the guest does not know
        "no-counter": "+",
        "debugctl-restored": "+",
        "stream-kept": "+",
        "grants-kept": ".",
        "agreement": "X",
        "revoke-completes": "X",
        "no-starvation": "+",
        "recovers": ".",  # never denied
    },
    ("revoke-zero", ""): ALL_HELD,
    ("revoke-ack", ""): {**ALL_HELD, "grants-kept": "+"},
    # h0 waits; when half of its lease is over KVM wants to prolong it, and is told once more.
    ("revoke-ack", "drop:Revoke:1"): {**ALL_HELD, "stream-kept": "+", "grants-kept": "+"},
    ("fail-entry", ""): {
        "one-owner": ".",  # the guest is not entered beside h0
        "guest-clean": "+",
        "host-clean": ".",  # the story has one thread: it stands still with the guest, before the sample
        "host-served": "+",
        "no-leak": ".",
        "user-clean": ".",
        "no-loss": "+",
        "no-silent-denial": ".",
        "msr-legality": "+",
        "capability-kept": ".",
        "revoked-means-revoked": ".",
        "precedence": "+",
        "no-counter": "+",
        "debugctl-restored": "+",
        "stream-kept": ".",
        "grants-kept": ".",
        "agreement": "+",
        "revoke-completes": "+",
        "no-starvation": "X",  # h0 would have to close first, and is behind the guest in the story
        "recovers": ".",
    },
    ("fenced", ""): ALL_HELD,
    # The entry check finds the grant over without it.
    ("fenced", "drop:Revoke:1"): {
        **ALL_HELD,
        "stream-kept": "+",
        "revoked-means-revoked": ".",  # sent again, it comes when the event that it is about has gone
    },
}
CENTRAL["v7-pinned", ""] = CENTRAL["v7", ""]  # pinned or not, it bypasses the scheduler
# The entry check finds the event in ERROR; but what KVM was told last is that it is ACTIVE.
CENTRAL["fail-entry", "drop:Revoke:1"] = {**CENTRAL["fail-entry", ""], "stream-kept": "+", "agreement": "X"}


@cases(("design", "fault"), CENTRAL, ids=lambda v: v or "reliable")
def test_central_story(design: str, fault: str) -> None:
    found = verdicts(trace(load(STORY), DESIGNS[design], *([fault] if fault else [])))

    assert {name: LETTERS[verdict] for name, verdict in found.items()} == CENTRAL[design, fault]


# C4, C6: v8 ----------------------------------------------------------------------------------------------

LATE_HOST = """
vm0/0 { a = rdmsr LBR_TOS; branch 4; b = rdmsr LBR_TOS; c = rdmsr LBR_FROM[1]; }
host { run vm0/0 on cpu0; advance 1us; advance 1us; h0 = open cpu0 pinned branch any; branch 3; }
"""


def test_v8_passthrough_outlives_the_loss() -> None:
    """The host event comes between the first access of a slice and the next entry: the inverted check then passes
    through exactly because the event is lost."""
    records = trace(scenario(LATE_HOST), V8)

    lost = next(r for r in records if isinstance(r, EventChange) and r.name == "vlbr:vm0/0" and r.new == "ERROR")
    after = [r for r in records if isinstance(r, VmEntry) and r.seq > lost.seq]
    assert after[0].passthrough
    assert [type(r) for r in records if isinstance(r, GuestMsr) and r.seq > lost.seq] == [GuestMsr] * 2
    assert {"one-owner", "no-silent-denial", "agreement"} <= broken(records)
    assert (outcomes(records)["vm0/0:a"], outcomes(records)["vm0/0:b"]) == (0, 0)


def test_v8_put_right_does_not() -> None:
    """The same race with the check as the author meant it."""
    meant = replace(V8, entry_check=MERGED.entry_check)
    records = trace(scenario(LATE_HOST), meant)

    assert outcomes(records)["vm0/0:b"] == "#GP"
    assert not {"one-owner", "no-silent-denial", "agreement"} & broken(records)


# C1, C5: merged ------------------------------------------------------------------------------------------

OPEN = "host: h0 = open cpu0 pinned branch any;"
HOST_FIRST = OPEN + USE + "host: run t0 on cpu0; host: branch 3; host: s0 = sample h0;"


@cases("design", [V7, MERGED], ids=lambda d: d.name)
def test_guest_filter_outlives_the_guest(design: Design) -> None:
    """br_sel is the filter of the event that was added last. The vCPU's thread is gone, and its call-stack filter still
    removes entries from the host's samples."""
    records = trace(ordered(HOST_FIRST, head=TASK), design)
    violation, record = first(records, "host-served")

    assert isinstance(record, SampleTaken)
    assert not record.shut_out
    assert violation.text == "the sample of h0 lacks 3 branches that it asked for and that were recorded"
    assert outcomes(records)["host:s0"] == {"entries": 0, "host": 0, "guest": 0, "empty": 0}


def test_undone_add_leaves_no_filter() -> None:
    records = trace(ordered(HOST_FIRST, head=TASK), REVOKE_GP)

    assert outcomes(records)["host:s0"] == {"entries": 3, "host": 3, "guest": 0, "empty": 5}
    assert finding(records, "host-served").verdict == HELD


# C10, C19: switches --------------------------------------------------------------------------------------


@every_design
def test_thread_switch_with_another_user_between(design: Design) -> None:
    steps = (
        USE + "host: h0 = open task t0 branch any; host: run t0 on cpu0; host: branch 5; host: s0 = sample h0;"
        "host: run vm0/0 on cpu0; vm0/0: branch 2; vm0/0: g = rdmsr LBR_STACK;"
    )
    records = trace(ordered(steps, head=TASK), design)

    assert finding(records, "no-loss").verdict == HELD
    assert outcomes(records)["vm0/0:g"] == {"tos": 6, "own": 6, "foreign": 0, "written": 0, "empty": 2}
    assert not broken(records) & {"no-leak", "guest-clean", "host-clean", "one-owner"}


def two_vms(design: Design) -> tuple[dict[str, str], dict[str, object]]:
    vcpus = ("vm0/0", "vm1/0")
    steps = "".join(f"host: run {v} on cpu0; {v}: wrmsr DEBUGCTL, LBR; {v}: branch 3; {v}: nop;" for v in vcpus)
    steps += "".join(f"host: run {v} on cpu0; {v}: branch 2; {v}: g = rdmsr LBR_STACK;" for v in vcpus)
    records = trace(ordered(steps, actors="host, vm0/0, vm1/0", head=TWO_VMS), design)
    return verdicts(records), outcomes(records)


@every_design
def test_two_vms_on_one_cpu(design: Design) -> None:
    found, seen = two_vms(design)

    assert (found["no-leak"], found["no-loss"], found["guest-clean"]) == (HELD, HELD, HELD)
    for vcpu in ("vm0/0", "vm1/0"):
        stack = seen[f"{vcpu}:g"]
        assert isinstance(stack, dict)
        assert (stack["own"], stack["foreign"]) == (5, 0)


@cases("design", [d for d in DESIGNS.values() if not flaw(replace(d, save=Save.NONE))], ids=lambda d: d.name)
def test_two_vms_without_saving(design: Design) -> None:
    """perf clears the ring for a task without LBR data: with an event the guest loses, and nothing leaks. Only where
    perf is not told does the other VM's ring lie open."""
    found, _ = two_vms(replace(design, save=Save.NONE))

    assert found["no-loss"] == VIOLATED
    assert found["no-leak"] == (VIOLATED if design.event is Event.NONE else HELD)


# Where the agreed option needs more than the thread said --------------------------------------------------


def test_revoke_gp_tells_a_guest_that_touched_nothing_meanwhile() -> None:
    """Between Revoke and Available the guest touches nothing. Without a denial it would find its LBR off and empty.
    So its next access is denied, and the access after that asks for an event again."""
    steps = USE + OPEN + "host: close h0; vm0/0: branch 2; vm0/0: b = rdmsr LBR_FROM[4]; vm0/0: c = rdmsr LBR_TOS;"
    records = trace(ordered(steps), REVOKE_GP)

    assert broken(records) == set()
    assert outcomes(records)["vm0/0:b"] == "#GP"
    assert outcomes(records)["vm0/0:c"] != "#GP"
