"""Every statement of the language by an example, who says it, and what it means. A test parses all of them together."""

from __future__ import annotations

FRAME = """\
machine {{ cpus = 1; lbr = skylake; }}
machine dest {{ cpus = 1; }}
kvm kvm1 on dest;
task t0;
let turns = 3;
vm vm0 {{ lbr = on; }}
{blocks}"""
"""What the examples stand in; ``blocks`` are those of host, guest and user."""

STATEMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "host": (
        ("run vm0/0 on cpu0;", "switch a task in; a vCPU's thread is one"),
        ("idle cpu0;", "switch the idle task in"),
        (
            "h = open cpu0 pinned branch any;",
            "perf_event_open; ends in period N, and a PMI takes a sample each N branches",
        ),
        ("g = open cpu0 in h counter;", "a sibling in the group of h"),
        ("enable h group;", "also disable; without group for the one event"),
        ("n = read h;", "n.count, n.enabled, n.running; EOF in ERROR"),
        ("s = sample h;", "a PMI now: s.entries, s.host, s.guest, s.empty; none if h is not ACTIVE"),
        (
            "e = state h;",
            "the event's state at this moment; state vm0/0: of the event that stands for the vCPU, or none",
        ),
        (
            "branch 8 call user on cpu0;",
            "branches retire; also jmp (usual), jcc, ind_call, return, ind_jmp, far; kernel (usual)",
        ),
        ("advance 4ms;", "time goes by, multiplex timers fire"),
        ("mux 1ms;", "the multiplex interval"),
        ("mediate;", "a VM with a mediated vPMU comes; unmediate: it goes"),
        ("close g;", "the event is gone"),
    ),
    "vm0/0": (
        ("w = wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI;", "ok, or #GP"),
        ("r = rdmsr LBR_FROM[3];", "also LBR_TO, LBR_INFO, LBR_TOS, LBR_SELECT, PERF_CAPABILITIES; #GP if it faults"),
        ("r = rdmsr 0x680 + r;", "an address that is a number or computed"),
        ("e = rdmsr LBR_STACK;", "TOS and every FROM: e.tos, e.own, e.foreign, e.written, e.empty"),
        ("branch 40;", "branches retire where the vCPU runs"),
        ("cpuid;", "an exit that touches nothing"),
        ("hlt;", "an exit; the guest halts"),
        ("out 0x80;", "an exit that goes on to user space"),
        ("nop;", "no exit"),
    ),
    "user": (
        ("u = set vm0/0 LBR_TOS, 3;", "KVM_SET_MSRS: 1 taken, 0 rejected; from t0: the ioctl is made by that task"),
        ("v = get vm0/0 LBR_TOS from t0;", "KVM_GET_MSRS"),
        (
            "n = set vm0/0 { PMC0, 100; PERFEVTSEL0, 0x5300c4; };",
            "one ioctl with a list; stops at the first rejected: how many",
        ),
        ("g = get vm0/0 { PMC0; PERFEVTSEL0; };", "the same for reading: g.done, g.v0, g.v1 ..."),
        ("m = migrate vm0/0 to kvm1 with lbr;", "the vCPU goes on at another KVM, with its LBR or without"),
        ("stop_lbr vm0/0;", "the vCPU stops using the LBR"),
        ("reset vm0/0;", "the vCPU is reset, as by INIT"),
    ),
    "anyone": (
        (
            "a = 0x680 + lbr_depth;",
            "~ * % + - << >> & ^ | bind as in C, on unsigned 64 bits; #GP stays #GP, % 0 is #DE",
        ),
        ("if a = #GP \\/ a > 9 { } else if a != 1 { } else { }", "= != < <= > >=, joined by /\\ and \\/"),
        ("repeat turns { a = a + 1; }", "so many times; let turns = 3; at the head, run --let turns=9"),
        ("for i in 0 .. lbr_depth { a = a ^ i; }", "up to the number before the second"),
        ("while a < 2000 { a = a + 1; break; }", "break leaves the innermost loop"),
    ),
}


def example() -> str:
    """A whole scenario of all examples; what anyone says is said by the guest."""
    blocks = {name: [text for text, _ in STATEMENTS[name]] for name in ("host", "vm0/0", "user")}
    blocks["vm0/0"] += [text for text, _ in STATEMENTS["anyone"]]
    lines = "".join(
        f"{name} {{\n" + "".join(f"    {text}\n" for text in texts) + "}\n" for name, texts in blocks.items()
    )
    return "LBR language\n" + FRAME.format(blocks=lines)
