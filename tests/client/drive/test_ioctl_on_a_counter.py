"""User space switches a guest's counters on kernels that make the perf event within the ioctl (v5.3, v5.12)."""

from __future__ import annotations

from random import Random

from client.designs import design_named
from client.litmus import parse
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.choices import unfinished
from client.schedule.decisions import Decision, Deliver
from client.schedule.flight import Flight
from client.schedule.schedule import Schedule
from contract.messages import CreateCounter
from contract.network import Fate
from contract.trace import End, EventOpen, Outcome, Send, VcpuWait
from tests.cases import cases

AT_ONCE = ["v5.3", "v5.12"]
LATER = ["v6.16", "v7.1"]
TEXT = """
LBR ioctl-on-a-counter
machine {{ cpus = 2; lbr = skylake; kernel = {kernel}; }}
task vmm;
vm vm0 {{ lbr = on; }}
host {{
    run vm0/0 on cpu0;
    run vmm on cpu1;
}}
vm0/0 {{
    wrmsr DEBUGCTL, LBR;
    wrmsr PERF_GLOBAL_CTRL, 3;
    branch 40;
    c = rdmsr PMC0;
}}
user {{
    n = set vm0/0 {{ PERFEVTSEL0, 0x5300c4; PERFEVTSEL1, 0x5300c4; }} from vmm;
    k = set vm0/0 {{ PERFEVTSEL1, 0; PERFEVTSEL1, 0x4300c4; PERF_GLOBAL_CTRL, 1; }};
}}
"""


class AnyOrder:
    """Messages and steps in an order drawn from ``seed``; nothing is lost or doubled."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        open_ones = unfinished(flight, threads)
        choices = [d for d in open_ones if not isinstance(d, Deliver) or d.fate is Fate.TAKE]
        return self.rng.choice(choices) if choices else None


def played(kernel: str, seed: int) -> Run:
    scenario = parse(TEXT.format(kernel=kernel))
    return run(Inputs(scenario, design_named("merged"), Schedule(other=lambda: AnyOrder(seed))))


@cases("kernel", AT_ONCE + LATER)
def test_every_order_comes_to_its_end(kernel: str) -> None:
    slept = set()
    for seed in range(60):
        records = played(kernel, seed).records
        [end] = [record for record in records if isinstance(record, End)]
        assert end.unfinished == {}, seed
        values = {r.register: r.value for r in records if isinstance(r, Outcome) and r.actor == "user"}
        assert values == {"n": 2, "k": 3}, seed
        slept |= {record.message for record in records if isinstance(record, VcpuWait)}
    assert ("the end of an ioctl" in slept) == (kernel in AT_ONCE)


@cases(("kernel", "task"), [*((old, "vmm") for old in AT_ONCE), *((new, "vm0/0") for new in LATER)])
def test_the_event_follows_the_thread_that_makes_it(kernel: str, task: str) -> None:
    text = TEXT.format(kernel=kernel).split("vm0/0 {")[0]
    text += """vm0/0, user {
        vm0/0: wrmsr PERF_GLOBAL_CTRL, 1;
        user: n = set vm0/0 PERFEVTSEL0, 0x5300c4 from vmm;
        vm0/0: branch 1;
    }"""
    records = run(Inputs(parse(text), design_named("merged"), Schedule())).records
    assert [r.body.task for r in records if isinstance(r, Send) and isinstance(r.body, CreateCounter)] == [
        task if task == "vmm" else ""
    ]
    assert [r.task for r in records if isinstance(r, EventOpen)] == [task]
