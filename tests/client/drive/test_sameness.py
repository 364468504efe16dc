"""States that behave in the same way have equal keys, and states with equal keys behave in the same way."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from client.designs import DESIGNS
from client.drive.sim import SimWire
from contract.canonical import canonical, marked
from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    CloseVcpu,
    Disable,
    Enable,
    FireHostTimer,
    FireKvmTimer,
    GetMsr,
    Open,
    Read,
    ResetVcpu,
    Retire,
    RunTask,
    Sample,
    SetMsr,
    StepVcpu,
)
from contract.errors import LbrlabError
from contract.machine import AnyOp, Branch, Cpuid, Rdmsr, Wrmsr
from contract.messages import HOST
from contract.network import Fate
from contract.results import Done
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_FROM, MSR_LBR_SELECT, MSR_LBR_TOS
from tests.cases import cases
from tests.client.drive.fork import fork, key, parts
from tests.kvm_svc.rig import KVM, VCPU, Rig

MS = 1_000_000

# Rounds --------------------------------------------------------------------------------------------------


def until_done(rig: Rig, command: AnyPerfCommand) -> None:
    """An open may sleep until KVM has given the LBR up."""
    while (result := rig.perf(command)) == Done(errno="EINPROGRESS"):
        pass
    assert result == Done()


def use(rig: Rig) -> None:
    """The guest turns its LBR on, once more where it is denied first, fills the ring, reads it and turns it off."""
    rig.debugctl(1)
    rig.debugctl(1)
    rig.guest(Branch(8))
    rig.rdmsr(MSR_LBR_TOS)
    rig.rdmsr(MSR_LBR_FROM)
    rig.debugctl(0)
    rig.guest(Cpuid())


def contended(rig: Rig) -> None:
    """A CPU-pinned host event takes the LBR and gives it back. The guest's event is gone, and is made again."""
    until_done(rig, Open("h0", 0, pinned=True, branch=["any"]))
    rig.perf(Retire(0, 8))
    rig.perf(Sample("h0"))
    rig.guest(Branch(3))
    rig.perf(Close("h0"))
    rig.slice()
    rig.guest(Cpuid())
    rig.slice()
    use(rig)


def later(rig: Rig) -> None:
    """The same, with time going by between: a whole number of ticks of the multiplex timer."""
    contended(rig)
    rig.perf(Advance(8 * MS))


def alone(rig: Rig) -> None:
    """Where a guest has the PMU to itself."""
    rig.slice()
    use(rig)
    rig.perf(Retire(0, 8))


ROUNDS = [
    ("merged", contended), ("revoke-ack", contended), ("fenced", contended), ("mediated", alone),
    ("merged", later), ("mediated", alone), ("revoke-gp", later), ("v7", alone), ("kvm-switch", alone),
    ("vmx-transition", alone),
]  # fmt: skip


def after(design: str, one: Callable[[Rig], None], rounds: int) -> Rig:
    rig = Rig(DESIGNS[design])
    for _ in range(rounds):
        one(rig)
    return rig


