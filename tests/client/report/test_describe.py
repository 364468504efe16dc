"""The line of the log for a record: each kind of record at least once, from runs of the library."""

from __future__ import annotations

from functools import cache
from typing import get_args

import pytest

from client.report.describe import Describer
from client.report.describe.table import text_of
from client.report.describe.values import Values
from client.run.inputs import Inputs
from client.run.run import run
from contract.trace import (
    AnyRecord,
    ClockSet,
    Continued,
    Crash,
    Discard,
    EventFailed,
    EventWaits,
    Killed,
    LinkCut,
    LinkMended,
    PeerSilent,
    Record,
    Restart,
    SessionChange,
    Setup,
    ShuttingDown,
    Stalled,
    TaskExit,
    Throttle,
    WindowChange,
)
from tests.cases import cases
from tests.designs import DESIGNS
from tests.library import library_scenario

SHOWN: dict[tuple[str, str], list[str]] = {
    ("c01-order-of-precedence", "merged"): [
        "c01-order-of-precedence under merged on skylake, depth 32",
        "switch idle -> t0",
        "host1: tp = open task t0 pinned branch any_call;",
        "LBR reset: first LBR user is new",
        "host LBR on, DEBUGCTL LBR|FREEZE_LBRS_ON_PMI, LBR_SELECT 0xe4",
        "open host2:cf on cpu0, flexible, LBR_SELECT 0xdc, INACTIVE",
        "host1:tp ACTIVE -> ERROR (the LBR is another's)",
        "host1:tp = state ERROR, PMI samples 0",
        "all threads finished",
        "host: host1:tp ERROR, host2:cf INACTIVE, host3:tf INACTIVE, cp ACTIVE; kvm: none",
    ],
    ("c02-event-is-task-flexible", "fenced"): [
        "kvm0>host timer resend runs out at 10ms",
        "kvm0>host timer resend off",
        "perf restores the LBR of vm0/0: empty",
        "vm0/0: holds grant 1, EventCreated",
        "host: event 1 of vm0/0 ACTIVE; kvm: vm0/0 event 1 grant 1",
    ],
    ("c02-event-is-task-flexible", "mediated"): [
        "enter vm0/0: DEBUGCTL 0 -> 0, LBR MSRs passed through, the whole LBR switched",
        "host: no events; kvm: vm0/0 event none, passed through",
    ],
    ("c02-event-is-task-flexible", "merged"): [
        "kvm0>host #1 Hello protocol=5",
        "kvm0>host #1 Hello: taken",
        "vm0/0 loaded",
        "kvm0>host #3 CreateEvent vcpu=vm0/0 request=1",
        "vm0/0 wakes",
        "vm0/0 reads LBR_TOS = 0: done",
        "vm0/0:t0 = 0",
    ],
    ("c03-exclusive-host-user", "fail-entry"): [
        "vm0/0 waits for Available",
        "not finished: host+vm0/0 (waits for Available)",
    ],
    ("c03-exclusive-host-user", "first-come"): [
        "vm0/0: event failed, EBUSY",
    ],
    ("c03-exclusive-host-user", "kvm-switch"): [
        "enter vm0/0: DEBUGCTL LBR|FREEZE_LBRS_ON_PMI -> LBR, LBR MSRs passed through",
    ],
    ("c03-exclusive-host-user", "mediated"): [
        "h0: EOPNOTSUPP, a mediated VM has it",
        "vmx saves the LBR of vm0/0, 32 entries",
    ],
    ("c03-exclusive-host-user", "merged"): [
        "open h0 on cpu0, pinned exclusive, LBR_SELECT 0x0, INACTIVE",
        "exit vm0/0: msr-write DEBUGCTL, DEBUGCTL now LBR|FREEZE_LBRS_ON_PMI",
        "guest vm0/0 retires 4 jmp kernel #0..3, recorded",
        "vm0/0: warns 'fail to passthrough LBR'",
    ],
    ("c03-flexible-event-rotates", "merged"): [
        "vm0/0: passthrough on, entry check",
    ],
    ("c03-permanent-host-user", "kvm-switch"): [
        "sample of h0: 3 host vm0/0, 8 guest vm0/0, 21 empty",
    ],
    ("c03-permanent-host-user", "mediated"): [
        "host vm0/0 retires 3 jmp kernel #8..10, not recorded",
    ],
    ("c03-permanent-host-user", "merged"): [
        "host LBR off, DEBUGCTL 0, LBR_SELECT 0x0",
        "sample of h0 (shut out: not read): empty",
    ],
    ("c04-cpu-pinned-comes-later", "fenced"): [
        "vm0/0: holds no grant, Revoke",
        "vm0/0: claim held -> lost, Revoke",
    ],
    ("c04-cpu-pinned-comes-later", "revoke-ack"): [
        "h0 resumes: acknowledged",
    ],
    ("c05-passthrough-without-event", "mediated"): [
        "vmx restores the LBR of vm0/0: 4 guest vm0/0",
    ],
    ("c06-silent-malfunction", "fenced"): [
        "vm0/0 reads LBR_TOS = 0: #GP (denied)",
        "vm0/0: event 1 released, asking again",
        "close vlbr:vm0/0",
    ],
    ("c06-silent-malfunction", "merged"): [
        "vm0/0 reads LBR_FROM[4] = guest vm0/0 #3",
    ],
    ("c06-silent-malfunction", "v8"): [
        "kvm for vm0/0 reads LBR_FROM[4] = guest vm0/0 #3",
    ],
    ("c08-debugctl-is-switched", "merged"): [
        "vm0/0 leaves to user space, io",
        "vm0/0 comes back from user space",
    ],
    ("c09-exits-per-switch", "merged"): [
        "vm0/0 put",
    ],
    ("c18-notifier", "merged"): [
        "vm0/0 writes LBR_SELECT <- KERNEL",
    ],
    ("c23-created-twice", "v8"): [
        "kvm for vm0/0 writes LBR_SELECT <- 0",
    ],
    ("kvm-w14-user-enable-order", "merged"): [
        "user space sets PERF_CAPABILITIES of vm0/0 <- 0x2005: taken",
    ],
    ("mech-get-msrs-from-another-thread", "fail-entry"): [
        "entry of vm0/0 refused: the entry check",
    ],
    ("mech-get-msrs-from-another-thread", "merged"): [
        "user space gets LBR_TOS of vm0/0 from t1: 0",
    ],
    ("mech-guest-counter-beside-lbr", "mediated"): [
        "PMI: pmc0:vm0/0 overflowed, LBR frozen",
        "vm0/0: event 1 of counter 0 paused",
        "PMI for vm0/0, PERF_GLOBAL_STATUS 0x1, LBR frozen",
    ],
    ("mech-host-pmi-freezes-guest", "merged"): [
        "exit vm0/0: nmi, DEBUGCTL now 0, overflow cleared guest DEBUGCTL.LBR",
    ],
    ("mech-migrate-with-lbr", "merged"): [
        "vm0/0 saved with its LBR, DEBUGCTL LBR",
    ],
    ("mech-migrate-without-lbr", "merged"): [
        "vm0/0 saved without its LBR",
    ],
    ("mech-pmi-masks-lvtpc-v616", "merged"): [
        "PMI for vm0/0, PERF_GLOBAL_STATUS 0x1, masks LVTPC",
        "PMI for vm0/0, PERF_GLOBAL_STATUS 0x1, LVTPC masked: not delivered",
    ],
    ("mech-set-cpuid-v616", "merged"): [
        "user space sets the CPUID of vm0 to PMU version 2, 2 + 3 counters, PDCM, model host: an LBR",
        "user space sets the CPUID of vm0 to PMU version 2, 4 + 3 counters, PDCM, model host: rejected, EINVAL",
    ],
    ("mech-reset-merged", "merged"): [
        "vm0/0 is reset",
    ],
    ("mech-shut-out-is-a-flag", "revoke-ack"): [
        "h0 waits for the end of grant 1, 2",
    ],
}
"""Scenario and design to what its log has among others, in this order."""


