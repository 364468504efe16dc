"""The language by examples, each with its meaning: head, statements by who says them, end. A test parses all of them
together and looks for every keyword of the grammar."""

from __future__ import annotations

import re

from client.litmus.msr import BITS, LBR_STACK, SPELLINGS
from client.litmus.text import UNITS
from client.litmus.words import CONFIGS, EVENT_STATES, FIELDS, VERDICTS
from contract.invariants import INVARIANTS
from contract.kernels import KERNELS
from contract.spec import VM_MODELS
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
    ("let turns = 3;", "a number that every actor can use; lbrlab run --let turns=9 changes it"),
    (
        "vm vm0 { vcpus = 1; lbr = on; pmu = 2; counters = 4; fixed = 3; pdcm = on; model = host; bus_lock = off; "
        "rtm = off; apic = on; kvm = kvm0; }",
        "a VM with the vCPUs vm0/0, vm0/1, ...: LBR_FMT, PMU version, counters, PDCM and CPU model in its CPUID, a "
        "local APIC in the kernel (without one KVM delivers no PMI), its KVM",
    ),
    ("// to the end of the line, /* or between these */", "comments"),
)
"""The head of a scenario. A block names its actors, ``host``, ``host1``, ``user``, ``vm0/0``, and is one thread;
``host, vm0/0 { host: idle cpu0; vm0/0: nop; }`` is one of several actors, in a fixed order."""

END = (
    ("expect violated no-loss, no-leak under v7, merged;", "the verdicts that are expected under these designs"),
    (
        "forall (vm0/0:a = 9 /\\ (host:s.guest > 0 \\/ ~ host:h.state = ERROR) /\\ invariant no-leak = held)",
        "must be true; compares registers, fields of registers, words, numbers and verdicts",
    ),
    ("~exists (vm0/0:w = #GP) under merged", "must not be true; asked under these designs only"),
    ("exists (host:n.running < 4ms)", "may be true; if it is not, the run is undecided"),
)
"""The end of a scenario, behind the blocks: any number of ``expect``, one condition."""

STATEMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "host": (
        ("run vm0/0 on cpu0;", "switch a task in; the thread of a vCPU is a task, too"),
        ("idle cpu0;", "switch the idle task in"),
        (
            "h = open cpu0 pinned branch any;",
            "perf_event_open of an LBR event; in a loop each open makes a new event, and h is the newest",
        ),
        (
            "c = open task t0 on cpu0 flexible exclusive counter cycles user period 100 exclude_guest disabled;",
            "an event that follows a task; period: a PMI takes a sample every 100 branches",
        ),
        (
            "b = open cpu0 branch call, any_return counting instructions kernel;",
            "an LBR event that counts instructions",
        ),
        ("g = open cpu0 in h counter;", "a sibling in the group of h"),
        ("enable h group;", "enable the event and its siblings; without group only the event"),
        ("disable h;", "disable the event; with group its siblings, too"),
        ("k = open cpu0 counter exclude_host exclude_user;", "an event that counts only the guest's kernel"),
        ("m = open cpu0 counter exclude_kernel;", "an event that counts only user level; the word user does the same"),
        ("n = read h;", "n.count, n.enabled, n.running; EOF in ERROR"),
        ("s = sample h;", "a PMI now: s.entries, s.host, s.guest, s.empty; none if h is not ACTIVE"),
        (
            "e = state h;",
            "the event's state now; state vm0/0 gives that of the vCPU's event, or none",
        ),
        (
            "branch 8 call user on cpu0;",
            "branches retire; also jmp (usual), jcc, ind_call, return, ind_jmp, far; kernel (usual)",
        ),
        ("advance 4ms;", "let time pass; multiplex timers fire"),
        ("mux 1ms;", "set the multiplex interval"),
        ("mediate;", "create a VM with a mediated vPMU"),
        ("unmediate;", "destroy it"),
        ("close g;", "close the event"),
    ),
    "vm0/0": (
        ("w = wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI;", "ok, or #GP"),
        ("r = rdmsr LBR_FROM[3];", "also LBR_TO, LBR_INFO, LBR_TOS, LBR_SELECT, PERF_CAPABILITIES; #GP if it faults"),
        ("r = rdmsr 0x680 + r;", "the address may be a number or computed"),
        ("p = rdpmc 0x40000000;", "a counter by its index: bit 30 for fixed ones; #GP if there is none"),
        ("wrmsr LVTPC, LVT_NMI | LVT_MASKED;", "mask the PMI; a run begins unmasked, RESET masks, since v6.6 each PMI"),
        ("n = pmis;", "the number of PMIs that the vCPU has taken in this run; no exit"),
        ("e = rdmsr LBR_STACK;", "TOS and every FROM: e.tos, e.own, e.foreign, e.written, e.empty"),
        ("branch 40;", "branches retire on the CPU where the vCPU runs"),
        ("cpuid;", "an exit without further effect"),
        ("c = cpuid 1 ecx;", "the guest's CPUID: bit 15 is PDCM, the rest is not modelled and 0"),
        (
            "c = cpuid 0xa eax;",
            "PMU version (bits 7:0), number (15:8) and width (23:16) of general counters; 0: no PMU",
        ),
        ("c = cpuid 0xa edx;", "bits 4:0 and 12:5: number and width of fixed counters"),
        ("hlt;", "an exit; the guest halts"),
        ("out 0x80;", "an exit that user space serves"),
        ("nop;", "no exit"),
    ),
    "user": (
        ("u = set vm0/0 LBR_TOS, 3;", "KVM_SET_MSRS: 1 taken, 0 rejected; from t0: the ioctl is made by that task"),
        ("v = get vm0/0 LBR_TOS from t0;", "KVM_GET_MSRS"),
        (
            "n = set vm0/0 { PMC0, 100; PERFEVTSEL0, 0x5300c4; };",
            "one ioctl with a list; stops at the first that is rejected, and gives the number done",
        ),
        ("g = get vm0/0 { PMC0; PERFEVTSEL0; };", "the same for reads: g.done, g.v0, g.v1 ..."),
        ("m = migrate vm0/0 to kvm1 with lbr;", "move the vCPU to another KVM, with its LBR"),
        ("migrate vm0/0 to kvm0 without lbr;", "move it back, without its LBR"),
        (
            "c = set_cpuid vm0/0 { pmu = 2; counters = 2; fixed = 0; pdcm = on; model = host; };",
            "KVM_SET_CPUID2 of the whole VM: ok, or EINVAL after the first KVM_RUN on newer kernels",
        ),
        ("stop_lbr vm0/0;", "the vCPU stops using the LBR"),
        ("reset vm0/0;", "the vCPU is reset, as by INIT"),
    ),
    "anyone": (
        (
            "a = 0x680 + lbr_depth;",
            "~ * % + - << >> & ^ | bind as in C, on unsigned 64 bits; #GP stays #GP, % 0 is #DE",
        ),
        (
            "if a = #GP \\/ a > 9 { } else if a != 1 { } else { }",
            "= != < <= > >=, joined by /\\ and \\/, evaluated from left to right until the result is known; = and != "
            "also compare with #GP, ok, skipped, #DE or an errno; any other comparison with a register that holds no "
            "number is an error",
        ),
        ("repeat turns { a = a + 1; }", "repeat the block; a number, or a let that run --let turns=9 can change"),
        ("for i in 0 .. lbr_depth { a = a ^ i; }", "from the first number to the one before the second"),
        ("while a < 2000 { a = a + 1; break; }", "break leaves the innermost loop"),
    ),
}


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
        *dict.fromkeys(f for fields in FIELDS.values() for f in fields if not _NTH.fullmatch(f)),
        "v0, v1, ...",
    ),
    "verdicts": VERDICTS,
    "invariants": INVARIANTS,
    "units of time": tuple(UNITS),
}
"""The words that stand for themselves in the places above, by what they say."""


_PROGRAM = ("repeat", "for", "while", "if", "break", "NAME = ...")


def statements_of(*kinds: str) -> list[str]:
    """How each statement of ``host``, ``guest`` or ``user`` begins, whatever stands before its ``=``; those of programs
    last."""
    texts = (text for kind in kinds for text, _ in STATEMENTS["vm0/0" if kind == "guest" else kind])
    return [*dict.fromkeys(text.split(" = ", 1)[-1].split()[0].rstrip(";") for text in texts), *_PROGRAM]


def example(end: int = 1) -> str:
    """A whole scenario of all examples; what anyone says is said by the guest. ``end``: which of the conditions."""
    blocks = {name: [text for text, _ in STATEMENTS[name]] for name in ("host", "vm0/0", "user")}
    blocks["vm0/0"] += [text for text, _ in STATEMENTS["anyone"]]
    lines = [text for text, _ in HEAD]
    for name, texts in blocks.items():
        lines += [f"{name} {{", *(f"    {text}" for text in texts), "}"]
    return "\n".join([*lines, END[0][0], END[end][0]]) + "\n"