@cases(("design", "one"), ROUNDS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_the_same_round_leads_to_the_same_key(design: str, one: Callable[[Rig], None]) -> None:
    """With both cores and what is in flight. The numbers themselves go on."""
    third, sixth = after(design, one, 3).wire, after(design, one, 6).wire
    assert parts(third) != parts(sixth)
    assert key(third) == key(sixth)


def test_what_a_statement_can_observe_stays_in_the_key() -> None:
    """The count and the times of an open event of a user."""
    for command in (Retire(0, 8), Advance(4 * MS)):
        rig = Rig(DESIGNS["merged"])
        assert rig.perf(Open("h0", 0, branch=["any"])) == Done()
        rig.perf(Retire(0, 8))
        before = key(rig.wire)
        rig.perf(command)
        assert key(rig.wire) != before


# Equal keys, equal inputs ----------------------------------------------------------------------------------

Input = Callable[[SimWire], Any]
EVENTS = st.sampled_from(["h0", "h1"])
OPS = st.sampled_from(
    [
        *(Wrmsr(IA32_DEBUGCTL, 1), Wrmsr(IA32_DEBUGCTL, 0), Rdmsr(IA32_DEBUGCTL), Branch(8), Branch(3), Cpuid()),
        *(Rdmsr(MSR_LBR_TOS), Rdmsr(MSR_LBR_FROM), Wrmsr(MSR_LBR_SELECT, 4), Wrmsr(MSR_LBR_FROM, 5)),
    ]
)


def host(command: AnyPerfCommand) -> Input:
    return lambda wire: wire.perf(command)


def vcpu(ops: list[AnyOp]) -> Input:
    """Guest code, or the next step of what the vCPU is about already."""
    return lambda wire: wire.kvm(KVM, StepVcpu(VCPU, [] if wire.kvms[KVM].hv.vcpus[VCPU].ops else ops))


def decided(to_host: bool, place: int, fate: Fate) -> Input:
    """The message at this place of a queue meets this fate; nothing where there is none."""

    def decide(wire: SimWire) -> None:
        queue = wire.network.waiting(KVM, to_host)
        if place < len(queue):
            wire.decide(HOST if to_host else KVM, fate, KVM, queue[place].seq)

    return decide


def settle(wire: SimWire) -> None:
    for _ in range(100):
        for envelope in sorted(wire.network.heads(), key=lambda head: not head.to_host):
            wire.decide(envelope.receiver, Fate.TAKE, KVM, envelope.seq)


OPENS = st.builds(
    Open,
    EVENTS,
    st.just(0),
    pinned=st.booleans(),
    disabled=st.booleans(),
    branch=st.sampled_from([["any"], ["call_stack"], []]),
    privilege=st.sampled_from([[], ["user"]]),
)
INPUTS = st.one_of(
    st.builds(host, OPENS),
    st.builds(host, st.one_of([st.builds(call, EVENTS) for call in (Close, Close, Enable, Disable, Sample, Read)])),
    st.builds(host, st.builds(RunTask, st.sampled_from(["", "t0", VCPU, VCPU]), st.just(0))),
    st.builds(host, st.sampled_from([Retire(0, 8), Retire(0, 1), Advance(4 * MS), Advance(10 * MS)])),
    st.builds(host, st.builds(FireHostTimer, st.just(KVM), st.sampled_from(["lease", "resend"]))),
    st.builds(vcpu, st.lists(OPS, min_size=1, max_size=2)),
    st.builds(vcpu, st.lists(OPS, min_size=1, max_size=2)),
    st.builds(
        lambda command: lambda wire: wire.kvm(KVM, command),
        st.sampled_from(
            [
                *(SetMsr(VCPU, IA32_DEBUGCTL, 1), GetMsr(VCPU, MSR_LBR_FROM), ResetVcpu(VCPU), CloseVcpu(VCPU)),
                *(FireKvmTimer("renew"), FireKvmTimer("resend")),
            ]
        ),
    ),
    st.just(settle),
    st.builds(decided, st.booleans(), st.just(0), st.sampled_from([Fate.TAKE, Fate.TAKE, Fate.DROP, Fate.DUPLICATE])),
    st.builds(decided, st.booleans(), st.just(1), st.just(Fate.OVERTAKE)),
)


def told(wire: SimWire, given: Input) -> tuple[str, Hashable]:
    """How an input failed, and the records that it makes with the state after it, not yet renamed."""
    begun = len(wire.log.records)
    failed = ""
    try:
        given(wire)
    except LbrlabError as error:
        failed = type(error).__name__
    return failed, (marked(wire.log.records[begun:]), parts(wire))


def alike(one: SimWire, other: SimWire, inputs: list[Input]) -> None:
    """The states on the way with all records are the same, renamed at once; then each key is the same, too."""
    assert key(one) == key(other)
    wires = one, other
    ways: list[list[Hashable]] = [[parts(wire)] for wire in wires]
    began = [wire.log.now for wire in wires]
    for each_input in inputs:
        both = [told(wire, each_input) for wire in wires]
        for way, each in zip(ways, both, strict=True):
            way.append(each)
        if any(failed not in ("", "RefusedError") for failed, _ in both):
            break
    first, second = (canonical(tuple(way), now) for way, now in zip(ways, began, strict=True))
    assert first == second
    assert key(one) == key(other)


ROUND_PAIRS = {d: (after(d, one, 3).wire, after(d, one, 6).wire) for d, one in ROUNDS[:4]}


@cases("design", ROUND_PAIRS)
@settings(max_examples=40)
@given(inputs=st.lists(INPUTS, min_size=5, max_size=25))
def test_after_three_and_after_six_rounds_all_goes_alike(design: str, inputs: list[Input]) -> None:
    third, sixth = ROUND_PAIRS[design]
    alike(fork(third), fork(sixth), inputs)


def walked(*steps: Callable[[Rig], object]) -> Callable[[Rig], None]:
    def walk(rig: Rig) -> None:
        for step in steps:
            step(rig)

    return walk


def host_takes(rig: Rig) -> None:
    until_done(rig, Open("h0", 0, pinned=True, branch=["any"]))


def host_leaves(rig: Rig) -> None:
    rig.perf(Close("h0"))


WALKS = [
    Rig.slice,
    walked(host_takes, host_leaves),
    walked(host_takes, Rig.slice, host_leaves),
    walked(host_takes, lambda rig: rig.guest(Branch(8)), host_leaves),
    *(lambda rig, value=value: rig.debugctl(value) for value in (1, 0)),
    *(lambda rig, op=op: rig.guest(op) for op in (Branch(8), Cpuid(), Rdmsr(MSR_LBR_TOS), Wrmsr(MSR_LBR_SELECT, 4))),
    *(lambda rig, command=command: rig.perf(command) for command in (Retire(0, 8), Advance(4 * MS))),
    lambda rig: rig.kvm(ResetVcpu(VCPU)),
]
"""Short walks that often lead back to where they began, or to where another has led."""


@cases("design", ["merged", "revoke-ack", "fenced", "v8", "kvm-switch", "vmx-transition"])
@settings(max_examples=12)
@given(
    walks=st.lists(st.sampled_from(WALKS), min_size=6, max_size=14), inputs=st.lists(INPUTS, min_size=5, max_size=25)
)
def test_a_key_that_comes_again_stands_for_the_same_behaviour(
    design: str, walks: list[Callable[[Rig], object]], inputs: list[Input]
) -> None:
    """The earliest state with a key is kept. When the key comes again the inputs go into both."""
    rig = Rig(DESIGNS[design])
    seen: dict[Any, SimWire] = {}
    for walk in walks:
        walk(rig)
        now = key(rig.wire)
        if now in seen:
            alike(fork(rig.wire), fork(seen[now]), inputs)
        else:
            seen[now] = fork(rig.wire)
