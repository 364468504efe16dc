"""Rotation (facts/perf 1.12): what a tick moves."""

from __future__ import annotations

from tests.cases import cases
from tests.perfcore_svc.perf.notation import Stage, crowded, every_kernel, new_kernels, old_kernel, stage

MS = 1_000_000


@every_kernel
@cases("count", [7, 9, 12, 14])
def test_k_singles_on_six_counters_get_equal_shares(kernel: str, count: int) -> None:
    host = stage(kernel, counters=6)
    names = [f"e{n:02}" for n in range(count)]
    host.all_put("CF plain", *names)
    host.tick(count)
    assert {host.times(name)[1] for name in names} == {6 * 4 * MS}


def group(host: Stage, what: str, leader: str, size: int) -> None:
    host.put(leader, what, disabled=True)
    host.all_put(what, *(f"{leader}{n}" for n in range(1, size)), group=leader)
    host.enable(leader)


@every_kernel
def test_each_context_that_has_somebody_waiting_moves_one_on_the_same_tick(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "a", 3)
    group(host, "CF plain", "b", 3)
    host.all_put("TF plain", "t", "u", "w")
    assert host.on("a b t u w") == "a t"
    assert host.ticks(6, "a b t u w") == ["b u", "a w", "b t", "a u", "b w", "a t"]


@new_kernels
def test_two_lists_can_stay_in_lock_step(kernel: str) -> None:
    """Groups of 6 and 2 over groups of 5 and 2 (``c-mix-cf6-cf2-tf5-tf2``): who of the lower class runs depends on the
    parity of the orders alone."""

    def runs(order: tuple[int, int]) -> list[str]:
        host = stage(kernel, counters=6)
        group(host, "CF plain", "six", 6)
        group(host, "CF plain", "two", 2)
        for size in order:
            group(host, "TF plain", {5: "five", 2: "pair"}[size], size)
        return host.ticks(6, "six two five pair")

    assert runs((5, 2)) == ["two pair", "six"] * 3
    assert runs((2, 5)) == ["two", "six"] * 3


@new_kernels
def test_a_tick_while_the_head_is_off_changes_the_cyclic_order(kernel: str) -> None:
    host = crowded(kernel)
    assert host.order() == "a b c"
    host.disable("a")
    host.put("d", "CF plain")
    assert host.order() == "a b c d"
    host.tick()
    assert host.order() == "a c d b", "the first that is on moves, not the head"


@old_kernel
def test_on_v5_3_nobody_moves_while_nobody_is_on(kernel: str) -> None:
    host = stage(kernel)
    host.put("P", "CP any")
    host.put("F", "CF call")
    host.put("D", "CF plain")
    assert host.ticks(5) == ["P"] * 5
    assert host.order() == "F D"
    assert host.perf.kernel.cpus[0].tick_at >= 0, "yet the timer goes on"


@new_kernels
def test_since_v5_5_the_head_moves_if_nobody_is_on(kernel: str) -> None:
    host = stage(kernel)
    host.put("P", "CP any")
    host.put("F", "CF call")
    host.put("D", "CF plain")
    assert host.ticks(4) == ["P D", "P"] * 2


@new_kernels
def test_of_a_task_that_has_nobody_on_an_unbound_group_moves_first(kernel: str) -> None:
    host = stage(kernel, counters=1)
    host.put("P", "CP plain")
    host.open("bound", task="v", cpu=0)
    host.open("free", task="v", cpu=-1)
    assert host.order("v") == "bound free"
    host.tick()
    assert host.order("v") == "bound free"
    host.open("free2", task="v", cpu=-1)
    host.tick()
    assert host.order("v") == "bound free2 free"


@every_kernel
def test_pinned_events_never_rotate(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.all_put("CP plain", "p", "q")
    host.all_put("CF plain", "a", "b")
    host.tick(3)
    assert host.on() == "p q"
    assert [e.name for e in host.perf.kernel.cpus[0].ctx.pinned] == ["p", "q"]


@every_kernel
def test_an_absent_task_is_not_rotated(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.all_put("TF plain", "a", "b", "c")
    assert host.ticks(1) == ["b c"]
    host.run("u")
    host.tick(3)
    host.run("v")
    assert host.on() == "b c"


@every_kernel
def test_when_only_the_task_waits_the_cpus_events_stay_where_they_are(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.put("a", "CF plain")
    host.all_put("TF plain", "t", "u")
    host.perf.named["a"].ran = False
    assert host.ticks(4) == ["a u", "a t"] * 2
    assert not host.perf.named["a"].ran


@every_kernel
def test_when_only_the_cpu_rotates_its_next_group_may_take_what_the_task_had(kernel: str) -> None:
    host = stage(kernel, counters=2)
    host.put("a", "CF any")
    group(host, "CF call", "b", 2)
    host.put("t", "TF plain")
    assert host.on() == "a t"
    assert host.ticks(4, "a b t") == ["b", "a t"] * 2


def test_rotation_hands_the_lbr_on() -> None:
    host = stage()
    host.put("a", "CF any")
    host.put("b", "CF call")
    assert host.machine.cpus[0].lbr.select == 0
    host.tick()
    assert host.on() == "b"
    assert host.machine.cpus[0].lbr.select == 0x1F4
    assert host.machine.cpus[0].debugctl & 1
