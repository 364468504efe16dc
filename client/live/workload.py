"""The scenario of a live run: many vCPUs that use the LBR, and host threads that take it from them.

Each vCPU has a CPU of its own, on which a host thread again and again opens a CPU-pinned LBR event, samples it, closes
it, and switches the vCPU's thread out and in. Every thread is one loop, so a recording can end each of them after the
turn under way. The number of turns is a ``let`` of the scenario.
"""

from __future__ import annotations

from client.litmus import Scenario, parse
from client.litmus.limits import MAX_KVMS
from contract.errors import InputError
from contract.spec import CPUS_LIMIT

NAME = "live"
TURNS = 1_000_000
"""More turns than a thread can make."""
VCPUS_OF_A_VM = 4
HOST_THREADS = 4
GUESTS = (
    ("wrmsr DEBUGCTL, LBR;", "branch 20;", "t = rdmsr LBR_TOS;", "cpuid;"),
    ("wrmsr DEBUGCTL, LBR;", "branch 4;", "e = rdmsr LBR_STACK;", "wrmsr DEBUGCTL, 0;"),
    ("wrmsr DEBUGCTL, LBR;", "branch 40;", "f = rdmsr LBR_FROM[0];", "hlt;"),
    ("branch 12;", "nop;", "wrmsr DEBUGCTL, LBR;", "t = rdmsr LBR_TOS;"),
)
"""The loops of guests; vCPUs have them in turn."""


def turns_of(thread: str) -> str:
    """The ``let`` that counts the turns of a thread."""
    return "turns_" + thread.replace("/", "_").replace("+", "_")


def workload(kvms: int, vcpus: int) -> Scenario:
    """``vcpus`` vCPUs, spread over ``kvms`` KVM services. Raises InputError where there can be no such scenario."""
    if not 1 <= kvms <= MAX_KVMS:
        raise InputError(f"expected 1 to {MAX_KVMS} KVM services, found {kvms}", "--kvms")
    if not kvms <= vcpus <= CPUS_LIMIT:
        raise InputError(f"expected {kvms} to {CPUS_LIMIT} vCPUs, found {vcpus}", "--vcpus")
    names = _vcpus(kvms, vcpus)
    vms: dict[str, tuple[int, int]] = {}
    for name, kvm in names:
        vm = name.split("/")[0]
        vms[vm] = vms.get(vm, (0, kvm))[0] + 1, kvm
    threads: dict[str, tuple[str, ...]] = {name: GUESTS[i % len(GUESTS)] for i, (name, _) in enumerate(names)}
    threads |= {
        f"host{i + 1}": tuple(
            statement for cpu, (name, _) in enumerate(names) if cpu % HOST_THREADS == i for statement in _on(cpu, name)
        )
        for i in range(min(HOST_THREADS, vcpus))
    }
    lines = [
        f"LBR {NAME}",
        f'"A live run: {vcpus} vCPUs on {kvms} KVM services."',
        f"machine {{ cpus = {vcpus}; depth = 8; }}",
        *(f"kvm kvm{i};" for i in range(1, kvms)),
        *(f"let {turns_of(thread)} = {TURNS};" for thread in threads),
        *(f"vm {vm} {{ vcpus = {count}; kvm = kvm{kvm}; }}" for vm, (count, kvm) in vms.items()),
        "host {",
        *(f"run {name} on cpu{cpu};" for cpu, (name, _) in enumerate(names)),
        "}",
    ]
    for thread, statements in threads.items():
        lines += [f"{thread} {{", f"repeat {turns_of(thread)} {{", *statements, "}", "}"]
    return parse("\n".join(lines) + "\n", NAME)


def _vcpus(kvms: int, vcpus: int) -> list[tuple[str, int]]:
    """The names of the vCPUs, each with the number of its KVM. VMs have ``VCPUS_OF_A_VM`` vCPUs at most."""
    found, vm = [], 0
    for kvm in range(kvms):
        left = vcpus // kvms + (kvm < vcpus % kvms)
        while left:
            count = min(left, VCPUS_OF_A_VM)
            found += [(f"vm{vm}/{i}", kvm) for i in range(count)]
            left, vm = left - count, vm + 1
    return found


def _on(cpu: int, vcpu: str) -> tuple[str, ...]:
    """The statements of a host thread for one CPU."""
    return (
        f"h{cpu} = open cpu{cpu} pinned branch any;",
        f"branch 8 on cpu{cpu};",
        f"s{cpu} = sample h{cpu};",
        f"close h{cpu};",
        f"idle cpu{cpu};",
        f"run {vcpu} on cpu{cpu};",
    )
