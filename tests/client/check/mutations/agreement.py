from __future__ import annotations

from contract.messages import Revoke, SchedOut
from contract.trace import CounterEvent
from kvm_svc import endpoint
from kvm_svc.hypervisor import counters, lbr, notifications
from kvm_svc.hypervisor.guest_pmu import GuestCounter
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import HOST, USE, ordered
from tests.designs import MERGED, REVOKE_GP

TASK = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
LEAVE = ordered(USE + "host: run t0 on cpu0;", head=TASK)
STOPPED = ordered(USE + "user: stop_lbr vm0/0;", actors="host, vm0/0, user")
LOST = ordered(USE + HOST)
COUNTER = ordered(
    "host: run vm0/0 on cpu0; vm0/0: wrmsr PERFEVTSEL0, 0x5300c4; vm0/0: wrmsr PERF_GLOBAL_CTRL, 1; vm0/0: branch 3;"
    "vm0/0: cpuid; user: reset vm0/0;",
    actors="host, vm0/0, user",
)


def forgets_the_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    vcpu.lbr_desc.event = 0


def does_not_say(hv: Hypervisor, vcpu: Vcpu, number: int, counter: GuestCounter) -> None:
    if counter.event:
        hv.effects.add(CounterEvent(vcpu.name, number, counter.event, "released"))
        counter.event, counter.running = 0, False


def deaf_to_state(hv: Hypervisor, message: Revoke) -> None:
    """It does what the Revoke asks for, and keeps the old state."""
    before = {vcpu.name: vcpu.claim.state for vcpu in hv.vcpus.values()}
    notifications.revoke(hv, message)
    for vcpu in hv.vcpus.values():
        vcpu.claim.state = before[vcpu.name]


MUTATIONS = [
    Mutation(
        "deaf-to-sched-out", "KVM does not take note that a thread is off",
        entry(endpoint._HANDLERS, SchedOut, nothing),
        LEAVE, MERGED, alone=True,
    ),
    Mutation(
        "event-not-released", "KVM forgets the guest's event and does not release it",
        attribute(lbr, "release_event", forgets_the_event), STOPPED, MERGED, alone=True,
    ),
    Mutation(
        "counters-not-released", "KVM does not tell the host that a counter needs its event no more",
        attribute(counters, "_release", does_not_say), COUNTER, MERGED, alone=True,
    ),
    Mutation(
        "state-of-before", "KVM does not take over the state that a Revoke tells",
        entry(endpoint._HANDLERS, Revoke, deaf_to_state),
        LOST, REVOKE_GP, alone=True,
    ),
]  # fmt: skip