@cache
def described(scenario: str, design: str) -> list[tuple[str, AnyRecord]]:
    records = run(Inputs(library_scenario(scenario), DESIGNS[design])).records
    assert isinstance(records[0], Setup)
    describer = Describer(records[0])
    return [(describer.text(record), record) for record in records]


@cases(("scenario", "design"), SHOWN, ids="-".join)
def test_a_record_is_put_into_these_words(scenario: str, design: str) -> None:
    wanted = SHOWN[scenario, design]
    log = iter(text for text, _ in described(scenario, design))
    assert [text for text in wanted if text not in log] == []


RARE: list[tuple[AnyRecord, str]] = [
    (Crash("kvm0", -1, ["kvm0"], ["vm0/0"], "f1.1"), "kvm0 crashes (fault f1.1)"),
    (Crash("perfcore", 0, [], [], orderly=True), "perfcore has stopped"),
    (Restart("perfcore", 2), "perfcore begins its life 2"),
    (Killed("vm", ["vm0/0", "vm0/1"]), "the vm ends: vm0/0, vm0/1"),
    (LinkCut("kvm0", None, "f1.1"), "the link of kvm0 is CUT (fault f1.1)"),
    (LinkMended("kvm0", True), "the way kvm0>host is mended"),
    (Stalled("perfcore", "f2.1"), "perfcore STALLS (fault f2.1)"),
    (Continued("perfcore"), "perfcore goes on"),
    (ShuttingDown("kvm0", ["kvm0"], ["vm0/0"], "f1.1"), "kvm0 is told to stop (fault f1.1)"),
    (ClockSet("kvm0", 1_250_000), "the clock of kvm0 runs at 1.25 times the host's"),
    (EventFailed("h0", "EINVAL"), "h0: EINVAL"),
    (EventWaits(1, "h0", "no counter is free"), "h0 stays off (no counter is free)"),
    (EventWaits(1, "h0", ""), "h0 may be put on again"),
    (Throttle(1, "h0", 0, throttled=True), "h0 throttled"),
    (Throttle(1, "h0", 0, throttled=False), "h0 may overflow again"),
    (
        SessionChange("kvm0", False, 1, "open", "lost", "the link is lost"),
        "session kvm0, epoch 1, at host: open -> lost, the link is lost",
    ),
    (WindowChange("kvm0", True, 1, paused=True), "session kvm0, epoch 1: kvm0 pauses, the window is full"),
    (WindowChange("kvm0", False, 1, paused=False), "session kvm0, epoch 1: host continues, the window has room"),
    (PeerSilent("kvm0", True, 1), "session kvm0, epoch 1: kvm0 has no answer, the other end is silent"),
    (TaskExit("t0", 0), "t0 exits"),
    (Discard("kvm0", True, 4, "Ack", "R3", "taken before"), "kvm0>host #4 Ack: discarded by R3, taken before"),
]


