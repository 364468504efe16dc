"""The multiplex timer (facts/perf 1.12): when it fires, when it runs, and that a tick is an interrupt."""

from __future__ import annotations

from contract.control import RunTask, SetMuxInterval
from contract.machine import Controls, Enter, Ran
from contract.trace import VmExit
from tests.cases import cases
from tests.perfcore_svc.hosts import picture
from tests.perfcore_svc.perf.notation import Stage, crowded, every_kernel, stage

MS = 1_000_000

# When ------------------------------------------------------------------------------------------------------


def tick_times(host: Stage, until: int, step: int = MS // 4) -> list[float]:
    """When the running set changed, in milliseconds."""
    found = []
    while host.log.now < until:
        before = host.on()
        host.advance(step)
        if host.on() != before:
            found.append(host.log.now / MS)
    return found


@every_kernel
def test_ticks_fall_on_a_grid_of_four_milliseconds(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.advance(3 * MS)
    host.all_put("CF plain", "a", "b", "c")
    assert tick_times(host, 20 * MS) == [4, 8, 12, 16, 20]


@every_kernel
def test_the_grid_has_a_phase_and_an_interval(kernel: str) -> None:
    host = stage(kernel, counters=2)
    assert host.do(SetMuxInterval(3 * MS, phase=MS // 2)) == ""
    host.all_put("CF plain", "a", "b", "c")
    assert tick_times(host, 10 * MS) == [0.5, 3.5, 6.5, 9.5]


@every_kernel
def test_one_long_advance_is_many_ticks(kernel: str) -> None:
    long, short = crowded(kernel), crowded(kernel)
    long.advance(401 * MS)
    for _ in range(401):
        short.advance(MS)
    assert [long.times(n) for n in "abc"] == [short.times(n) for n in "abc"]
    assert long.order() == short.order()


@every_kernel
def test_a_timer_that_runs_is_restarted_with_its_new_interval(kernel: str) -> None:
    host = crowded(kernel)
    host.advance(5 * MS)
    assert host.do(SetMuxInterval(10 * MS)) == ""
    assert tick_times(host, 45 * MS) == [10, 20, 30, 40]


def test_intervals_are_per_cpu() -> None:
    host = crowded(cpus=2)
    assert host.do(SetMuxInterval(8 * MS, cpu=1)) == ""
    host.advance(8 * MS)
    assert (host.order(), [e.name for e in host.perf.kernel.cpus[1].ctx.flexible]) == ("c a b", ["b1", "c1", "a1"])
    assert host.perf.kernel.mux_interval == [4 * MS, 8 * MS]


def test_the_phase_of_one_cpu_is_not_anothers() -> None:
    host = crowded(cpus=2)
    assert host.do(SetMuxInterval(8 * MS, cpu=1, phase=MS)) == ""
    assert tick_times(host, 14 * MS) == [1, 4, 8, 9, 12]


@cases("ns", [-1, 0, 1, MS - 1])
def test_less_than_a_millisecond_is_einval_and_changes_nothing(ns: int) -> None:
    host = crowded()
    before = picture(host)
    assert host.do(SetMuxInterval(ns, phase=5)) == "EINVAL"
    assert picture(host) == before
    assert host.do(SetMuxInterval(MS)) == ""


def test_the_timers_of_two_cpus_fire_in_the_order_of_time() -> None:
    host = crowded(cpus=2)
    host.do(SetMuxInterval(3 * MS, cpu=1))
    host.run("w", 1)
    for cpu, vcpu in enumerate("vw"):
        host.request(Enter(vcpu, cpu, Controls(0, True), []))
    host.news()
    host.advance(12 * MS)
    assert [(r.time, r.cpu) for r in host.news() if isinstance(r, VmExit)] == [(3 * MS, 1), (4 * MS, 0)]


def test_a_new_interval_starts_no_timer() -> None:
    host = crowded(events=2)
    assert host.do(SetMuxInterval(8 * MS)) == ""
    assert host.perf.kernel.cpus[0].tick_at == -1


# When it runs ----------------------------------------------------------------------------------------------


@every_kernel
def test_the_timer_runs_only_while_somebody_waits(kernel: str) -> None:
    host = crowded(kernel, events=2)
    assert host.perf.kernel.cpus[0].tick_at == -1
    host.put("c", "CF plain")
    assert host.perf.kernel.cpus[0].tick_at == 4 * MS
    host.close("c")
    host.tick(2)
    assert host.perf.kernel.cpus[0].tick_at == -1
    assert host.order() in ("a b", "b a")


@every_kernel
def test_the_timer_stops_when_the_last_event_is_gone(kernel: str) -> None:
    host = crowded(kernel)
    for name in "cab":
        host.close(name)
    host.tick(3)
    if kernel != "v5.3":
        assert host.perf.kernel.cpus[0].tick_at == -1


@every_kernel
def test_pinned_failures_start_no_timer(kernel: str) -> None:
    host = stage(kernel, counters=1)
    host.all_put("CP plain", "p", "q")
    assert host.now() == "A ERR"
    assert host.perf.kernel.cpus[0].tick_at == -1


@every_kernel
def test_freed_counters_are_used_from_the_next_tick(kernel: str) -> None:
    host = stage(kernel, counters=1)
    host.put("p", "CP plain")
    host.put("a", "CF plain")
    host.close("p")
    assert host.now() == "I"
    host.tick()
    if kernel == "v5.3":
        assert host.now() == "I", "nobody is on, so nobody rotates"
    else:
        assert host.now() == "A"


# Other effects of a tick -----------------------------------------------------------------------------------


def in_guest_mode() -> Stage:
    host = crowded()
    assert isinstance(host.request(Enter("v", 0, Controls(0, True), [])), Ran)
    assert host.machine.cpus[0].guest == "v"
    host.news()
    return host


def test_a_tick_forces_a_guest_out() -> None:
    host = in_guest_mode()
    host.tick()
    (forced,) = [r for r in host.news() if isinstance(r, VmExit)]
    assert forced.time == 4 * MS
    assert host.machine.cpus[0].guest == ""


def test_the_last_tick_that_finds_nobody_waiting_is_an_interrupt_too() -> None:
    host = in_guest_mode()
    host.tick()
    host.close("c")
    host.tick()
    assert isinstance(host.request(Enter("v", 0, Controls(0, True), [])), Ran)
    assert host.perf.kernel.cpus[0].tick_at >= 0
    host.tick()
    assert host.perf.kernel.cpus[0].tick_at == -1
    assert host.machine.cpus[0].guest == ""


def test_a_guest_on_another_cpu_stays() -> None:
    host = crowded(cpus=2)
    for name in ("a1", "b1", "c1"):
        host.close(name)
    host.tick(2)
    host.do(RunTask("w", 1))
    assert isinstance(host.request(Enter("w", 1, Controls(0, True), [])), Ran)
    host.tick(2)
    assert host.machine.cpus[1].guest == "w"
