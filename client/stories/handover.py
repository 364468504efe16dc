"""A random story of hand-overs: host and guests take the LBR from each other, and leases run out meanwhile.

A guest uses the LBR for the whole story, so that it is in use at each moment at which it changes hands. What has to
survive a hand-over is drawn, too: the guest sets it and reads it back in each turn. As in swarm testing, a story has
some kinds of the host's steps and lacks the others, so that those that it has meet each other more often.
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
WEIGHTS = {
    "open": 4, "close": 3, "switch": 3, "run": 3, "away": 6, "counter": 3, "wait": 4, "use": 3, "sample": 1,
}  # fmt: skip
"""The kinds of the host's steps. An open of a CPU-pinned counter puts all events of the CPU off and on again."""
_KIND_IS_ON = 0.5
_NEEDS_AN_EVENT = ("close", "switch", "sample")


def handed_over(rng: Random) -> Scenario:
    lbr, kernel = rng.choice(["skylake", "haswell"]), rng.choice(["v5.3", "v5.12", "v6.16"])
    cpus = [f"cpu{n}" for n in range(rng.choice([1, 1, 2]))]
    vcpus = [f"vm{n}/0" for n in range(rng.choice([1, 1, 2]))]
    lines = [f"machine {{ cpus = {len(cpus)}; lbr = {lbr}; depth = 8; kernel = {kernel}; }} task t0;"]
    lines += [f"vm {vcpu[:-2]} {{ lbr = on; }}" for vcpu in vcpus]
    lines.append(f"host {{ {_host(rng, cpus, vcpus)} }}")
    lines += [f"{vcpu} {{ {_guest(rng)} }}" for vcpu in vcpus]
    return parse(f"LBR handover {' '.join(lines)}", "<random>")


def drawn_kinds(rng: Random) -> dict[str, int]:
    """The kinds of steps that a story has, with their weights."""
    return {kind: weight for kind, weight in WEIGHTS.items() if rng.random() < _KIND_IS_ON} or WEIGHTS


def _host(rng: Random, cpus: list[str], vcpus: list[str]) -> str:
    steps = [f"run {vcpus[0]} on cpu0;"]
    events: list[str] = []
    weights = drawn_kinds(rng)
    for n in range(rng.randint(3, 12)):
        kind = rng.choices(list(weights), list(weights.values()))[0]
        if kind in _NEEDS_AN_EVENT and not events:
            kind = "open"
        match kind:
            case "open":
                steps += _meanwhile(rng, vcpus, n)
                scope = rng.choice([*cpus, "cpu0", "cpu0", f"task {rng.choice(vcpus)}"])
                wanted = rng.choice(["any", "any", "any_call", "call_stack"])
                steps.append(f"h{n} = open {scope} {rng.choice(['pinned', 'pinned', 'flexible'])} branch {wanted};")
                events.append(f"h{n}")
            case "counter":
                steps += _meanwhile(rng, vcpus, n)
                steps.append(f"h{n} = open {rng.choice(cpus)} pinned counter;")
            case "close":
                steps.append(f"close {events.pop(rng.randrange(len(events)))};")
            case "switch":
                steps.append(f"{rng.choice(['disable', 'enable'])} {rng.choice(events)};")
            case "sample":
                steps.append(f"s{n} = sample {rng.choice(events)};")
            case "run":
                steps.append(f"run {rng.choice([*vcpus, *vcpus, 't0'])} on {rng.choice(cpus)};")
            case "away":
                steps += _meanwhile(rng, vcpus, n)
                steps.append(f"run {rng.choice([*vcpus, 't0', 't0'])} on cpu0;")
                steps += [f"branch {rng.choice([1, 3, 9])} on cpu0;"] * (rng.random() < 0.3)
                steps.append(f"run {rng.choice(vcpus)} on {rng.choice(cpus)};")
            case "wait":
                steps.append(_wait(rng))
            case "use":
                steps.append(f"branch {rng.choice([1, 3, 9])} on {rng.choice(cpus)};")
    return " ".join([*steps, f"run {rng.choice(vcpus)} on cpu0;"])


def _meanwhile(rng: Random, vcpus: list[str], n: int) -> list[str]:
    """The guest continues before the host's next step, often until a lease is nearly over."""
    if rng.random() < 0.3:
        return []
    return [_wait(rng)] * (rng.random() < 0.7) + [f"repeat {rng.choice(TURNS)} {{ e{n} = state {rng.choice(vcpus)}; }}"]


def _wait(rng: Random) -> str:
    return f"advance {duration_text(rng.choice(WAITS))};"


def _guest(rng: Random) -> str:
    """It reads what it may lose, so that a loss shows. Halfway it begins again, because it may have been denied."""
    touches = ["branch 1;", f"branch {rng.randint(2, 9)} call;", "g = rdmsr LBR_STACK;", "d = rdmsr DEBUGCTL;"]
    touches += ["wrmsr DEBUGCTL, LBR;", "out 0x80;"]
    turn = " ".join(rng.choices(touches, [6, 3, 3, 1, 1, 1], k=rng.randint(2, 7)))
    kept = {
        f"wrmsr LBR_SELECT, {rng.choice(['1', '4', '0x3c4'])};": "s = rdmsr LBR_SELECT;",
        "branch 9 call;": "g = rdmsr LBR_STACK;",
        f"wrmsr LBR_FROM[{(place := rng.randrange(8))}], 0x40;": f"f = rdmsr LBR_FROM[{place}];",
        "wrmsr LBR_TOS, 5;": "t = rdmsr LBR_TOS;",
    }
    drawn = rng.sample(list(kept), rng.randint(1, 3))
    sets, reads = " ".join(drawn), " ".join(kept[state] for state in drawn)
    half = f"wrmsr DEBUGCTL, LBR; {sets} repeat {rng.choice(TURNS) // 2} {{ {turn} {reads} }}"
    return f"{half} {half}"