@cases(("record", "text"), RARE, ids=[text for _, text in RARE])
def test_so_is_what_no_default_tape_brings_about(record: AnyRecord, text: str) -> None:
    setup = described("central-story", "merged")[0][1]
    assert isinstance(setup, Setup)
    assert Describer(setup).text(record) == text


KINDS = get_args(AnyRecord)


def test_who_writes_it() -> None:
    kinds: dict[str, set[str]] = {}
    for kind in KINDS:
        kinds.setdefault(kind.source, set()).add(kind.__name__)
    assert kinds.keys() == {"driver", "wire", "perf", "kvm", "silicon"}
    assert kinds["wire"] == {"Send", "Delivery", "Discard", "SessionChange", "Timer", "WindowChange", "PeerSilent"}
    assert kinds["silicon"] == {
        "Switch", "Retired", "VmEntry", "VmEntryRefused", "VmExit", "GuestMsr", "HostMsr", "Pmi", "Throttle",
        "LbrSave", "LbrRestore", "TaskExit",
    }  # fmt: skip


@cases("kind", KINDS)
def test_a_record_is_described_in_the_file_of_its_source(kind: type[Record]) -> None:
    """One entry of its own for each type: none inherits that of another."""
    assert kind in text_of.registry
    described_in = text_of.registry[kind].__module__.rpartition(".")[2]
    assert described_in == kind.__module__.rpartition(".")[2]


@cases("kind", KINDS)
def test_its_lane_is_the_cpu_that_it_names(kind: type[Record]) -> None:
    values = {name: 3 if name == "cpu" else 0 for name in kind.__struct_fields__}
    assert kind(**values).lane == (3 if "cpu" in kind.__struct_fields__ else -1)


def test_no_type_of_record_is_forgotten() -> None:
    bases = Record.__subclasses__()
    assert {kind for base in bases for kind in base.__subclasses__()} == set(KINDS)


def test_a_record_without_words_is_refused() -> None:
    with pytest.raises(TypeError, match="Record has no description"):
        text_of(Record(), Values(Setup("x", "merged", {}, "skylake", 8, 1, [], [])))


def test_no_kind_of_record_is_left_out() -> None:
    kinds = {type(record) for run, words in SHOWN.items() for text, record in described(*run) if text in words}
    assert kinds | {type(record) for record, _ in RARE} == set(get_args(AnyRecord))
