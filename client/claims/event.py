"""Claims about the event that stands for a guest: the resources it takes, its effects in the host, its creation (C12,
C13, C21 to C23)."""

from __future__ import annotations

from collections.abc import Iterator

from client.claims.checks import ClaimCheck, check, holds
from client.claims.claim import Lab
from client.designs import DESIGNS
from client.run.run import Run
from contract.design import Event
from contract.messages import CreateCounter, CreateEvent
from contract.trace import (
    CounterEvent,
    EventFailed,
    EventOpen,
    GuestEvent,
    GuestPmi,
    HostLbr,
    Retired,
    Send,
    VmEntry,
    VmExit,
)
from contract.x86 import MSR_EVENTSEL


def c12(lab: Lab) -> Iterator[ClaimCheck]:
    for design in ("v7", "v8", "merged", "fenced"):
        run = lab.play("c12-lbr-takes-no-counter", design)
        own, state = run.register("vm0/0:g0.own"), run.register("host:e0")
        pmis = sum(not pmi.masked for pmi in run.of(GuestPmi))
        recorded = f"{own} of 32 records" if isinstance(own, int) else f"the read gives {own}"
        found = f"{recorded}, {pmis} PMIs, the guest's event is {state}"
        yield check(run, "the guest's LBR works with every counter taken, no PMI", found, own == 32 and not pmis)
        if own == 32:
            yield holds(run, "no-counter")
    run = lab.play("c12-lbr-takes-no-counter", "v8+takes=counter")
    own, state = run.register("vm0/0:g0.own"), run.register("host:e0")
    yield check(run, "an event that took one would not be on", f"it is {state}", state == "ERROR")


def c13(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c13-counters-are-a-separate-path", "merged")
    exited = next((r for r in run.of(VmExit) if r.msr == MSR_EVENTSEL and r.write), None)
    asked = next((r for r in run.of(Send) if isinstance(r.body, CreateCounter)), None)
    made = next((r for r in run.of(CounterEvent) if r.change == "created"), None)
    lbr = next((r for r in run.of(Send) if isinstance(r.body, CreateEvent)), None)
    steps = [
        "the write exits" if exited else "the write does not exit",
        "CreateCounter" if asked else "no CreateCounter",
        f"event {made.event} counts" if made else "nothing counts",
        f"the LBR's event is {run.register('host:g0')} by then",
    ]
    independent = bool(exited and asked and made) and (lbr is None or (made is not None and lbr.seq > made.seq))
    expected = "exit, a counting event, independent of the LBR"
    yield check(run, expected, ", ".join(steps), independent, exited.seq if exited else 0)
    counts = run.register("vm0/0:n0"), run.register("vm0/0:n1")
    found = f"{counts[0]}, then {counts[1]}"
    yield check(run, "counting continues after the LBR is turned on", found, counts == (10, 15))


def c21(lab: Lab) -> Iterator[ClaimCheck]:
    for name, design in DESIGNS.items():
        if design.event is Event.NONE:
            continue
        run = lab.play("c21-an-event-that-never-runs", name)
        on = [r for r in run.of(HostLbr) if r.enabled]
        recorded = _recorded_of_host(run)
        opened = any(r.guest for r in run.of(EventOpen))
        found = f"host LBR on {len(on)} times, {len(recorded)} bursts of host branches recorded"
        yield check(run, "the guest's event turns no LBR on in the host", found, opened and not on and not recorded)


def _recorded_of_host(run: Run) -> list[Retired]:
    return [r for r in run.of(Retired) if r.recorded and not r.guest]


def c22(lab: Lab) -> Iterator[ClaimCheck]:
    """More of it costs no more: the runs differ only in the amount, and their costs are compared."""
    for design in ("v7", "merged"):
        few = lab.play("c22-early-returns", design, lets={"turns": 1})
        many = lab.play("c22-early-returns", design, lets={"turns": 9})
        more = {op: many.operations.get(op, 0) - few.operations.get(op, 0) for op in ("rdmsr", "wrmsr")}
        found = f"8 samples, disables and enables more: {more['rdmsr']} RDMSR, {more['wrmsr']} WRMSR more"
        yield check(many, "reading and enabling touch no MSR", found, not any(more.values()))


def c23(lab: Lab) -> Iterator[ClaimCheck]:
    for design in ("v7", "v8", "merged"):
        run = lab.play("c23-created-twice", design)
        made = [r for r in run.of(GuestEvent) if r.change == "created"]
        asked = [r for r in run.of(Send) if isinstance(r.body, CreateEvent)]
        found = f"{len(asked)} CreateEvent, {len(made)} events over two slices"
        yield check(run, "a second create does nothing", found, len(made) == 1)
    for design in ("v7", "v8", "merged", "fenced"):
        run = lab.play("c23-creation-fails", design)
        failed = next((r for r in run.of(EventFailed) if r.guest), None)
        errno = failed.errno if failed else "nothing"
        said = next((r.reason for r in run.of(GuestEvent) if r.change == "failed"), "nothing")
        if design in ("v7", "v8"):
            yield check(run, "KVM's own function says ENOENT", f"perf says {errno}, it says {said}", said == "ENOENT")
        passed = any(r.passthrough for r in run.of(VmEntry))
        answers = f"the read gives {_shown(run, 'vm0/0:f0')}, the write {_shown(run, 'vm0/0:w0')}"
        found = f"{said}; {answers}; LBR MSRs {'passed through' if passed else 'intercepted'}"
        yield check(
            run,
            "the failure leaks nothing, and the guest is told",
            found,
            not passed and not run.broken(),
            failed.seq if failed else 0,
        )


def _shown(run: Run, register: str) -> str:
    value = run.register(register)
    return f"{value:#x}" if isinstance(value, int) and value > 9 else str(value)
