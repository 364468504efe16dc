"""For each rule: how it is taken away, a run, and what the run breaks without the rule and not with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from client.schedule.strategies import Strategy
from contract.control import ConfigurePerf, KvmDrain, KvmLoseLink, KvmMendLink, MachineSpec, Open, RunTask
from contract.machine import Branch, Wrmsr
from contract.messages import Revoke
from contract.session import WINDOW
from contract.trace import Discard, VcpuWait, VcpuWake
from contract.x86 import IA32_DEBUGCTL
from tests.designs import FENCED, REVOKE_GP
from tests.kvm_svc.rig import KVM, VCPU, Rig
from tests.overrun import LIMIT
from tests.rules import mutations as m
from tests.rules.schedules import CrashAt, LateTwin
from tests.schedules import OvertakenUntil


@dataclass(frozen=True, slots=True)
class Removed:
    """``without``: takes the rule away from the code. ``design``: one that keeps the rule. ``scenario``, ``faults`` and
    ``strategy`` are the run; ``cores`` drives both cores where no scenario can, and gives what is broken. ``broken``:
    invariants that are violated without the rule, at the least, or another rule, or a promise."""

    rule: str
    without: m.Mutation
    broken: set[str]
    design: str = "revoke-gp"
    scenario: str = "central-story"
    faults: tuple[str, ...] = ()
    strategy: Callable[[], Strategy] | None = None
    cores: Callable[[], set[str]] | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """``value``: the axis value that takes a rule away from ``design``. The rest is as in Removed."""

    design: str
    value: str
    broken: set[str]
    scenario: str = "central-story"
    faults: tuple[str, ...] = ()


def late_message_of_the_last_epoch() -> set[str]:
    """A link gives back a Revoke that was sent before the host was restarted, when the guest has the LBR again."""
    rig = Rig(REVOKE_GP)
    assert rig.debugctl(1)
    rig.perf(Open("h0", 0, pinned=True, branch=["any"]), settle=False)
    old = next(e for e in rig.wire.network.waiting(KVM, False) if e.kind == "Revoke")
    assert isinstance(old.body, Revoke)
    grant = old.body.grant
    rig.wire.network.queues.clear()
    rig.wire.perf(ConfigurePerf(MachineSpec(depth=8), REVOKE_GP, ["t0"], [VCPU]))
    rig.kvm(KvmLoseLink())
    rig.wire.kvm(KVM, KvmMendLink())
    rig.settle()
    rig.place(VCPU)
    rig.debugctl(1)
    assert rig.debugctl(1)
    rig.guest(Branch(3))
    event = next(e for e in rig.wire.host.perf.events.values() if e.guest)
    assert rig.vcpu().grant.number == rig.wire.host.grants.current(event)[0] == grant
    rig.core.take(old, 0)
    return set() if rig.vcpu().grant.number == grant else {"agreement"}


def request_while_kvm_drains() -> set[str]:
    """The guest turns its LBR on when KVM has said Drain. A request that KVM sends then has no answer (R8)."""
    rig = Rig(REVOKE_GP)
    rig.kvm(KvmDrain("stops"))
    rig.step(Wrmsr(IA32_DEBUGCTL, 1))
    while not rig.records(VcpuWait):
        rig.step()
    rig.settle()
    assert rig.records(VcpuWake)
    return {"R8"} if any(r.message == "CreateEvent" for r in rig.records(Discard)) else set()


def kvm_that_acknowledges_nothing() -> set[str]:
    """The host switches threads, and nothing of it is acknowledged."""
    rig = Rig(FENCED)
    outgoing = rig.wire.host.endpoint.sessions[KVM].outgoing
    outgoing.most = LIMIT
    waited = 0
    for _ in range(WINDOW + LIMIT):
        for task in ("t0", VCPU):
            rig.wire.perf(RunTask(task, 0))
            rig.wire.network.cut(KVM, False)
            waited = max(waited, len(outgoing.waiting))
    return {"the bound on memory"} if waited > LIMIT else set()


TABLE = (
    Removed("R1", m.a_second_hello_begins_anew, {"agreement", "stream-kept"}, strategy=lambda: LateTwin("Hello")),
    Removed("R2", m.two_messages_have_each_number, {"stream-kept", "agreement", "no-starvation"}),
    Removed("R3", m.a_message_counts_each_time, {"stream-kept", "agreement"}, faults=("duplicate CreateEvent",)),
    Removed(
        "R4", m.nothing_is_taken_behind_a_gap, {"stream-kept", "agreement", "no-starvation"},
        scenario="central-story-in-full", faults=("drop SchedOut 1",),
    ),
    Removed("R5", m.a_message_of_any_epoch_counts, {"agreement"}, cores=late_message_of_the_last_epoch),
    Removed(
        "R6", m.old_news_of_a_grant_counts, {"agreement", "one-owner", "guest-clean", "no-leak"},
        scenario="c24-notifier-is-lost-or-late", strategy=lambda: OvertakenUntil("EventCreated", 1, "Revoke"),
    ),
    Removed(
        "R7", m.no_notifier_fires_at_the_registration, {"agreement", "no-starvation"},
        faults=("delay RegisterVcpu by 8",),
    ),
    Removed("R8", m.a_request_is_not_answered, {"agreement", "no-starvation"}),
    Removed(
        "R19", m.kvm_uses_a_grant_behind_its_lease, {"grants-kept", "one-owner", "host-clean", "no-loss"},
        design="revoke-ack", faults=("delay Revoke by 40ms",),
    ),
    Removed("R21", m.an_unknown_epoch_gets_no_answer, {"agreement"}, strategy=lambda: CrashAt("perfcore", "Revoke")),
    Removed(
        "R21", m.what_the_link_lost_is_not_sent_again, {"stream-kept", "agreement", "no-starvation"},
        design="fenced", faults=("cut kvm0 at EventCreated 1 by 6",),
    ),
    Removed(
        "R22", m.a_higher_epoch_ends_nothing, {"agreement", "no-starvation"},
        strategy=lambda: CrashAt("kvm0", "Revoke"),
    ),
    Removed("R23", m.the_events_outlive_their_thread, {"agreement"}, strategy=lambda: CrashAt("kvm0", "Revoke")),
    Removed("R24", m.kvm_asks_while_it_drains, {"R8"}, cores=request_while_kvm_drains),
    Removed(
        "R25", m.kvm_reads_a_damaged_message, {"stream-kept", "agreement"},
        design="revoke-ack", faults=("corrupt Revoke field grant",),
    ),
    Removed(
        "R26", m.nothing_bounds_what_waits, {"the bound on memory"}, design="fenced",
        cores=kvm_that_acknowledges_nothing,
    ),
)  # fmt: skip
"""The rules that no axis takes away."""
BY_AXIS = {
    "R18": Axis(
        "revoke-ack", "notifier=async", {"one-owner", "host-clean", "no-loss"}, faults=("delay Revoke by 4ms",)
    ),
}
"""The rules that fenced does without. ``client.document.needed`` has those of fenced."""
