"""The claims in order."""

from __future__ import annotations

from client.claims import denial, event, precedence, saving
from client.claims.claim import Claim

PZ, WW, OURS = "Peter Zijlstra", "Wei Wang", "ours"

CLAIMS: tuple[Claim, ...] = (
    Claim("C1", PZ, "The order for everything is CPU-pinned, task-pinned, CPU-flexible, task-flexible", precedence.c1),
    Claim("C2", PZ, "The event of v7 lands in task-flexible", precedence.c2),
    Claim("C3", PZ, "Being flexible it is rotated, and may never be on", precedence.c3),
    Claim("C4", PZ, "Even if it is task-pinned, a CPU-pinned event claims the LBR", precedence.c4),
    Claim("C5", PZ, "If a CPU event has the LBR, a vCPU that passes it through clobbers the host's state", denial.c5),
    Claim("C6", PZ, "A CPU event comes while the guest works, and the guest silently malfunctions", denial.c6),
    Claim("C7", PZ, "Failing VM-entry starves the guest, but it does not malfunction", denial.c7),
    Claim("C8", PZ, "VM-entry and exit must still switch the LBR on and off, or the host pollutes it", saving.c8),
    Claim("C9", WW, "Saving at VMX transitions is too expensive, as there are many more of them", saving.c9),
    Claim("C10", WW, "The LBR has to be saved when the vCPU is switched out", saving.c10),
    Claim("C11", WW, "Only DEBUGCTL is switched on VMX transitions", saving.c11),
    Claim("C12", WW, "LBR emulation takes no counter, and a guest with a plain timer gets no PMI", event.c12),
    Claim("C13", WW, "Counter emulation is a separate path: the event-select write traps", event.c13),
    Claim("C14", WW, "First come, first served: the host user who comes second fails", precedence.c14),
    Claim("C15", WW, "... until user space has the vCPU stop using the LBR", precedence.c15),
    Claim("C16", PZ, "It does not work that way: a CPU event is not refused", precedence.c16),
    Claim("C17", WW, "Of two host threads that want the LBR at once one simply fails", precedence.c17),
    Claim(
        "C18", WW, "The host tells KVM, which cancels passthrough; later accesses trap and give #GP, or 0", denial.c18
    ),
    Claim("C19", WW, "KVM's sched-in/out callbacks can save and restore, without a fake event", saving.c19),
    Claim("C20", WW, "Dropping to user space needs no saving, as user space does not change LBR MSRs", saving.c20),
    Claim("C21", PZ, "exclude_guest is a lie: the event never runs on the host", event.c21),
    Claim("C22", WW, "perf returns early on LBR enable and read while a vCPU's event is on", event.c22),
    Claim("C23", WW, "Creating it twice is harmless, and a failed creation is -ENOENT", event.c23),
    Claim("C24", OURS, "A notifier between two processes can be lost or late", denial.c24),
)
