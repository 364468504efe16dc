"""Worked examples (facts/perf 5.1): class precedence and the guest's event, of v8 (E1, E2, E4, E11, E21) and as
merged (E20), and opens that fail (E17, E18, E27)."""

from __future__ import annotations

from contract.control import Mediate
from tests.designs import MERGED, V8
from tests.perfcore_svc.perf.notation import Stage, every_kernel, new_kernels, old_kernel, stage


def v8(kernel: str) -> Stage:
    host = stage(kernel, design=V8)
    host.guest()
    assert host.now() == "A"
    return host


@every_kernel
def test_E1_cpu_pinned_evicts_the_guest_until_it_is_enabled(kernel: str) -> None:
    host = v8(kernel)
    host.put("P", "CP any")
    assert host.now("V P") == "ERR A"
    host.close("P")
    assert host.now("V") == "ERR"
    host.run("")
    host.run("v")
    assert host.now("V") == "ERR"
    host.enable("vlbr:v")
    assert host.now("V") == "A"


def e2(kernel: str) -> Stage:
    host = v8(kernel)
    host.put("F", "CF any")
    assert host.now("V F") == "A I"
    assert host.perf.kernel.cpus[0].ctx.rotate_necessary
    host.put("D", "CF plain")
    assert host.now("V F D") == "A I I"
    return host


@old_kernel
def test_E2_v53_a_stuck_head_starves_who_stands_behind_it(kernel: str) -> None:
    host = e2(kernel)
    assert host.ticks(5) == ["V"] * 5
    host.run("")
    assert host.now("V F D") == "I I I"
    assert host.ticks(5) == [""] * 5
    host.put("new", "CF plain")
    assert host.now("V F D new") == "I A A A"


@old_kernel
def test_E2_v53_a_task_with_pinned_events_frees_the_starving(kernel: str) -> None:
    host = e2(kernel)
    host.put("Q", "TP plain", task="u")
    host.run("u")
    assert host.now("V F D Q") == "I A A A"


@new_kernels
def test_E2_new_a_stuck_head_goes_to_the_tail(kernel: str) -> None:
    host = e2(kernel)
    host.tick()
    assert host.now("V F D") == "A I A"
    host.tick()
    assert host.now("V F D") == "A I I"
    host.run("")
    assert host.now("V F D") == "I I I"
    host.tick()
    assert host.now("V F D") == "I A A"
    assert host.order() == "D F"
    host.run("v")
    assert host.now("V F D") == "A I A"


@new_kernels
def test_E2_new_with_F_before_D_both_wait(kernel: str) -> None:
    host = e2(kernel)
    host.tick()
    host.run("")
    host.tick()
    assert host.now("V F D") == "I A A"
    assert host.order() == "F D"
    host.run("v")
    assert host.now("V F D") == "A I I"


@every_kernel
def test_E4_creation_beside_cpu_pinned_succeeds_and_ends_in_error(kernel: str) -> None:
    host = stage(kernel, design=V8)
    host.put("P", "CP any")
    host.guest()
    assert host.now("V P") == "ERR A"


@every_kernel
def test_E21_a_guest_that_is_off_fails_at_its_next_walk(kernel: str) -> None:
    host = v8(kernel)
    host.run("")
    assert host.now("V") == "I"
    host.put("P", "CP any")
    assert host.now("V P") == "I A"
    host.run("v")
    assert host.now("V P") == "ERR A"


@every_kernel
def test_E11_the_guest_needs_no_counter(kernel: str) -> None:
    host = stage(kernel, design=V8)
    host.all_put("CP plain", "C1", "C2", "C3", "C4")
    host.guest()
    host.put("H", "TP any")
    assert host.now("C1 C2 C3 C4 V H") == "A A A A A ERR"


@every_kernel
def test_E20_the_merged_event_conflicts_with_nobody_and_shuts_the_host_out(kernel: str) -> None:
    host = stage(kernel, design=MERGED)
    host.guest()
    host.put("P", "CP any")
    host.put("F", "CF any")
    host.put("G", "CF call")
    assert host.now("V P F G") == "A A A I"
    host.retire(3)
    for name in ("P", "F"):
        sample = host.sample(name)
        assert sample.sampled
        assert not any(sample.from_ip)
    assert host.ticks(4, "V P") == ["V P"] * 4


@every_kernel
def test_E17_one_group_has_one_filter(kernel: str) -> None:
    host = stage(kernel)
    host.put("L", "CF any")
    assert host.try_put("S", "CF call", group="L") == "EINVAL"
    assert host.try_put("S", "CF any", group="L") == ""


@every_kernel
def test_E27_a_sibling_cannot_be_pinned(kernel: str) -> None:
    host = stage(kernel)
    host.put("L", "CP plain")
    assert host.open("S", pinned=True, group="L") == "EINVAL"


@new_kernels
def test_E18_a_mediated_vpmu_and_events_that_count_guests_shut_each_other_out(kernel: str) -> None:
    host = stage(kernel)
    host.put("stat", "CF plain")
    assert host.do(Mediate(True)) == "EBUSY"
    host.close("stat")
    assert host.do(Mediate(True)) == ""
    assert host.try_put("stat", "CF plain") == "EOPNOTSUPP"
    host.put("host-only", "CF plain", exclude_guest=True)
    assert host.do(Mediate(True)) == "", "no check for the second"
    assert host.do(Mediate(False)) == ""
    assert host.try_put("stat", "CF plain") == "EOPNOTSUPP"
    assert host.do(Mediate(False)) == ""
    host.put("stat", "CF plain")
