"""The invariants of the contract by name, and the verdicts that a trace gives on them.

``client/check`` has a monitor for each, with its definition in full.
"""

from __future__ import annotations

from collections.abc import Mapping

ABOUT: Mapping[str, str] = {
    "one-owner": "host and guest never both use a CPU's LBR",
    "guest-clean": "a guest reads only branches that it executed itself, or values that it wrote",
    "host-clean": "a host sample holds only branches that its event asked for",
    "host-served": "an ACTIVE host LBR event gets its branches",
    "no-leak": "no branch of the host or of another VM is readable by a guest",
    "user-clean": "user space reads no branch of the host or of another VM out of a guest's LBR",
    "no-loss": "a guest that is not denied reads its last branches, across switches and exits",
    "no-silent-denial": "a guest that may not use the LBR is not served",
    "msr-legality": "a guest's legal access does not fault, and an illegal one does",
    "capability-kept": "the LBR that PERF_CAPABILITIES promises is there",
    "revoked-means-revoked": "after KVM has taken a Revoke its guest does not use the LBR",
    "precedence": "no user has the LBR while an event of a higher class wants it",
    "no-counter": "LBR emulation takes no counter and causes no PMI",
    "debugctl-restored": "after a VM-exit the host's DEBUGCTL is as before the entry",
    "stream-kept": "messages are numbered, taken, acknowledged and sent again as the rules say",
    "grants-kept": "the host names no grant after its end, and lets none hold beyond its lease",
    "agreement": "at rest both sides hold the same view of threads, events, grants and passthrough",
    "revoke-completes": "in the end KVM gives up a grant that was revoked",
    "no-starvation": "a guest whose thread has a CPU runs",
    "recovers": "a guest that lost the LBR is served again once it is free",
}
"""Name to the invariant in one line, in the order in which reports list them."""

INVARIANTS = tuple(ABOUT)
LIVENESS = ("revoke-completes", "no-starvation", "recovers")
"""The invariants which say that something happens in the end. The others say that nothing bad happens."""
SAFETY = tuple(name for name in INVARIANTS if name not in LIVENESS)

HELD, VIOLATED, OPEN, NOT_EXERCISED = "held", "violated", "open", "not exercised"
"""Verdicts on one invariant. Open: the trace ends too early to tell (liveness only). Not exercised: nothing in the
trace could have broken it."""
