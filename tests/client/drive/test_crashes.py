"""Crashes, restarts and ends of threads in the simulated wire: laws, and single consequences."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.designs import DESIGNS
from client.litmus import Scenario, parse
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule import decisions, incidents
from client.schedule.incidents import Crash, Kill
from client.schedule.schedule import Schedule, Tape
from client.schedule.strategies import DefaultStrategy
from contract import trace
from contract.design import Condition, Design
from contract.messages import Hello
from contract.trace import (
    Access,
    Discard,
    End,
    EventClose,
    Outcome,
    Rest,
    Restart,
    Retired,
    Send,
    Statement,
    Switch,
    TaskExit,
    VmExit,
    canonical,
)
from kvm_svc.hypervisor import host_lost
from tests.crashes.schedule import Crashing, Planned, random_plan
from tests.designs import FENCED, KVM_SWITCH, MERGED, REVOKE_ACK, REVOKE_GP, VMX_TRANSITION
from tests.library import library_scenario
from tests.rules.schedules import First
from tests.schedules import Reckless
from tests.stories.played import story_of, told_of

CENTRAL = library_scenario("central-story")


def crashed(story: Scenario, design: Design, *plan: Planned) -> Run:
    done = run(Inputs(story, design, Schedule(other=lambda: Crashing(plan))))
    assert done.failure is None
    return done


# Laws ----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 100_000), st.sampled_from(sorted(DESIGNS)), st.sampled_from(["default", "any"]))
def test_a_crash_breaks_no_claim_and_nothing_hangs(seed: int, name: str, how: str) -> None:
    """At any point, of any service, under any schedule that the claim allows; the tape replays to the byte."""
    story, rng = story_of(seed), Random(seed)
    base = DefaultStrategy() if how == "default" else Reckless(Random(~seed))
    condition = Condition.PROMPT if how == "default" else Condition.ANY
    done = run(Inputs(story, DESIGNS[name], Schedule(other=lambda: Crashing(random_plan(rng, story), base))))
    assert done.failure is None
    assert isinstance(done.records[-1], Rest)
    assert told_of(done, condition).broken == {}
    again = run(Inputs(story, DESIGNS[name], Schedule(tape=Tape(done.tape))))
    assert canonical(again.records) == canonical(done.records)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(100_001, 200_000))
def test_fenced_keeps_all_it_claims_under_any_schedule(seed: int) -> None:
    story, rng = story_of(seed), Random(seed)
    base = Reckless(Random(~seed))
    done = run(Inputs(story, FENCED, Schedule(other=lambda: Crashing(random_plan(rng, story), base))))
    assert done.failure is None
    assert told_of(done, Condition.ANY).broken == {}


def test_the_laws_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KVM that keeps its grants and events over a power cycle of its host breaks them."""
    monkeypatch.setattr(host_lost, "_forget_event", lambda hv, vcpu, why: None)
    found = [told_of(crashed(CENTRAL, FENCED, (at, Crash("perfcore"), 0)), Condition.ANY).broken for at in (18, 30)]
    assert all(found)


# A KVM ---------------------------------------------------------------------------------------------------

USED = 20
"""A decision of the central story at which the guest uses its LBR."""


def test_a_kvm_that_is_gone_leaves_nothing_on_the_host() -> None:
    done = crashed(CENTRAL, FENCED, (USED, Crash("kvm0"), 5))
    (crash,) = done.of(trace.Crash)
    after = done.records[crash.seq :]
    restart = next(i for i, r in enumerate(after) if isinstance(r, Restart))
    kinds = [type(r) for r in after[:restart]]
    assert kinds.index(VmExit) < kinds.index(Switch) < kinds.index(TaskExit) < kinds.index(EventClose)
    assert not [r for r in after[:restart] if isinstance(r, Send)]


def test_its_next_life_begins_under_a_higher_epoch_and_the_guest_goes_on() -> None:
    done = crashed(CENTRAL, FENCED, (USED, Crash("kvm0"), 0), (USED + 30, Crash("kvm0"), 0))
    assert [r.epoch for r in done.of(Send) if isinstance(r.body, Hello)] == [1, 2, 3]
    assert [r.life for r in done.of(Restart)] == [2, 3]
    (end,) = done.of(End)
    assert end.unfinished == {}
    assert done.broken() == []


def test_the_statement_under_way_begins_again() -> None:
    """The guest's write of DEBUGCTL waits for its event when KVM crashes."""

    def begun(at: int) -> list[str]:
        done = crashed(CENTRAL, FENCED, (at, Crash("kvm0"), 0))
        assert done.of(End)[0].unfinished == {}
        return [r.text for r in done.of(Statement) if r.actor == "vm0/0"]

    once = [statement for statement in begun(1_000) if statement]
    found = [begun(at) for at in range(5, 20)]
    assert [once[0], *once] in found
    assert once in found


