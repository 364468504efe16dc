"""Claims about the owner of the LBR: the order of scheduling, first come, and refusal (C1 to C4, C14 to C17)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import permutations

from client.claims.checks import ClaimCheck, check, violates
from client.claims.claim import Lab
from client.run.run import Run
from client.schedule.strategies import InOrder
from contract.trace import AnyRecord, EventChange, EventFailed, EventOpen, Statement

CLASSES = {"host": "cp", "host1": "tp", "host2": "cf", "host3": "tf"}
"""Thread of the scenario to the class of the event that it opens, highest first."""


def states_after(records: list[AnyRecord]) -> list[dict[str, str]]:
    """The state of each event by name, before each statement and at the end."""
    states: dict[str, str] = {}
    found = []
    for record in records:
        if isinstance(record, Statement):
            found.append(dict(states))
        elif isinstance(record, EventOpen):
            states[record.name] = record.state
        elif isinstance(record, EventChange):
            states[record.name] = record.new
    return [*found, dict(states)]


def c1(lab: Lab) -> Iterator[ClaimCheck]:
    """Check all orders in which the four events can arrive. After each arrival the winner must be the event of the
    highest class present."""
    wrong: list[tuple[Run, str]] = []
    prefixes, broken, last = 0, 0, None
    for order in permutations(CLASSES):
        run = lab.play(
            "c01-order-of-precedence", "merged", strategy=partial(InOrder, ["host", *order]), label="-".join(order)
        )
        last = run
        broken += run.verdict_of("precedence") == "violated"
        for count, states in enumerate(states_after(run.records)[2:], 1):
            there = [CLASSES[t] for t in CLASSES if t in order[:count]]
            names = [_event_name(order, name) for name in there]
            winners = [name for name in names if states.get(name) == "ACTIVE"]
            prefixes += 1
            if winners != names[:1]:
                wrong.append((run, f"{' '.join(order[:count])}: {', '.join(winners) or 'nobody'} is on"))
    assert last is not None
    shown, first = wrong[0] if wrong else (last, "")
    won = f"{prefixes - len(wrong)} of {prefixes} prefixes of 24 orders have the highest class on"
    found = f"{won}; precedence violated in {broken}" + (f"; {first}" if first else "")
    yield check(
        shown, "the same winner at each prefix of all 24 orders, precedence held", found, not wrong and not broken
    )


def _event_name(order: tuple[str, ...], register: str) -> str:
    thread = next(t for t, name in CLASSES.items() if name == register)
    return register if thread == "host" else f"{thread}:{register}"


def c2(lab: Lab) -> Iterator[ClaimCheck]:
    for design in ("v7", "v7-pinned", "v8", "merged"):
        run = lab.play("c02-event-is-task-flexible", design)
        opened = next(r for r in run.of(EventOpen) if r.guest)
        kind = "pinned" if opened.pinned else "flexible"
        where = f"task {opened.task}" if opened.task else f"cpu{opened.cpu}"
        found = f"{opened.name} is in the {kind} groups of {where}"
        expected = "flexible" if design == "v7" else "pinned"
        yield check(
            run,
            f"in the {expected} groups of its task",
            found,
            (kind, bool(opened.task)) == (expected, True),
            opened.seq,
        )


def share_on(run: Run) -> float:
    """The share of the time since the guest's event was created in which it was ACTIVE."""
    since, on_since, on = -1, -1, 0
    event = 0
    for record in run.records:
        if isinstance(record, EventOpen) and record.guest:
            since, event = record.time, record.event
        elif isinstance(record, EventChange) and record.event == event:
            if record.new == "ACTIVE":
                on_since = record.time
            elif record.old == "ACTIVE":
                on, on_since = on + record.time - on_since, -1
    end = run.records[-1].time
    if on_since >= 0:
        on += end - on_since
    return on / (end - since) if since >= 0 and end > since else 0.0


