"""The language by examples, each with its meaning: head, statements by speaker, end.

A test parses all of them together and looks for every keyword of the grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from client.litmus.limits import MAX_VCPUS
from client.litmus.lower import MACHINE_SETTINGS, VM_SETTINGS
from client.litmus.msr import BITS, LBR_STACK, SPELLINGS
from client.litmus.scenario import FIRST_KVM
from client.litmus.statements import BY_SPEAKER
from client.litmus.statements.open_event import CONFIGS
from client.litmus.text import UNITS, setting_text
from client.litmus.words import EVENT_STATES, STMT_FIELDS, VERDICTS
from contract.control import MachineSpec, VmSpec
from contract.invariants import INVARIANTS
from contract.kernels import KERNELS
from contract.spec import CPUID_LIMITS, MACHINE_LIMITS, VM_MODELS
from contract.x86 import BRANCH_KINDS, LBR_MODELS
from perfcore_svc.perf.branch_filter import BRANCH_FILTERS

HEAD = (
    ("LBR language", "the first line: the name of the scenario"),
    ('"What it is about."', "its purpose, in quotes; this and everything below may be left out"),
    (
        "machine { cpus = 1; lbr = skylake; depth = 8; counters = 4; fixed = 3; kernel = v6.16; }",
        "the first host: CPUs, LBR generation and entries, general and fixed counters, the kernel whose rules apply",
    ),
    (
        "machine dest { cpus = 1; bus_lock = off; rtm = on; mediated = on; }",
        "one more host, by default like the first; DEBUGCTL.BUS_LOCK_DETECT, RTM, a mediated vPMU",
    ),
    ("kvm kvm1 on dest;", "one more KVM service; on the first host if no host is named"),
    ("task t0;", "a host task; the thread of each vCPU is a task with the name of the vCPU"),
    (
        "let turns = 3;",
        "a number that every actor can use where a statement takes one, but not in a time or a CPU; lbrlab run --let "
        "turns=9 changes it",
    ),
    (
        "vm vm0 { vcpus = 1; lbr = on; pmu = 2; counters = 4; fixed = 3; pdcm = on; model = host; bus_lock = off; "
        "rtm = off; apic = on; kvm = kvm0; }",
        "a VM with the vCPUs vm0/0, vm0/1, ...: LBR_FMT, PMU version, counters, PDCM and CPU model in its CPUID, a "
        "local APIC in the kernel (without one KVM delivers no PMI), its KVM",
    ),
    (
        "fault drop Revoke first 2;",
        "a fault that every run of the scenario has, as 'lbrlab faults' lists them; the command line adds others",
    ),
    ("// to the end of the line, /* or between these */", "comments"),
)
"""The head of a scenario. A block names its actors (``host``, ``host1``, ``user``, ``vm0/0``) and is one thread.
``host, vm0/0 { host: idle cpu0; vm0/0: nop; }`` is one block of several actors, in a fixed order."""


@dataclass(frozen=True, slots=True)
class ScenarioSetting:
    """A setting of a machine or a VM, in words."""

    default: str
    """The value that it has where nothing is said."""
    values: str
    """The values that it can have."""


_VM_LIMITS = {"vcpus": (1, MAX_VCPUS), **{key: (0, most) for key, most in CPUID_LIMITS.items()}}
_CHOICES = {"lbr": tuple(LBR_MODELS), "kernel": tuple(KERNELS), "model": VM_MODELS}


def _setting(spec: MachineSpec | VmSpec, key: str, ranges: dict[str, tuple[int, int]]) -> ScenarioSetting:
    if key == "kvm":
        return ScenarioSetting(FIRST_KVM, f"{FIRST_KVM}, or a kvm that is declared")
    usual = getattr(spec, key)
    if key == "depth":
        return ScenarioSetting("that of the LBR", "a power of two from 2 to the depth of the LBR")
    if isinstance(usual, bool):
        values = "on, off"
    elif isinstance(usual, str):
        values = ", ".join(_CHOICES[key])
    else:
        values = "{} to {}".format(*ranges[key])
    return ScenarioSetting("as the host" if usual is None else setting_text(usual), values)


SETTINGS: dict[str, dict[str, ScenarioSetting]] = {
    "machine": {key: _setting(MachineSpec(), key, MACHINE_LIMITS) for key in MACHINE_SETTINGS},
    "vm": {key: _setting(VmSpec(""), key, _VM_LIMITS) for key in VM_SETTINGS},
}
"""By block and key, from the specs and the limits that validation asks. A machine with a name is by default like the
first."""

END = (
    ("expect violated no-loss, no-leak under v7, merged;", "the verdicts that are expected under these designs"),
    (
        "forall (vm0/0:a = 9 /\\ (host:s.guest > 0 \\/ ~ host:h.state = ERROR) /\\ invariant no-leak = held)",
        "must be true; compares registers, fields of registers, words, numbers and verdicts",
    ),
    ("~exists (vm0/0:w = #GP) under merged", "must not be true; applies to these designs only"),
    ("exists (host:n.running < 4ms)", "may be true; if it is not, the run is undecided"),
)
"""The end of a scenario, after the blocks: any number of ``expect``, and one condition."""

STATEMENTS: dict[str, list[tuple[str, str]]] = {
    "vm0/0" if speaker == "guest" else speaker: [example for kind in kinds for example in kind.examples]
    for speaker, kinds in BY_SPEAKER.items()
}
"""By actor; ``anyone`` for the statements of programs."""


_NTH = re.compile(r"v[0-9]+")
WORDS: dict[str, tuple[str, ...]] = {
    "LBR models": tuple(LBR_MODELS),
    "kernels": tuple(KERNELS),
    "VM models": tuple(VM_MODELS),
    "branch filters of events": tuple(BRANCH_FILTERS),
    "kinds of branches": tuple(BRANCH_KINDS),
    "counted events": CONFIGS,
    "MSRs": (*SPELLINGS, LBR_STACK),
    "bits of MSRs": tuple(BITS),
    "states of events": EVENT_STATES,
    "words of registers": ("#GP", "#DE", "ok", "EOF", "none", "skipped", "an errno (EBUSY)"),
    "fields of registers": (
        *dict.fromkeys(f for fields in STMT_FIELDS.values() for f in fields if not _NTH.fullmatch(f)),
        "v0, v1, ...",
    ),
    "verdicts": VERDICTS,
    "invariants": INVARIANTS,
    "units of time": tuple(UNITS),
}
"""The words with a fixed meaning that the examples above use, by meaning."""


def example(end: int = 1) -> str:
    """One scenario of all examples. The guest says the statements that anyone may say. ``end``: the index of the
    condition."""
    blocks = {name: [text for text, _ in STATEMENTS[name]] for name in ("host", "vm0/0", "user")}
    blocks["vm0/0"] += [text for text, _ in STATEMENTS["anyone"]]
    lines = [text for text, _ in HEAD]
    for name, texts in blocks.items():
        lines += [f"{name} {{", *(f"    {text}" for text in texts), "}"]
    return "\n".join([*lines, END[0][0], END[end][0]]) + "\n"