# A host --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", [MERGED, REVOKE_GP, REVOKE_ACK, FENCED], ids=lambda design: design.name)
def test_after_a_power_cycle_kvm_greets_again_and_the_guest_can_tell(design: Design) -> None:
    done = crashed(CENTRAL, design, (USED, Crash("perfcore"), 0))
    assert [r.epoch for r in done.of(Send) if isinstance(r.body, Hello)] == [1, 2]
    (restart,) = done.of(Restart)
    after = [r for r in done.of(Access) if r.seq > restart.seq]
    assert after[0].denied
    loss = done.violation("no-loss")
    assert loss is None or loss.seq < restart.seq


def test_branches_of_two_lives_of_a_host_have_different_serials() -> None:
    done = crashed(CENTRAL, FENCED, (USED, Crash("perfcore"), 0), (USED + 40, Crash("perfcore"), 0))
    bursts = sorted((r.first, r.count) for r in done.of(Retired))
    assert all(first + count <= second for (first, count), (second, _) in pairwise(bursts))


def test_an_open_that_sleeps_ends_with_its_host() -> None:
    found = [crashed(CENTRAL, REVOKE_ACK, (at, Crash("perfcore"), 0)) for at in range(15, 19)]
    states = [r.value for done in found for r in done.of(Outcome) if r.register == "h0" and isinstance(r.value, dict)]
    assert states == [{"state": "ECONNRESET", "samples": 0}] * 4


SAVES = """LBR saves
"KVM saves the LBR by itself; the thread is off its CPU, or not, when the host loses its power."
machine { cpus = 1; lbr = skylake; depth = 4; }
task t0;
vm vm0 { lbr = on; }
host, vm0/0 {
    host: run vm0/0 on cpu0;
    vm0/0: wrmsr DEBUGCTL, LBR;
    vm0/0: branch 4;
    %s
    vm0/0: nop;
    vm0/0: a = rdmsr LBR_FROM[0];
    vm0/0: b = rdmsr LBR_FROM[1];
}
"""


@pytest.mark.parametrize("design", [KVM_SWITCH, VMX_TRANSITION], ids=lambda design: design.name)
def test_what_kvm_has_saved_comes_back_whole_or_not_at_all(design: Design) -> None:
    kept = set()
    for steps in ("", "host: run t0 on cpu0; host: branch 1 on cpu0; host: run vm0/0 on cpu0;"):
        story = parse(SAVES % steps)
        for at in range(1, 30):
            done = crashed(story, design, (at, Crash("perfcore"), 0))
            assert done.broken() == [], at
            crash, first = done.of(trace.Crash), next(r.seq for r in done.of(Statement) if r.text.startswith("a ="))
            if not crash or crash[0].seq > first:
                continue
            values = done.register("vm0/0:a"), done.register("vm0/0:b")
            assert all(values) or not any(values), at
            kept.add(bool(values[0]))
    assert kept == {True, False}


# Threads and VMs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill", [Kill("thread", "vm0/0"), Kill("vm", "vm0")], ids=str)
def test_a_vcpu_ends_with_its_thread(kill: Kill) -> None:
    done = crashed(CENTRAL, FENCED, (USED, kill, 0))
    (rest,) = done.of(Rest)
    assert not [e for e in rest.host.guest_events if e.vcpu == "vm0/0"]
    assert rest.kvm[0].vcpus == []
    (end,) = done.of(End)
    assert end.unfinished == {"host+vm0/0": "its thread has ended"}
    assert done.broken() == []


def test_a_registration_that_comes_after_the_end_is_discarded() -> None:
    done = crashed(CENTRAL, FENCED, (2, Kill("thread", "vm0/0"), 0))
    assert "R23" in [r.rule for r in done.of(Discard)]


def test_a_new_life_of_its_kvm_has_the_vcpu_again() -> None:
    done = crashed(CENTRAL, FENCED, (USED, Kill("thread", "vm0/0"), 0), (USED + 1, Crash("kvm0"), 0))
    (rest,) = done.of(Rest)
    assert [v.vcpu for v in rest.kvm[0].vcpus] == ["vm0/0"]


def test_a_new_life_begins_at_the_time_of_its_start() -> None:
    """KVM puts a refused capability on record while it makes the VM. Found by random faults."""
    scenario = library_scenario("mech-no-call-stack-v616")
    late = (decisions.Pass(1_000_000), Crash("kvm0"), incidents.Restart("kvm0"))
    played = run(Inputs(scenario, DESIGNS["fenced"], Schedule(other=lambda: First(*late)))).finished()
    assert [r.time for r in played.of(trace.UserMsr)][:2] == [0, 1_000_000]
    assert played.broken() == []
