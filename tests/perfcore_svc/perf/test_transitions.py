"""The changes of state that an event can make (facts/perf 1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.design import Design
from contract.errors import LocalContractError
from contract.machine import Controls, Enter
from contract.messages import LbrImage
from perfcore_svc.perf import kernel as at_work
from perfcore_svc.perf import sched
from perfcore_svc.perf.event import TRANSITIONS, State, check_transition
from tests.cases import cases
from tests.designs import MEDIATED, REVOKE_GP, V8
from tests.perfcore_svc.perf.notation import KERNELS, Stage, stage

Change = tuple[State, State]


@contextmanager
def recorded() -> Iterator[set[Change]]:
    """The changes that events go through, checked by nobody."""
    changes: set[Change] = set()

    def record(_: str, old: State, new: State) -> None:
        changes.add((State(old), State(new)))

    with pytest.MonkeyPatch.context() as patch:
        for module in (sched, at_work):
            patch.setattr(module, "check_transition", record)
        yield changes


@cases(("old", "new"), list(product(State, State)), ids=lambda s: s.name)
def test_only_what_is_in_the_table_passes_the_check(old: State, new: State) -> None:
    if (old, new) in TRANSITIONS:
        check_transition("e", old, new)
    else:
        with pytest.raises(LocalContractError, match=f"event e goes from {old.name} to {new.name}"):
            check_transition("e", old, new)


def test_nobody_comes_back_from_exit_and_only_enable_leads_out_of_error() -> None:
    assert not [new for old, new in TRANSITIONS if old is State.EXIT]
    assert {new for old, new in TRANSITIONS if old is State.ERROR} == {State.INACTIVE, State.EXIT}
    assert TRANSITIONS[State.ERROR, State.INACTIVE] == "enabled"


def test_what_is_not_in_the_table_stops_the_perf_core() -> None:
    host = stage()
    host.put("P", "CP plain")
    event = host.perf.named["P"]
    with pytest.raises(LocalContractError, match="event P goes from ACTIVE to OFF"):
        host.perf.kernel.set_state(host.perf.kernel.context_of(event), event, State.OFF)
    assert event.state == State.ACTIVE


def test_disabling_what_is_in_error_or_off_changes_nothing() -> None:
    host = stage()
    host.put("wins", "CP call")
    host.put("lost", "CP any")
    host.put("off", "CP plain", disabled=True)
    for name in ("lost", "off"):
        host.disable(name)
    assert host.now() == "A ERR OFF"


def test_going_nowhere_is_no_change() -> None:
    host = stage()
    host.put("P", "CP plain")
    event = host.perf.named["P"]
    host.perf.kernel.set_state(host.perf.kernel.context_of(event), event, State.ACTIVE)
    assert event.state == State.ACTIVE


def reach(host: Stage) -> set[Change]:
    """The operations on events from open to close."""
    with recorded() as seen:
        host.put("wins", "CP call")
        host.put("lost", "CP any")
        host.put("loses", "TP any")
        assert host.now() == "A ERR ERR"
        host.close("wins")
        host.enable("lost")
        host.disable("lost")
        host.close("lost")
        host.close("loses")
        host.put("goes", "TP plain")
        host.put("absent", "TP plain", task="t")
        host.run("")
        host.disable("goes")
        host.enable("goes")
        host.close("absent")
    return seen


@cases("kernel", KERNELS)
def test_what_the_table_has_is_reached(kernel: str) -> None:
    assert reach(stage(kernel)) == set(TRANSITIONS)


opens = st.tuples(
    st.just("open"),
    st.sampled_from(["CP", "CP", "TP", "CF", "TF"]),
    st.sampled_from(["plain", "any", "call", "stk"]),
    st.sampled_from([False, False, True]),
)
operations = st.lists(
    st.one_of(
        opens,
        st.tuples(st.sampled_from(["enable", "disable", "close", "join"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["run"]), st.sampled_from(["", "v", "t"])),
        st.tuples(st.sampled_from(["tick", "guest", "enable guest", "enter"])),
    ),
    min_size=8,
    max_size=25,
)


def carry_out(host: Stage, n: int, what: str, *how: object) -> None:
    names = list(host.perf.named)
    if what == "open":
        event_class, branch, disabled = how
        host.put(f"e{n}", f"{event_class} {branch}", disabled=disabled, exclude_guest=True)
    elif what == "run":
        host.run(str(how[0]))
    elif what == "tick":
        host.tick()
    elif what == "enter":
        lbr = LbrImage() if host.perf.design is MEDIATED else None
        host.request(Enter("v", 0, Controls(0, False, lbr=lbr), []))
    elif what == "guest" and host.perf.design is not MEDIATED:
        guest = host.perf.guest_event_of("v")
        if guest is None:
            host.guest()
        else:
            host.perf.close(guest)
    elif what == "enable guest" and host.perf.guest_event_of("v"):
        host.enable("vlbr:v")
    elif what in ("enable", "disable", "close", "join") and names:
        assert isinstance(how[0], int)
        name = names[how[0] % len(names)]
        leader = host.perf.named[name]
        if what == "join":
            host.open(f"e{n}", group=name, task=leader.task, cpu=leader.cpu, exclude_guest=True)
        else:
            {"enable": host.enable, "disable": host.disable, "close": host.close}[what](name)


@settings(max_examples=60)
@given(operations, st.sampled_from([V8, REVOKE_GP, MEDIATED]), st.sampled_from(KERNELS), st.integers(1, 3))
def test_nothing_else_happens_to_an_event(
    actions: list[tuple[str, ...]], design: Design, kernel: str, counters: int
) -> None:
    with recorded() as seen:
        host = stage(kernel, design=design, counters=counters)
        for n, (what, *how) in enumerate(actions):
            carry_out(host, n, what, *how)
    assert seen <= set(TRANSITIONS)
