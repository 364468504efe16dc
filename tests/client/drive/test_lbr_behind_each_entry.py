"""No guest of a design that promises no-loss is entered with its LBR on, nothing behind it, and no answer to come.

The law behind ``mech-user-turns-lbr-on-first``: user space writes MSRs, resets, migrates and changes CPUIDs in any
order, the guest and the host go on meanwhile.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from client.check.judge import judge
from client.drive.sim import SimWire
from client.litmus import parse
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from contract.control import AnyKvmCommand
from contract.design import Activation, Design
from contract.effects import StepResult
from contract.results import AnyResult
from contract.trace import VmEntry
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor import entry
from tests.cases import cases
from tests.designs import DESIGNS

PROMISE = [design for design in DESIGNS.values() if any(claim.invariant == "no-loss" for claim in design.claims)]
promising = cases("design", PROMISE, ids=lambda design: design.name)

USER = (
    "set vm0/0 DEBUGCTL, 0",
    "set vm0/0 DEBUGCTL, LBR",
    "set vm0/0 DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI",
    "set vm0/0 PERF_CAPABILITIES, 0",
    "set vm0/0 PERF_CAPABILITIES, 0x2000",
    "set vm0/0 PERF_CAPABILITIES, 0x2005",
    "set vm0/0 LBR_TOS, 3",
    "set vm0/0 { DEBUGCTL, LBR; PERF_CAPABILITIES, 0x2005; }",
    "get vm0/0 LBR_TOS",
    "set_cpuid vm0/0 { pmu = 0; }",
    "set_cpuid vm0/0 { pmu = 2; pdcm = on; }",
    "set_cpuid vm0/0 { pdcm = off; }",
    "set_cpuid vm0/0 { model = other; }",
    "set_cpuid vm0/0 { model = host; }",
)
GUEST = ("branch 3", "wrmsr DEBUGCTL, LBR", "wrmsr DEBUGCTL, 0", "t = rdmsr LBR_TOS", "g = rdmsr LBR_STACK", "cpuid")
HOST = ("idle cpu{cpu}", "run t0 on cpu{cpu}")
STEPS = st.one_of(
    st.sampled_from(USER).map(lambda text: ("user", text)),
    st.sampled_from(GUEST).map(lambda text: ("vm0/0", text)),
    st.sampled_from(GUEST).map(lambda text: ("vm0/0", text)),
    st.sampled_from(HOST).map(lambda text: ("host", text)),
    st.just(("user", "reset vm0/0")),
    st.just(("user", "migrate")),
    st.just(("host", "open cpu{cpu} pinned branch any")),
    st.just(("host", "close")),
)


class Watched(SimWire):
    """A simulated wire that looks at each vCPU after each of KVM's steps."""

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        done = super().kvm(session, command)
        for record in done.effects:
            if isinstance(record, VmEntry):
                vcpu = self.kvms[session].hv.vcpus[record.vcpu]
                on = vcpu.vm.lbr_enabled and vcpu.debugctl & DEBUGCTL_LBR
                behind = vcpu.lbr_desc.event or vcpu.claim.shut_off or vcpu.waiting
                assert behind or not on, f"record {record.seq}: {record.vcpu} has its LBR on and nothing behind it"
        return done


def text_of(drawn: list[tuple[str, str]], kernel: str, lbr: str) -> str:
    """A scenario of these steps. Each open has a name of its own; a close is of the newest that is open."""
    lines = ["host: run vm0/0 on cpu0;"]
    opened: list[str] = []
    place = 0
    for number, (actor, statement) in enumerate(drawn):
        if statement.startswith("open"):
            opened.append(f"h{number}")
            lines.append(f"host: h{number} = {statement.format(cpu=place)};")
        elif statement == "close":
            lines += [f"host: close {opened.pop()};"] if opened else []
        elif statement == "migrate":
            place = 1 - place
            lines += [f"user: m{number} = migrate vm0/0 to kvm{place} with lbr;", f"host: run vm0/0 on cpu{place};"]
        elif statement.startswith(("set ", "get ", "set_cpuid ")):
            lines.append(f"user: u{number} = {statement};")
        elif actor == "host":
            lines += [f"host: {statement.format(cpu=place)};", f"host: run vm0/0 on cpu{place};"]
        else:
            lines.append(f"{actor}: {statement};")
    machines = f"machine {{ cpus = 1; lbr = skylake; depth = 8; kernel = {kernel}; }} machine far {{ cpus = 1; }}"
    body = " ".join([*lines, "vm0/0: branch 2;", "vm0/0: last = rdmsr LBR_STACK;"])
    return f"LBR drawn {machines} kvm kvm1 on far; task t0; vm vm0 {{ lbr = {lbr}; }} host, user, vm0/0 {{ {body} }}"


SCENARIOS = st.builds(
    text_of,
    st.lists(STEPS, min_size=1, max_size=12),
    st.sampled_from(["v5.12", "v6.16", "v7.1"]),
    st.sampled_from(["on", "off"]),
)


def test_somebody_promises_no_loss() -> None:
    assert "fenced" in [design.name for design in PROMISE]


ON = ("user", "set vm0/0 DEBUGCTL, LBR")
LOST_THEN_MOVED = text_of([ON, ("host", "open cpu{cpu} pinned branch any"), ("user", "migrate")], "v6.16", "on")
MOVED_THEN_WRITTEN = text_of([ON, ("user", "migrate"), ("user", "set vm0/0 LBR_TOS, 3")], "v6.16", "on")
MOVED_LOST_THEN_MOVED = text_of(
    [ON, ("user", "migrate"), ("host", "open cpu{cpu} pinned branch any"), ("vm0/0", "branch 3"), ("user", "migrate")],
    "v5.12",
    "on",
)


@promising
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(text=SCENARIOS, fault=st.sampled_from(["", "drop:EventCreated:1", "drop:Revoke:1", "duplicate:EventCreated:1"]))
@example(text=LOST_THEN_MOVED, fault="")
@example(text=MOVED_THEN_WRITTEN, fault="")
@example(text=MOVED_LOST_THEN_MOVED, fault="drop:Revoke:1")
def test_each_entry_has_an_event_or_a_denial_behind_it(design: Design, text: str, fault: str) -> None:
    faults = (parse_fault(fault),) if fault else ()
    played = run(Inputs(parse(text), design, Schedule(faults), wire=Watched()))
    assert played.failure is None, played.failure
    (no_loss,) = [finding for finding in judge(played.records) if finding.invariant == "no-loss"]
    assert no_loss.violations == []


@promising
def test_the_law_notices_an_entry_that_asks_for_nothing(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """fenced as it was: a lazy activation, and entries that silently clear the bit."""
    monkeypatch.setattr(entry, "_loses_unseen", lambda hv, vcpu, wanted: False)
    drawn = [("user", "set vm0/0 DEBUGCTL, LBR"), ("user", "set vm0/0 PERF_CAPABILITIES, 0x2005")]
    story = parse(
        text_of(drawn, "v6.16", "off")
        .replace("host: run vm0/0 on cpu0;", "", 1)
        .replace("vm0/0: branch 2;", "host: run vm0/0 on cpu0; vm0/0: branch 2;")
    )
    lazy = replace(design, activation=Activation.LAZY)
    with pytest.raises(AssertionError, match="has its LBR on and nothing behind it"):
        run(Inputs(story, lazy, wire=Watched()))
