"""A random story: one or two hosts, one or two KVMs, one or two guests, and user space."""

from __future__ import annotations

from random import Random

from client.litmus import Scenario, parse
from client.stories.guest import guest_steps
from client.stories.host import HostWriter


def contended(rng: Random) -> Scenario:
    """The guests and the host step in any order. What user space does comes in the host's order, so that a migrated
    vCPU is put on a CPU of the host that it went to."""
    cpus = rng.randint(1, 2)
    lbr, kernel = rng.choice(["skylake", "haswell"]), rng.choice(["v5.3", "v5.12", "v6.16"])
    counters = rng.choice(["", "", " counters = 4;"])
    lines = [f"machine {{ cpus = {cpus}; lbr = {lbr}; depth = 8; kernel = {kernel};{counters} }}"]
    kvms = {"kvm0": [f"cpu{n}" for n in range(cpus)]}
    match rng.choice(["one", "one", "two", "far"]):
        case "two":
            lines.append("kvm kvm1;")
            kvms["kvm1"] = kvms["kvm0"]
        case "far":
            lines.append("machine far { cpus = 1; } kvm kvm1 on far;")
            kvms["kvm1"] = [f"cpu{cpus}"]
    lines.append("task t0;")
    places = {f"vm{n}/0": rng.choice(list(kvms)) for n in range(rng.randint(1, 2))}
    for vcpu, kvm in places.items():
        lbr_of_vm = "off" if rng.random() < 0.1 else "on"
        lines.append(f"vm {vcpu[:-2]} {{ lbr = {lbr_of_vm};{' kvm = kvm1;' if kvm == 'kvm1' else ''} }}")
    guests = [f"{vcpu} {{ {guest_steps(rng)} }}" for vcpu in places]
    host = HostWriter(rng, kvms, places).steps()
    return parse(f"LBR contended {' '.join(lines)} host, user {{ {host} }} {' '.join(guests)}", "<random>")
