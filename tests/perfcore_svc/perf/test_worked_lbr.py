"""Worked examples (facts/perf 5.1): the LBR's contents across task switches (E13, E14, E15, E28)."""

from __future__ import annotations

from contract.trace import LbrReset, LbrRestore, LbrSave
from tests.cases import cases
from tests.perfcore_svc.perf.notation import Stage, every_kernel, new_kernels, stage


def steps(host: Stage) -> str:
    """The changes of the ring since the last call."""
    words = {LbrReset: "reset", LbrSave: "save", LbrRestore: "restore"}
    return " ".join(words[type(r)] for r in host.news() if type(r) in words)


def ring(host: Stage) -> list[int]:
    silicon = host.machine.cpus[0].lbr
    return [silicon.from_ip[i] for i in silicon.newest_first() if silicon.from_ip[i]]


@every_kernel
def test_E13_two_tasks_with_call_stacks(kernel: str) -> None:
    host = stage(kernel, running="t")
    host.put("B", "TP stk", task="u")
    host.put("A", "TP stk", task="t")
    assert steps(host) == "reset"
    host.retire(2, "call")
    a = ring(host)
    host.run("u")
    assert steps(host) == "save reset reset"
    host.retire(3, "call")
    host.run("t")
    assert steps(host) == "save restore"
    assert ring(host) == a
    host.run("")
    assert steps(host) == "save"
    host.run("t")
    assert steps(host) == "", "the fast path"
    assert ring(host) == a


@every_kernel
def test_E14_a_task_event_without_call_stack_resets_at_switch_in(kernel: str) -> None:
    host = stage(kernel)
    host.put("P", "TP any")
    host.news()
    for _ in range(2):
        host.retire(2)
        host.run("")
        assert steps(host) == ""
        host.run("v")
        assert steps(host) == "reset"


@every_kernel
@cases("event_class", ["CP", "CF"])
def test_E15_a_cpu_wide_event_resets_at_every_switch(kernel: str, event_class: str) -> None:
    host = stage(kernel)
    host.put("P", f"{event_class} any")
    host.news()
    for task in ("u", "v", ""):
        host.retire(2)
        host.run(task)
        assert steps(host) == "reset"


@every_kernel
def test_E15_the_next_task_with_a_call_stack_event_is_restored_instead(kernel: str) -> None:
    host = stage(kernel)
    host.put("P", "CP stk")
    host.put("A", "TP stk")
    host.retire(2, "call")
    host.run("u")
    host.news()
    host.run("v")
    assert "restore" in steps(host)


@cases(
    ("kernel", "away", "back"), [("v5.3", "reset", "reset"), ("v5.12", "reset", "reset"), ("v6.16", "save", "restore")]
)
def test_E15_cpu_wide_call_stacks_are_reset_before_v6_15(kernel: str, away: str, back: str) -> None:
    host = stage(kernel)
    host.put("P", "CP stk")
    host.run("u")
    host.run("v")
    host.retire(2, "call")
    of_v = ring(host)
    host.news()
    host.run("u")
    assert steps(host).split()[0] == away
    host.retire(1, "call")
    host.run("v")
    assert steps(host).split()[-1] == back
    assert (ring(host) == of_v) == (back == "restore")


@new_kernels
def test_E28_save_stops_at_a_zero_and_restore_is_an_exact_copy(kernel: str) -> None:
    host = stage(kernel)
    host.put("A", "TP stk")
    silicon = host.machine.cpus[0].lbr
    silicon.tos, silicon.from_ip = 1, [10, 11, 0, 13]
    host.news()
    host.run("u")
    (saved,) = [r for r in host.news() if isinstance(r, LbrSave)]
    assert saved.valid == 3
    context = host.perf.kernel.tasks["v"].lbr
    assert context is not None
    assert context.from_ip == [11, 10, 13]
    host.put("B", "TP stk", task="u")
    silicon.from_ip, silicon.tos = [7, 7, 7, 7], 3
    host.run("v")
    assert (silicon.from_ip, silicon.tos) == ([10, 11, 0, 13], 1)
