"""Random stories in which hosts and guests want the LBR at the same time, and schedules that lose messages."""

from __future__ import annotations

from random import Random

from client.drive.flight import Flight
from client.litmus import Scenario, parse
from client.tape.decisions import Decision, Deliver, Fire
from client.tape.policy import DefaultPolicy, possible, unfinished
from contract.inbox import Fate


class Reckless:
    """Any decision that is possible, faults and timers among them but not as often; then the default's."""

    def __init__(self, rng: Random, wild: int = 60) -> None:
        self.rng = rng
        self.left = wild
        self.calm = DefaultPolicy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if self.left <= 0:
            return self.calm.choose(flight, threads, all_threads)
        self.left -= 1
        choices = possible(flight, threads)
        if not choices or not unfinished(flight, threads):
            return None
        return self.rng.choices(choices, [_weight(choice) for choice in choices])[0]


def _weight(choice: Decision) -> float:
    """The host is slow, so that a guest has the LBR when it comes to want it."""
    if isinstance(choice, Deliver):
        return 1.0 if choice.fate is Fate.TAKE else 0.1
    return 0.1 if isinstance(choice, Fire) or choice.thread == "host" else 1.0


def contended(rng: Random) -> Scenario:
    """One or two guests and a host on one or two CPUs."""
    vcpus = [f"vm{i}/0" for i in range(rng.randint(1, 2))]
    cpus = rng.randint(1, 2)
    lbr, kernel = rng.choice(["skylake", "haswell"]), rng.choice(["v5.3", "v5.12", "v6.16"])
    head = f"machine {{ cpus = {cpus}; lbr = {lbr}; depth = 8; kernel = {kernel}; }} task t0; "
    vms = " ".join(f"vm vm{i} {{ lbr = on; }}" for i in range(len(vcpus)))
    guests = " ".join(f"{vcpu} {{ {_guest(rng)} }}" for vcpu in vcpus)
    user = f" user {{ {rng.choice(_USER)} }}" if rng.random() < 0.2 else ""
    return parse(f"LBR contended {head}{vms} host {{ {_host(rng, vcpus, cpus)} }} {guests}{user}", "<random>")


_USER = (
    "reset vm0/0;",
    "stop_lbr vm0/0;",
    "u = get vm0/0 LBR_FROM[1];",
    "u = set vm0/0 DEBUGCTL, LBR;",
    "u = get vm0/0 LBR_TOS from t0;",
)


def _host(rng: Random, vcpus: list[str], cpus: int) -> str:
    steps = [f"run {rng.choice(vcpus)} on cpu0;"]
    opened: list[str] = []
    for n in range(rng.randint(2, 9)):
        cpu = f"cpu{rng.randrange(cpus)}"
        step = rng.choices(
            ["open", "close", "switch", "branch", "run", "idle", "sample", "advance"], [5, 1, 1, 3, 4, 1, 2, 2]
        )
        match step[0]:
            case "open" if len(opened) < 3:
                scope = rng.choice([cpu, cpu, cpu, "task t0", f"task {rng.choice(vcpus)}"])
                wanted = rng.choice(["any", "any_call", "call_stack", "call_stack user", "any user", ""])
                extra = rng.choice(["", "", "", " exclusive", " disabled"])
                period = rng.choice(["", "", "", f" period {rng.randint(2, 9)}"])
                rank = rng.choice(["pinned", "flexible"])
                what = f"branch {wanted}" if wanted else "counter"
                steps.append(f"h{n} = open {scope} {rank} {what}{extra}{period};")
                opened.append(f"h{n}")
            case "close" if opened:
                steps.append(f"close {opened.pop(rng.randrange(len(opened)))};")
            case "switch" if opened:
                steps.append(f"{rng.choice(['enable', 'disable'])} {rng.choice(opened)};")
            case "sample" if opened:
                steps.append(f"s{n} = sample {rng.choice(opened)};")
            case "run":
                steps.append(f"run {rng.choice([*vcpus, 't0'])} on {cpu};")
            case "idle":
                steps.append(f"idle {cpu};")
            case "advance":
                steps.append(f"advance {rng.choice([1, 4, 12])}ms;")
            case _:
                steps.append(f"branch {rng.choice([1, 3, 9])} {rng.choice(['jmp', 'call'])} on {cpu};")
    return " ".join([*steps, f"run {rng.choice(vcpus)} on cpu0;"])


def _guest(rng: Random) -> str:
    steps = ["c = rdmsr PERF_CAPABILITIES;", "wrmsr DEBUGCTL, LBR;", "branch 3;"]
    for n in range(rng.randint(2, 9)):
        steps += rng.choices(
            [
                f"wrmsr DEBUGCTL, {rng.choice(['LBR', 'LBR', '0', 'LBR|FREEZE_LBRS_ON_PMI'])};",
                f"branch {rng.choice([1, 2, 5, 9])} {rng.choice(['jmp', 'call', 'return'])};",
                f"g{n} = rdmsr LBR_STACK;",
                f"r{n} = rdmsr LBR_FROM[{rng.randrange(8)}];",
                f"wrmsr LBR_FROM[{rng.randrange(8)}], 0;",
                f"wrmsr LBR_SELECT, {rng.choice(['0', '1', '0x3c4'])};",
                "wrmsr LBR_TOS, 3;",
                "cpuid;",
                "out 0x80;",
            ],
            [5, 5, 3, 2, 1, 1, 1, 1, 1],
        )
    return " ".join(steps)
