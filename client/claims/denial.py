"""Claims about a guest that loses the LBR, and about the messages that say so (C5 to C7, C18, C24)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from client.claims.checks import ClaimCheck, check, holds, shows, violates, violates_any
from client.claims.claim import Lab
from client.run.run import Run
from client.schedule.strategies import Late
from contract.invariants import SAFETY
from contract.messages import Revoke
from contract.spec import LEASE_NS
from contract.trace import Access, Delivery, HostWait, HostWake, PassthroughSet, Send, VmExit


def c5(lab: Lab) -> Iterator[ClaimCheck]:
    yield violates_any(lab.play("c05-passthrough-without-event", "v7"), "one-owner", "host-clean")


def c6(lab: Lab) -> Iterator[ClaimCheck]:
    yield violates(lab.play("c06-silent-malfunction", "silent"), "no-silent-denial", "guest-clean")
    for design in ("revoke-gp", "revoke-zero", "fail-entry"):
        yield holds(lab.play("c06-silent-malfunction", design), "no-silent-denial", "guest-clean")
    for design in ("v7", "v8"):
        yield shows(
            lab.play("c06-silent-malfunction", design), "no-silent-denial", "guest-clean", "no-loss", "host-served"
        )


def c7(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c07-entry-fails", "fail-entry")
    yield holds(run, *SAFETY)
    yield violates(run, "no-starvation")
    run = lab.play("c07-entry-fails-for-a-while", "fail-entry")
    yield holds(run, *SAFETY, "no-starvation")
    own = run.register("vm0/0:g0.own")
    yield check(
        run, "it does not malfunction: its records are as it left them", f"it finds {own} of 6 records", own == 6
    )


def c18(lab: Lab) -> Iterator[ClaimCheck]:
    for design, answer in (("revoke-gp", "#GP"), ("revoke-zero", 0)):
        run = lab.play("c18-notifier", design)
        revoke = next((r for r in run.of(Send) if isinstance(r.body, Revoke)), None)
        at = revoke.seq if revoke else 0
        off = next((r for r in run.of(PassthroughSet) if r.seq > at and not r.enabled), None)
        exits = [r for r in run.of(VmExit) if r.seq > at and r.msr]
        denied = [r for r in run.of(Access) if r.denied]
        steps = [
            "Revoke" if revoke else "no Revoke",
            "passthrough off" if off else "passthrough stays",
            f"{len(exits)} accesses exit",
            f"{len(denied)} denied",
            f"the read gives {run.register('vm0/0:t1')}",
        ]
        agrees = bool(revoke and off and exits and denied) and run.register("vm0/0:t1") == answer
        yield check(run, f"Revoke, intercepts on, the access exits and gives {answer}", ", ".join(steps), agrees, at)
        yield holds(run, *SAFETY)


# C24 -----------------------------------------------------------------------------------------------------

SCENARIO = "c24-notifier-is-lost-or-late"
DESIGNS = ("revoke-gp", "revoke-ack", "fenced")
"""One for each notifier mode: async, acknowledged, and async with a fence."""
FAULTS = ("drop", "duplicate", "reorder", "late")
MESSAGES = {"revoke-gp": ("Revoke",), "revoke-ack": ("Revoke", "Ack"), "fenced": ("Revoke", "Received")}


def _under(lab: Lab, design: str, fault: str, message: str) -> Run:
    if fault == "late":
        return lab.play(SCENARIO, design, strategy=partial(Late, message), label=f"late-{message}")
    return lab.play(SCENARIO, design, faults=(f"{fault}:{message}:1",))


def c24(lab: Lab) -> Iterator[ClaimCheck]:
    """One check for each notifier mode, over all faults of all its messages; and one for the time that the host
    waits."""
    for design in DESIGNS:
        runs = {
            f"{fault} {message}": _under(lab, design, fault, message)
            for message in MESSAGES[design]
            for fault in FAULTS
        }
        broken = {name: [b for b in run.broken() if b in SAFETY] for name, run in runs.items()}
        bad = {name: found for name, found in broken.items() if found}
        text = "; ".join(f"{name}: {', '.join(found)}" for name, found in bad.items()) or "all safety held"
        shown = runs[next(iter(bad))] if bad else next(iter(runs.values()))
        if design == "revoke-gp":
            one_owner = any("one-owner" in found for found in bad.values())
            yield check(
                shown, "async: one-owner is violated when Revoke is lost or late", text, one_owner, _first(shown, bad)
            )
            continue
        what = "acknowledged" if design == "revoke-ack" else "fenced"
        yield check(
            shown, f"{what}: all safety holds under every one of {len(runs)} faults", text, not bad, _first(shown, bad)
        )
        alive = {name: run.broken() for name, run in runs.items() if set(run.broken()) - set(SAFETY)}
        found = "; ".join(f"{name}: {', '.join(b)}" for name, b in alive.items()) or "all liveness held"
        if design == "fenced":
            yield check(shown, "fenced: liveness too, once faults have stopped", found, not alive)
        else:
            longest, run = max(((stall_ns(run), run) for run in runs.values()), key=lambda pair: pair[0])
            text = f"the host waits for up to {longest / 1_000_000:g} ms, the lease is {LEASE_NS / 1_000_000:g} ms"
            yield check(run, "acknowledged: it stalls, within the bound of its lease", text, 0 < longest <= LEASE_NS)


def _first(run: Run, bad: dict[str, list[str]]) -> int:
    violation = run.violation(next(iter(bad.values()))[0]) if bad else None
    return violation.seq if violation else next((r.seq for r in run.of(Delivery) if r.fate == "drop"), 0)


def stall_ns(run: Run) -> int:
    """The longest time in nanoseconds that a host event waited for the end of a grant."""
    since: dict[str, int] = {}
    longest = 0
    for record in run.records:
        if isinstance(record, HostWait):
            since[record.name] = record.time
        elif isinstance(record, HostWake):
            longest = max(longest, record.time - since.pop(record.name))
    return max([longest, *(run.records[-1].time - start for start in since.values())])
