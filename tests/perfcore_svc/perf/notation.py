"""The notation of the worked examples: classes CP, TP, CF, TF (CPU or task, pinned or flexible), filters any, call and
stk, states A, I, ERR, OFF."""

from __future__ import annotations

from typing import Any

from contract.design import Design
from contract.kernels import KERNELS as NAMES
from contract.trace import EventFailed
from tests.cases import cases
from tests.designs import MERGED
from tests.perfcore_svc.hosts import Host, picture, set_up

KERNELS = tuple(NAMES)
NEW = tuple(kernel for kernel in KERNELS if kernel != "v5.3")
every_kernel = cases("kernel", KERNELS)
new_kernels = cases("kernel", NEW)
old_kernel = cases("kernel", ["v5.3"])

FILTERS = {"plain": [], "any": ["any"], "call": ["call"], "stk": ["call_stack"]}


class Stage(Host):
    """One CPU on which task v runs, unless said otherwise."""

    def put(self, name: str, what: str, *, task: str = "v", group: str = "", **options: Any) -> None:
        """Open ``name`` as ``what`` says: a class and a filter, as in "CP any"; it must succeed."""
        assert self.try_put(name, what, task=task, group=group, **options) == ""

    def try_put(self, name: str, what: str, *, task: str = "v", group: str = "", **options: Any) -> str:
        event_class, wanted = what.split() if " " in what else (what, "plain")
        if wanted == "stk":
            options.setdefault("privilege", ["user"])
        pinned = event_class[1] == "P" and not group
        where = task if event_class[0] == "T" else ""
        return self.open(name, *FILTERS[wanted], task=where, pinned=pinned, group=group, **options)

    def all_put(self, what: str, *names: str, **options: Any) -> None:
        for name in names:
            self.put(name, what, **options)

    def now(self, names: str = "") -> str:
        """States in the order of opening, of these events or of all; the guest's event of v is V."""
        states = {name.replace("vlbr:v", "V"): state for name, state in self.states().items()}
        return " ".join(states[name] for name in names.split() or states)

    def on(self, names: str = "") -> str:
        """Those that are on, in the order of opening."""
        states = {name.replace("vlbr:v", "V"): state for name, state in self.states().items()}
        return " ".join(name for name in names.split() or states if states[name] == "A")

    def ticks(self, times: int, names: str = "") -> list[str]:
        """Who is on after each of so many ticks."""
        found = []
        for _ in range(times):
            self.tick()
            found.append(self.on(names))
        return found

    def order(self, task: str = "") -> str:
        """The flexible list of the CPU's context, or of a task's, head first."""
        ctx = self.perf.kernel.tasks[task] if task else self.perf.kernel.cpus[0].ctx
        return " ".join(event.name for event in ctx.flexible)


def stage(kernel: str = "v5.12", *, design: Design = MERGED, running: str = "v", **machine: Any) -> Stage:
    return set_up(Stage, kernel=kernel, design=design, running=running, **machine)


def crowded(kernel: str = "v5.12", cpus: int = 1, events: int = 3) -> Stage:
    """Two counters and more flexible events than that, on each CPU."""
    host = stage(kernel, counters=2, cpus=cpus)
    for cpu in range(cpus):
        for n in range(events):
            host.open(f"{'abcdef'[n]}{cpu or ''}", cpu=cpu)
    return host


def refused(host: Stage, errno: str, name: str = "x", *branch: str, **options: Any) -> None:
    """The open fails so, and all is as before but for the record of the failure."""
    host.log.records.clear()
    before, clock = picture(host), host.log.clock
    assert host.open(name, *branch, **options) == errno
    (record,) = host.news()
    assert isinstance(record, EventFailed)
    assert (record.name, record.errno) == (name, errno)
    host.log.clock = clock
    assert picture(host) == before


def group(host: Stage, what: str, *names: str, **options: Any) -> None:
    """A group of these, leader first, enabled as it is built up unless the options say otherwise."""
    leader, *members = names
    host.put(leader, what, **options)
    host.all_put(what, *members, group=leader)
