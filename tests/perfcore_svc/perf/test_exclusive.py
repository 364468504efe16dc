"""Exclusive groups (facts/perf 1.7): what keeps one off, and whom it keeps off, under both rules."""

from __future__ import annotations

from tests.cases import cases
from tests.perfcore_svc.perf.notation import every_kernel, new_kernels, old_kernel, stage

# Events opened in this order ("X" behind the class: exclusive), and their states since v5.11.
TABLE = {
    "tp_beside_cp": ("CP TPX", "A A"),
    "tp_beside_cp_other_order": ("TPX CP", "A A"),
    "tf_beside_two_cf": ("TFX CF CF", "A A A"),
    "cf_starves_tf": ("CFX TF TF", "A I I"),
    "cp_sends_tp_to_error": ("CPX CF TP TF", "A I ERR I"),
    "second_cp_beside_exclusive": ("CPX CP", "A ERR"),
    "exclusive_cp_beside_cp": ("CP CPX", "A ERR"),
    "second_tp_beside_exclusive": ("TPX TP", "A ERR"),
    "exclusive_tp_beside_tp": ("TP TPX", "A ERR"),
    "cf_behind_exclusive": ("CFX CF", "A I"),
    "exclusive_behind_cf": ("CF CFX", "A I"),
    "cf_beside_cp": ("CP CFX", "A A"),
    "nothing_after_it_in_any_class": ("CP TP CFX TF CF", "A A A I I"),
    "tp_keeps_flexible_off": ("CF TF TPX", "I I A"),
    "two_exclusive": ("CFX CFX", "A I"),
    "exclusive_of_both_contexts": ("TFX CFX", "I A"),
}


def opened(kernel: str, classes: str) -> str:
    host = stage(kernel, counters=6)
    for n, event_class in enumerate(classes.split()):
        host.put(f"e{n}", f"{event_class[:2]} plain", exclusive=event_class.endswith("X"))
    return host.now()


@new_kernels
@cases(("classes", "states"), TABLE.values(), ids=TABLE)
def test_an_exclusive_group_minds_only_its_own_list_before_it(kernel: str, classes: str, states: str) -> None:
    assert opened(kernel, classes) == states


OLD = TABLE | {
    "tp_beside_cp": ("CP TPX", "A ERR"),
    "tp_beside_cp_other_order": ("TPX CP", "ERR A"),
    "tf_beside_two_cf": ("TFX CF CF", "I A A"),
    "cf_beside_cp": ("CP CFX", "A I"),
    # The refused group leaves no mark, so `can_add_hw` stays set.
    "nothing_after_it_in_any_class": ("CP TP CFX TF CF", "A A I A A"),
}


@old_kernel
@cases(("classes", "states"), OLD.values(), ids=OLD)
def test_up_to_v5_10_any_event_that_is_on_keeps_it_off(kernel: str, classes: str, states: str) -> None:
    assert opened(kernel, classes) == states


@every_kernel
def test_the_flag_goes_with_the_exclusive_event(kernel: str) -> None:
    host = stage(kernel)
    host.put("X", "CF plain", exclusive=True)
    host.put("F", "CF plain")
    assert host.perf.kernel.cpus[0].exclusive
    host.close("X")
    assert not host.perf.kernel.cpus[0].exclusive
    assert host.now() == "I"
    host.put("G", "CF plain")
    assert host.now() == "A A"


@every_kernel
def test_a_group_is_exclusive_by_its_leader_and_its_members_go_with_it(kernel: str) -> None:
    host = stage(kernel)
    host.put("X", "CF plain", exclusive=True)
    host.put("M", "CF plain", group="X")
    host.put("F", "CF plain")
    assert host.now() == "A A I"
    host.disable("M")
    assert host.perf.kernel.cpus[0].exclusive, "a member is not exclusive itself"
    host.disable("X")
    assert not host.perf.kernel.cpus[0].exclusive


@every_kernel
def test_members_of_a_closed_exclusive_leader_are_ordinary(kernel: str) -> None:
    host = stage(kernel)
    host.put("X", "CF plain", exclusive=True)
    host.put("M", "CF plain", group="X")
    host.close("X")
    host.put("F", "CF plain")
    assert host.now() == "A A"


def test_exclusive_and_ordinary_take_turns_in_one_list() -> None:
    host = stage(counters=6)
    host.put("X", "CF plain", exclusive=True)
    host.all_put("CF plain", "a", "b", "c")
    assert host.on() == "X"
    assert host.ticks(8) == ["a b c", "b c", "c", "X"] * 2


def test_a_waiting_exclusive_group_shuts_the_door_since_v5_7_alone() -> None:
    def behind(kernel: str) -> str:
        host = stage(kernel)
        host.put("a", "CF plain")
        host.put("X", "CF plain", exclusive=True)
        host.put("b", "CF plain")
        return host.on()

    assert [behind(kernel) for kernel in ("v5.3", "v5.12", "v6.16")] == ["a b", "a", "a"]


@cases("event_class", ["CF", "TF"])
def test_on_v5_3_a_refused_exclusive_group_starves(event_class: str) -> None:
    host = stage("v5.3")
    host.put("a", f"{event_class} plain")
    host.put("X", f"{event_class} plain", exclusive=True)
    assert host.ticks(4) == ["a"] * 4
    assert host.perf.kernel.cpus[0].tick_at == -1, "nobody was marked as waiting"


@every_kernel
def test_a_shut_door_keeps_an_exclusive_group_off_though_nothing_is_on(kernel: str) -> None:
    host = stage(kernel, counters=1, pmu="armv8", fixed=0)
    host.put("L", "CF plain", disabled=True)
    host.put("M", "CF plain", group="L")
    host.put("X", "CF plain", exclusive=True, disabled=True)
    host.enable("L")
    assert host.now() == "I I OFF", "too large a group for this machine"
    host.enable("X")
    assert host.now() == "I I I"