def c3(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c03-flexible-event-rotates", "v7")
    share = share_on(run)
    yield check(
        run,
        "on for less than all of its time",
        f"on for {share:.0%} of its time, beside 3 counting events on 2 counters",
        share < 1,
    )
    run = lab.play("c03-permanent-host-user", "v7")
    share = share_on(run)
    yield check(run, "never on beside a permanent CPU-pinned LBR user", f"on for {share:.0%} of its time", share == 0)
    run = lab.play("c03-exclusive-host-user", "v7")
    share = share_on(run)
    yield check(run, "never on beside an exclusive one", f"on for {share:.0%} of its time", share == 0)


def c4(lab: Lab) -> Iterator[ClaimCheck]:
    for design in ("v8", "v7-pinned", "merged"):
        run = lab.play("c04-cpu-pinned-comes-later", design)
        guest, host = run.register("host:g1"), run.register("host:e1")
        sample = run.register("host:s1.host")
        change = next((r.seq for r in run.of(EventChange) if r.new == "ERROR"), 0)
        found = f"the guest's event is {guest}, the host's {host}; its sample has {sample} of 8 branches"
        expected = "evicted: the guest's event goes to ERROR"
        yield check(run, expected, found, guest == "ERROR" and host == "ACTIVE", change)


def refused(run: Run, name: str = "h0") -> EventFailed | None:
    return next((r for r in run.of(EventFailed) if r.name == name), None)


def c14(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c14-first-come-first-served", "first-come")
    failed = refused(run)
    found = f"open fails with {failed.errno}, as {failed.holder} has it" if failed else "open succeeds"
    yield check(
        run, "the host event that comes second gets an error", found, failed is not None, failed.seq if failed else 0
    )
    yield violates(run, "precedence")


def c15(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c15-user-space-stops-the-vcpu", "first-come")
    state, sample = run.register("host:h0.state"), run.register("host:s0.host")
    yield check(
        run,
        "after the stop the host event is on",
        f"it is {state}, its sample has {sample} of 8 branches",
        (state, sample) == ("ACTIVE", 8),
    )
    told = run.register("vm0/0:t0")
    yield check(run, "the guest is told as the design denies", f"its next access gives {told}", told == "#GP")


def c16(lab: Lab) -> Iterator[ClaimCheck]:
    for design in ("v7", "v8", "merged", "revoke-gp", "fenced"):
        run = lab.play("c16-a-cpu-event-is-not-refused", design)
        state, sample = run.register("host:e0"), run.register("host:s0.host")
        served = "" if sample == 8 else f", but its sample has {sample} of 8 branches"
        yield check(run, "the open succeeds and the event is ACTIVE", f"it is {state}{served}", state == "ACTIVE")


def c17(lab: Lab) -> Iterator[ClaimCheck]:
    run = lab.play("c17-two-host-threads", "merged")
    a, b, c = (run.register(f"host:{name}0") for name in "abc")
    shares = [_share(run, name) for name in "abc"]
    turns = f"taking turns, {shares[0]:.0%} and {shares[1]:.0%} against {shares[2]:.0%} of the time"
    text = f"equal filters: {a} and {b}; another filter: {c}, then {turns}"
    fails = any(r.errno for r in run.of(EventFailed)) or a != "ACTIVE" or b != "ACTIVE"
    yield check(run, "of two that want the LBR at once one simply fails", text, fails)
    both = _both_on(run, "a", "c")
    yield check(run, "never both with different filters", "both on at once" if both else "never on at once", not both)
    states = ", ".join(f"{name} {run.register(f'host:{name}')}" for name in ("p0", "a1", "c1"))
    pushed = (run.register("host:p0"), run.register("host:a1"), run.register("host:c1")) == (
        "ACTIVE",
        "INACTIVE",
        "INACTIVE",
    )
    yield check(run, "a higher class pushes both off", states, pushed)


def _share(run: Run, event: str) -> float:
    running, enabled = run.register(f"host:n{event}.running"), run.register(f"host:n{event}.enabled")
    return running / enabled if isinstance(running, int) and isinstance(enabled, int) and enabled else 0.0


def _both_on(run: Run, first: str, second: str) -> bool:
    """Whether both were on at once, judged when perf has finished its work: at each statement, and at each new point of
    time."""
    states: dict[str, str] = {}
    time = 0
    for record in run.records:
        settled = isinstance(record, Statement) or record.time != time
        if settled and states.get(first) == states.get(second) == "ACTIVE":
            return True
        time = record.time
        if isinstance(record, EventChange):
            states[record.name] = record.new
    return False
