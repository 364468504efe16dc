"""Worked examples (facts/perf 5.1): rotation, filters, groups (E5, E6, E7, E8, E12, E23, E25)."""

from __future__ import annotations

from tests.perfcore_svc.perf.notation import Stage, every_kernel, new_kernels, old_kernel, stage


def e5(kernel: str) -> Stage:
    host = stage(kernel)
    host.put("C", "CF any")
    host.put("T", "TF call")
    assert host.now("C T") == "A I"
    host.put("T2", "TF plain")
    assert host.now("C T T2") == "A I I"
    return host


@old_kernel
def test_E5_v53_ticks_change_nothing(kernel: str) -> None:
    assert e5(kernel).ticks(6) == ["C"] * 6


@new_kernels
def test_E5_new_the_conflicting_task_event_never_runs(kernel: str) -> None:
    assert e5(kernel).ticks(6) == ["C T2", "C"] * 3


@every_kernel
def test_E6_who_stands_behind_a_failure_waits_too(kernel: str) -> None:
    host = stage(kernel)
    host.put("C1", "CF any")
    host.put("C2", "CF call")
    host.put("D", "CF plain")
    assert host.now("C1 C2 D") == "A I I"
    assert host.ticks(6) == ["C2 D", "C1 D", "C1"] * 2
    start = {name: host.times(name)[1] for name in ("C1", "C2", "D")}
    host.tick(30)
    ran = {name: host.times(name)[1] - begun for name, begun in start.items()}
    assert ran == {"C1": 20 * 4_000_000, "C2": 10 * 4_000_000, "D": 20 * 4_000_000}


def e7(kernel: str) -> str:
    host = stage(kernel, running="")
    host.put("P1", "TP any")
    host.put("P2", "TP call")
    host.put("P3", "TP plain")
    assert host.now("P1 P2 P3") == "I I I"
    host.run("v")
    return host.now("P1 P2 P3")


@old_kernel
def test_E7_v53_a_failed_pinned_event_fails_alone(kernel: str) -> None:
    assert e7(kernel) == "A ERR A"


@new_kernels
def test_E7_new_a_failed_pinned_event_takes_the_rest_along(kernel: str) -> None:
    assert e7(kernel) == "A ERR ERR"


@every_kernel
def test_E8_a_group_is_all_or_nothing(kernel: str) -> None:
    host = stage(kernel)
    host.put("A", "CF any")
    host.put("G", "CF plain")
    host.put("S", "CF call", group="G")
    assert host.now("A G S") == "A I I"
    assert host.ticks(4) == ["G S", "A"] * 2


@every_kernel
def test_E12_one_counter(kernel: str) -> None:
    host = stage(kernel, counters=1)
    host.put("F", "CF plain")
    assert host.now() == "A"
    host.put("Q", "TP plain")
    assert host.now("F Q") == "I A"
    host.put("R", "CP plain")
    assert host.now("F Q R") == "I ERR A"


@every_kernel
def test_E23_six_on_four_counters(kernel: str) -> None:
    host = stage(kernel)
    host.all_put("CF plain", *"012345")
    assert host.on() == "0 1 2 3"
    sets = [on.replace(" ", "") for on in host.ticks(12)]
    assert sets == ["1234", "2345", "0345", "0145", "0125", "0123"] * 2
    shares = [running / enabled for enabled, running in map(host.times, "012345")]
    assert shares == [4 / 6] * 6


@every_kernel
def test_E25_task_flexible_take_turns_on_what_is_left(kernel: str) -> None:
    host = stage(kernel, counters=3)
    host.all_put("CF plain", "C1", "C2")
    host.all_put("TF plain", "T1", "T2", "T3")
    assert host.on() == "C1 C2 T1"
    assert host.ticks(6) == ["C1 C2 T2", "C1 C2 T3", "C1 C2 T1"] * 2
