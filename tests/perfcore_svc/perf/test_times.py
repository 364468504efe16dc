"""Enabled and running time (facts/perf 1.13), of CPU events and of task events, alone and in groups."""

from __future__ import annotations

from tests.perfcore_svc.perf.notation import every_kernel, stage

MS = 1_000_000


@every_kernel
def test_an_event_that_is_on_is_enabled_and_running(kernel: str) -> None:
    host = stage(kernel)
    host.advance(7)
    host.put("c", "CF plain")
    host.put("t", "TP plain")
    host.advance(5 * MS)
    assert host.times("c") == host.times("t") == (5 * MS, 5 * MS)


@every_kernel
def test_a_waiting_event_is_enabled_only(kernel: str) -> None:
    host = stage(kernel, counters=1)
    host.put("p", "CP plain")
    host.put("f", "CF plain")
    host.advance(3 * MS)
    assert host.times("f") == (3 * MS, 0)


@every_kernel
def test_off_counts_neither(kernel: str) -> None:
    host = stage(kernel)
    host.put("c", "CF plain", disabled=True)
    host.put("other", "CF plain")
    host.advance(MS)
    assert host.times("c") == (0, 0)
    host.enable("c")
    host.advance(2 * MS)
    host.disable("c")
    host.advance(4 * MS)
    assert host.times("c") == (2 * MS, 2 * MS)
    host.enable("c")
    host.advance(8 * MS)
    assert host.times("c") == (10 * MS, 10 * MS)


@every_kernel
def test_error_counts_neither(kernel: str) -> None:
    host = stage(kernel, counters=1)
    host.put("q", "TP plain")
    host.advance(MS)
    host.put("p", "CP plain")
    host.advance(2 * MS)
    assert host.read("q").errno == "EOF"
    host.close("p")
    host.enable("q")
    host.advance(4 * MS)
    assert host.times("q") == (5 * MS, 5 * MS)


@every_kernel
def test_a_cpus_clock_runs_whoever_is_there(kernel: str) -> None:
    host = stage(kernel)
    host.put("c", "CF plain")
    for task in ("", "u", "v"):
        host.run(task)
        host.advance(MS)
    assert host.times("c") == (3 * MS, 3 * MS)


@every_kernel
def test_a_tasks_clock_runs_only_while_it_is_on_a_cpu(kernel: str) -> None:
    host = stage(kernel, cpus=2)
    host.put("t", "TF plain")
    host.advance(MS)
    host.run("u")
    host.advance(2 * MS)
    assert host.times("t") == (MS, MS)
    host.run("v", 1)
    host.advance(4 * MS)
    assert host.times("t") == (5 * MS, 5 * MS)


@every_kernel
def test_an_event_of_an_absent_task_begins_at_switch_in(kernel: str) -> None:
    host = stage(kernel)
    host.put("t", "TF plain", task="u")
    host.advance(MS)
    assert host.times("t") == (0, 0)
    host.run("u")
    host.advance(2 * MS)
    assert host.times("t") == (2 * MS, 2 * MS)


@every_kernel
def test_an_event_bound_to_another_cpu_is_enabled_while_its_task_runs_elsewhere(kernel: str) -> None:
    host = stage(kernel, cpus=2)
    host.open("b", task="v", cpu=1)
    host.advance(MS)
    host.run("v", 1)
    host.advance(2 * MS)
    assert host.times("b") == (3 * MS, 2 * MS)


@every_kernel
def test_a_member_counts_as_off_while_its_leader_is(kernel: str) -> None:
    host = stage(kernel)
    host.put("L", "CF plain")
    host.put("M", "CF plain", group="L")
    host.advance(MS)
    host.disable("L")
    host.advance(2 * MS)
    assert host.times("M") == (MS, MS)
    host.enable("L")
    host.advance(4 * MS)
    assert host.times("M") == (5 * MS, 5 * MS)


@every_kernel
def test_a_member_counts_as_failed_while_its_leader_is(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.put("L", "TP plain")
    host.put("M", "TP plain", group="L")
    host.advance(MS)
    host.put("p", "CP plain")
    host.advance(2 * MS)
    assert host.now("L M") == "ERR I"
    assert host.times("M") == (MS, MS)


@every_kernel
def test_a_member_opened_under_a_leader_that_is_off_has_no_time(kernel: str) -> None:
    host = stage(kernel)
    host.put("L", "CF plain", disabled=True)
    host.advance(MS)
    host.put("M", "CF plain", group="L")
    host.advance(2 * MS)
    assert host.times("M") == (0, 0)
    host.close("L")
    host.advance(4 * MS)
    assert host.times("M") == (4 * MS, 0), "on its own it waits"


@every_kernel
def test_a_member_nobody_reads_has_the_same_times(kernel: str) -> None:
    """Clocks are brought up to date as the leader goes off, comes back and is closed, not only by reading."""
    host = stage(kernel)
    host.put("L", "CF plain")
    host.put("M", "CF plain", group="L")
    host.advance(MS)
    host.disable("L")
    host.advance(2 * MS)
    host.enable("L")
    host.advance(4 * MS)
    host.disable("L")
    host.advance(8 * MS)
    host.close("L")
    host.advance(16 * MS)
    assert host.times("M") == (21 * MS, 5 * MS)


@every_kernel
def test_a_member_that_is_off_has_no_time_though_its_leader_runs(kernel: str) -> None:
    host = stage(kernel)
    host.put("L", "CF plain")
    host.put("M", "CF plain", group="L", disabled=True)
    host.advance(MS)
    assert (host.times("L"), host.times("M")) == ((MS, MS), (0, 0))


@every_kernel
def test_a_detached_member_goes_on_where_it_was(kernel: str) -> None:
    host = stage(kernel)
    host.put("L", "CP plain")
    host.put("M", "CP plain", group="L")
    host.advance(MS)
    host.close("L")
    host.advance(2 * MS)
    assert host.times("M") == (3 * MS, 3 * MS)


@every_kernel
def test_a_reschedule_costs_no_time(kernel: str) -> None:
    host = stage(kernel)
    host.put("c", "CF plain")
    for n in range(3):
        host.advance(MS)
        host.put(f"p{n}", "CP plain")
    assert host.times("c") == (3 * MS, 3 * MS)


@every_kernel
def test_a_context_that_was_empty_starts_its_events_from_zero(kernel: str) -> None:
    host = stage(kernel)
    host.put("a", "CF plain")
    host.advance(MS)
    host.close("a")
    host.advance(2 * MS)
    host.put("b", "CF plain")
    host.advance(4 * MS)
    assert host.times("b") == (4 * MS, 4 * MS)


@every_kernel
def test_reading_changes_nothing(kernel: str) -> None:
    often, once = (stage(kernel, counters=1) for _ in range(2))
    for host in (often, once):
        host.all_put("CF plain", "a", "b")
    for _ in range(40):
        often.advance(MS)
        often.read("a")
    once.advance(40 * MS)
    assert often.times("a") == once.times("a") == (40 * MS, 20 * MS)


@every_kernel
def test_shares_scale_counts_to_what_they_would_have_been(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.all_put("CF plain", "a", "b", "c")
    for _ in range(30):
        host.retire(100)
        host.advance(4 * MS)
    for name in "abc":
        counted = host.read(name)
        assert counted.count * counted.enabled // counted.running == 3000
