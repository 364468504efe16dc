"""Claims about saving the LBR: the moments, the agent and the cost (C8 to C11, C19, C20)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from client.claims.checks import ClaimCheck, check, holds, violates
from client.claims.claim import Lab
from client.designs import DESIGNS
from client.run.run import Run
from contract.design import Event, Save
from contract.trace import (
    AnyRecord,
    GuestMsr,
    HostMsr,
    LbrReset,
    LbrRestore,
    LbrSave,
    UserExit,
    UserReturn,
    VmEntry,
    VmExit,
)
from contract.x86 import is_lbr_msr, lbr_model
from perfcore_svc.machine.prices import cycles


def c8(lab: Lab) -> Iterator[ClaimCheck]:
    yield holds(lab.play("c08-debugctl-is-switched", "v7"), "guest-clean")
    yield violates(lab.play("c08-debugctl-is-switched", "v7+host-debugctl=not-switched"), "guest-clean")


EXITS = (1, 2, 4, 8, 16, 32, 64)


def c9(lab: Lab) -> Iterator[ClaimCheck]:
    """Typical cycles over exits per switch, for the same guest work."""
    runs = {
        d: [lab.play("c09-exits-per-switch", d, lets={"exits": n}) for n in EXITS] for d in ("v7", "vmx-transition")
    }
    costs = {d: [cycles(run.operations)[1] for run in of] for d, of in runs.items()}
    slopes = {
        d: [(b - a) / (n - m) for a, b, m, n in zip(of, of[1:], EXITS, EXITS[1:], strict=False)]
        for d, of in costs.items()
    }
    extra = [b - a for a, b in zip(costs["v7"], costs["vmx-transition"], strict=True)]
    per_exit = _slopes(extra)
    linear = max(per_exit) - min(per_exit) < 1
    ratios = [b / a for a, b in zip(costs["v7"], costs["vmx-transition"], strict=True)]
    run = runs["vmx-transition"][-1]
    text = ", ".join(f"{n}: {r:.2f}x" for n, r in zip(EXITS, ratios, strict=True))
    found = f"cycles by exits per switch, vmx-transition over v7: {text}; {per_exit[-1]:,.0f} cycles more for each exit"
    yield check(
        run,
        "the cost of saving at each transition grows linearly with exits per switch",
        found,
        linear and per_exit[0] > 0,
    )
    limit = slopes["vmx-transition"][-1] / slopes["v7"][-1]
    steps = _slopes(ratios)
    straight = max(steps) - min(steps) < 0.01
    ends = f"{ratios[0]:.2f}x to {ratios[-1]:.2f}x"
    bounded = f"{ends}, bounded by {limit:.2f}x, what an exit costs there over what it costs here"
    yield check(run, "the ratio of the two costs grows linearly too", bounded, straight)
    save = _saved_cycles(runs["v7"][0])
    yield check(
        runs["v7"][0],
        "one save of 32 entries costs 3,000 to 4,000 cycles",
        f"{save:,} cycles at the typical price",
        3000 <= save <= 4000,
    )


def _slopes(values: Sequence[float]) -> list[float]:
    """The cost that one more exit adds, from point to point of the curve."""
    return [(b - a) / (n - m) for (m, a), (n, b) in pairwise(zip(EXITS, values, strict=True))]


def _saved_cycles(run: Run) -> int:
    """The cost of one save of a whole ring: the cost of its RDMSRs."""
    model = lbr_model(run.scenario.machine.lbr, run.scenario.machine.depth)
    return cycles({"rdmsr": model.registers})[1]


def c10(lab: Lab) -> Iterator[ClaimCheck]:
    for name, design in DESIGNS.items():
        run = lab.play("c10-two-vcpus-on-one-cpu", name)
        yield holds(run, "no-loss", "no-leak")
        if design.save is not Save.VMX_TRANSITION:
            run = lab.play("c10-two-vcpus-on-one-cpu", f"{name}+save=none")
            check = violates(run, "no-loss", "no-leak")
            if design.event is not Event.NONE and not check.agrees:
                check.found += "; perf resets the ring for a thread that has no LBR data"
            yield check


def between(run: Run, start: type[AnyRecord], end: type[AnyRecord]) -> list[AnyRecord]:
    """The records from each ``start`` to the next ``end``."""
    found: list[AnyRecord] = []
    inside = False
    for record in run.records:
        if isinstance(record, end):
            inside = False
        if inside:
            found.append(record)
        if isinstance(record, start):
            inside = True
    return found


def c11(lab: Lab) -> Iterator[ClaimCheck]:
    for design in ("v7", "merged"):
        run = lab.play("c11-exit-and-entry", design)
        first = next(r.seq for r in run.of(VmEntry) if r.debugctl & 1)
        model = lbr_model(run.scenario.machine.lbr)
        touched = [
            r
            for r in between(run, VmExit, VmEntry)
            if r.seq > first
            and (
                isinstance(r, LbrSave | LbrRestore | LbrReset)
                or (isinstance(r, HostMsr | GuestMsr) and is_lbr_msr(model, r.msr))
            )
        ]
        exits = sum(r.seq > first for r in run.of(VmExit))
        found = f"{len(touched)} accesses of LBR registers over {exits} exits and entries"
        yield check(
            run, "no LBR register but DEBUGCTL is touched", found, not touched, touched[0].seq if touched else 0
        )


def c19(lab: Lab) -> Iterator[ClaimCheck]:
    yield holds(lab.play("c19-kvm-saves-by-itself", "kvm-switch"), "no-loss")
    yield violates(lab.play("c19-kvm-saves-and-host-wants-it", "kvm-switch"), "one-owner")


def c20(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c20-assist-in-user-space", "v7")
    saved = [r for r in between(run, UserExit, UserReturn) if isinstance(r, LbrSave | LbrRestore)]
    yield check(run, "no save and no restore", f"{len(saved)} saves and restores in user space", not saved)
    yield holds(run, "no-loss", "guest-clean")
    run = lab.play("c20-assist-under-a-host-event", "v7")
    yield holds(run, "no-loss", "guest-clean")
