"""The statements of a guest in a random story."""

from __future__ import annotations

from random import Random


def guest_steps(rng: Random) -> str:
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
                "wrmsr PERF_GLOBAL_CTRL, 1; wrmsr PMC0, 0xfffffffc; wrmsr PERFEVTSEL0, 0x5300c4;",
                f"c{n} = rdmsr PMC0; wrmsr PERF_GLOBAL_OVF_CTRL, 1;",
            ],
            [5, 5, 3, 2, 1, 1, 1, 1, 1, 0.5, 0.5],
        )
    return " ".join(steps)
