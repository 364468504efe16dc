"""A random story of hand-overs: host and guests take the LBR from each other, and leases run out meanwhile.

A guest uses the LBR for the whole story, so that it is in use at each moment at which it changes hands.
"""

from __future__ import annotations

from random import Random

from client.litmus import Scenario, parse
from client.litmus.text import duration_text
from contract.spec import LEASE_NS

WAITS = tuple(LEASE_NS * tenths // 10 for tenths in (1, 4, 5, 6, 9, 10, 11, 20))
"""Nanoseconds that the host lets pass: less than half a lease, at which KVM prolongs it, to two leases."""
TURNS = (4, 8, 16)
"""Steps that the host does nothing, so that the guest has the LBR before the host wants it."""
_WEIGHTS = {"open": 4, "close": 3, "switch": 3, "run": 3, "wait": 4, "use": 3, "sample": 1}


def handed_over(rng: Random) -> Scenario:
    lbr, kernel = rng.choice(["skylake", "haswell"]), rng.choice(["v5.3", "v5.12", "v6.16"])
    cpus = [f"cpu{n}" for n in range(rng.choice([1, 1, 2]))]
    vcpus = [f"vm{n}/0" for n in range(rng.choice([1, 1, 2]))]
    lines = [f"machine {{ cpus = {len(cpus)}; lbr = {lbr}; depth = 8; kernel = {kernel}; }} task t0;"]
    lines += [f"vm {vcpu[:-2]} {{ lbr = on; }}" for vcpu in vcpus]
    lines.append(f"host {{ {_host(rng, cpus, vcpus)} }}")
    lines += [f"{vcpu} {{ {_guest(rng)} }}" for vcpu in vcpus]
    return parse(f"LBR handover {' '.join(lines)}", "<random>")


def _host(rng: Random, cpus: list[str], vcpus: list[str]) -> str:
    steps = [f"run {vcpus[0]} on cpu0;"]
    events: list[str] = []
    for n in range(rng.randint(3, 12)):
        kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if kind in ("close", "switch", "sample") and not events:
            kind = "open"
        match kind:
            case "open":
                if rng.random() < 0.7:
                    steps += [_wait(rng)] * (rng.random() < 0.7)
                    steps.append(f"repeat {rng.choice(TURNS)} {{ e{n} = state {rng.choice(vcpus)}; }}")
                scope = rng.choice([*cpus, "cpu0", "cpu0", f"task {rng.choice(vcpus)}"])
                wanted = rng.choice(["any", "any", "any_call", "call_stack"])
                steps.append(f"h{n} = open {scope} {rng.choice(['pinned', 'pinned', 'flexible'])} branch {wanted};")
                events.append(f"h{n}")
            case "close":
                steps.append(f"close {events.pop(rng.randrange(len(events)))};")
            case "switch":
                steps.append(f"{rng.choice(['disable', 'enable'])} {rng.choice(events)};")
            case "sample":
                steps.append(f"s{n} = sample {rng.choice(events)};")
            case "run":
                steps.append(f"run {rng.choice([*vcpus, *vcpus, 't0'])} on {rng.choice(cpus)};")
            case "wait":
                steps.append(_wait(rng))
            case "use":
                steps.append(f"branch {rng.choice([1, 3, 9])} on {rng.choice(cpus)};")
    return " ".join([*steps, f"run {rng.choice(vcpus)} on cpu0;"])


def _wait(rng: Random) -> str:
    return f"advance {duration_text(rng.choice(WAITS))};"


def _guest(rng: Random) -> str:
    """It reads what it may lose, so that a loss shows."""
    touches = ["branch 1;", f"branch {rng.randint(2, 9)} call;", "g = rdmsr LBR_STACK;", "s = rdmsr LBR_SELECT;"]
    touches += ["d = rdmsr DEBUGCTL;", "wrmsr DEBUGCTL, LBR;", "out 0x80;"]
    turn = " ".join(rng.choices(touches, [6, 3, 3, 1, 1, 1, 1], k=rng.randint(2, 7)))
    select = rng.choice(["0", "0", "4", "0x3c4"])
    return f"wrmsr LBR_SELECT, {select}; wrmsr DEBUGCTL, LBR; repeat {rng.choice(TURNS)} {{ {turn} }}"
