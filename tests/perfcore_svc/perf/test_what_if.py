"""The prediction of a change is correct, and the prediction itself changes nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.design import Design
from perfcore_svc.perf import sched, what_if
from perfcore_svc.perf.event import State
from tests.designs import MEDIATED, REVOKE_ACK, V8
from tests.perfcore_svc.hosts import picture
from tests.perfcore_svc.perf.notation import KERNELS, Stage, stage
from tests.perfcore_svc.perf.test_transitions import carry_out, operations

designs = st.sampled_from([V8, REVOKE_ACK, MEDIATED])
kernels = st.sampled_from(KERNELS)


def played(actions: list[tuple[str, ...]], design: Design, kernel: str, counters: int) -> Stage:
    host = stage(kernel, design=design, counters=counters)
    for n, (what, *how) in enumerate(actions):
        carry_out(host, n, what, *how)
    return host


@settings(max_examples=80)
@given(operations, designs, kernels, st.integers(1, 3))
def test_those_that_an_enable_puts_off_were_named_before(
    actions: list[tuple[str, ...]], design: Design, kernel: str, counters: int
) -> None:
    host = played(actions, design, kernel, counters)
    everyone = list(host.perf.events.values())
    for name in list(host.perf.named):
        on = [event for event in everyone if event.state == State.ACTIVE]
        before, records = picture(host.perf.kernel), len(host.log.records)
        named = what_if.put_off(host.perf.kernel, everyone, [host.perf.named[name]], sched.enable)
        assert (picture(host.perf.kernel), len(host.log.records)) == (before, records)
        host.enable(name)
        assert named == [event for event in on if event.state != State.ACTIVE]


@settings(max_examples=80)
@given(operations, designs, kernels, st.integers(1, 3))
def test_an_event_of_a_task_goes_on_where_it_was_said_to(
    actions: list[tuple[str, ...]], design: Design, kernel: str, counters: int
) -> None:
    host = played(actions, design, kernel, counters)
    for event in [event for event in host.perf.events.values() if event.task and event.leader is event]:
        foretold = what_if.would_go_on(host.perf.kernel, event, 0)
        if host.machine.cpus[0].task != event.task:
            host.run(event.task)
        host.enable(event.name)
        assert (event.state == State.ACTIVE) == foretold


def test_an_event_goes_before_one_of_its_task_that_was_added_later() -> None:
    host = stage(design=REVOKE_ACK)
    host.put("early", "TP call", disabled=True)
    host.put("late", "TP any")
    assert host.now() == "OFF A"
    assert what_if.would_go_on(host.perf.kernel, host.perf.named["early"], 0)
    host.enable("early")
    assert host.now() == "A ERR"
