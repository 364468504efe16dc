"""Groups that lose their leader, and the traces of a transaction that is rolled back (facts/perf 1.10, 2.7)."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import LosingAdd
from tests.cases import cases
from tests.designs import MERGED
from tests.perfcore_svc.perf.notation import Stage, every_kernel, group, stage

# Closing a leader ------------------------------------------------------------------------------------------


@every_kernel
@cases("event_class", ["CP", "TP", "CF", "TF"])
def test_the_siblings_of_a_closed_leader_stay_on_as_flexible_leaders(kernel: str, event_class: str) -> None:
    host = stage(kernel)
    group(host, f"{event_class} plain", "L", "M", "N")
    host.close("L")
    assert host.now() == "A A"
    ctx = host.perf.kernel.context_of(host.perf.named["M"])
    assert [e.name for e in ctx.flexible] == [e.name for e in ctx.flexible_active] == ["M", "N"]
    assert (ctx.pinned, ctx.pinned_active) == ([], [])
    assert all(e.leader is e and not e.pinned for e in ctx.flexible)


@every_kernel
def test_former_members_of_a_pinned_leader_are_pushed_aside_without_error(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CP plain", "L", "M", "N")
    host.close("L")
    host.all_put("TP plain", "p", "q", "r")
    assert host.now() == "A I A A A"
    host.put("s", "CP plain")
    assert host.now() == "I I A A A A"


@every_kernel
def test_members_of_a_leader_closed_while_off_start_only_with_the_next_pass(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M", disabled=True)
    host.close("L")
    assert host.now() == "I"
    assert host.ticks(3) == [""] * 3
    host.put("x", "CF plain")
    assert host.now() == "A A"


@every_kernel
def test_members_of_a_leader_closed_in_error_start_only_with_the_next_pass(kernel: str) -> None:
    host = stage(kernel)
    host.all_put("CP plain", "a", "b", "c")
    group(host, "CP plain", "L", "M")
    host.close("c")
    host.close("L")
    assert host.now("a b M") == "A A I"
    host.put("x", "TF plain")
    assert host.now("a b M") == "A A I", "that was a pass over the task's list only"
    host.put("y", "CF plain")
    assert host.now("a b M x y") == "A A A I A"


@every_kernel
def test_closed_members_leave_the_leader_alone_in_its_place(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M")
    host.put("x", "CF plain")
    host.close("M")
    assert host.now() == "A A"
    assert host.perf.named["L"].siblings == []
    assert host.order() == "L x"


# The LBR hooks of a transaction that is rolled back (facts/perf 2.7) --------------------------------------------------


def losing_group(losing_add: LosingAdd) -> Stage:
    host = stage(design=replace(MERGED, losing_add=losing_add))
    host.put("P", "CP any")
    host.retire(2, "jmp")
    group(host, "CP call", "L", "M", disabled=True)
    host.enable("L")
    assert host.now() == "A ERR I"
    return host


@cases(("losing_add", "left"), [(LosingAdd.LEAVES_FILTER, 0), (LosingAdd.UNDONE, 2)])
def test_a_group_that_is_rolled_back_leaves_its_software_filter(losing_add: LosingAdd, left: int) -> None:
    host = losing_group(losing_add)
    assert len([ip for ip in host.sample("P").from_ip if ip]) == left


def test_a_group_that_is_rolled_back_takes_no_counts() -> None:
    pc = losing_group(LosingAdd.LEAVES_FILTER).perf.kernel.cpus[0]
    assert (pc.lbr_users, pc.host_users, pc.slot_users, pc.active_oncpu) == (1, 1, 1, 1)


def test_a_group_that_is_rolled_back_for_want_of_counters_may_reset_the_ring() -> None:
    host = stage(counters=3)
    host.all_put("CP plain", "a", "b")
    host.machine.cpus[0].lbr.from_ip[:] = [1, 2, 3, 4]
    host.put("L", "CF plain", disabled=True)
    host.put("M", "CF any", group="L")
    host.put("N", "CF plain", group="L")
    host.enable("L")
    assert host.now("L M N") == "I I I"
    assert host.machine.cpus[0].lbr.from_ip == [0] * 4
    assert host.perf.kernel.cpus[0].lbr_users == 0


def test_a_rolled_back_attempt_costs_no_running_time() -> None:
    host = stage()
    host.put("P", "CP any")
    group(host, "CF call", "L", "M")
    host.tick(5)
    assert host.times("L") == host.times("M") == (20_000_000, 0)
    assert not host.perf.named["L"].ran
