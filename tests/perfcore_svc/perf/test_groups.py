"""Groups: all on or none (facts/perf 1.8), members off, closed and enabled one by one (facts/perf 1.10)."""

from __future__ import annotations

from contract.control import Disable, Enable
from tests.cases import cases
from tests.perfcore_svc.perf.notation import Stage, every_kernel, group, new_kernels, stage

# All or nothing --------------------------------------------------------------------------------------------


@every_kernel
@cases("event_class", ["CP", "TP", "CF", "TF"])
@cases("others", [2, 3])
def test_a_group_fits_as_a_whole_or_not_at_all(kernel: str, event_class: str, others: int) -> None:
    host = stage(kernel)
    host.all_put("CP plain", *"abc"[:others])
    group(host, f"{event_class} plain", "L", "M", disabled=True)
    host.enable("L")
    loses = "ERR I" if event_class[1] == "P" else "I I"
    assert host.now("L M") == ("A A" if others == 2 else loses)
    assert host.perf.kernel.cpus[0].active_oncpu == (4 if others == 2 else 3)


@every_kernel
def test_a_member_that_is_off_takes_no_place(kernel: str) -> None:
    host = stage(kernel)
    host.all_put("CP plain", "a", "b", "c")
    host.put("L", "CF plain")
    host.put("M", "CF plain", group="L", disabled=True)
    assert host.now("L M") == "A OFF"


@every_kernel
def test_siblings_wait_while_their_leader_is_off(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M", disabled=True)
    assert host.now() == "OFF I"
    host.enable("L")
    assert host.now() == "A A"


@every_kernel
def test_siblings_of_a_leader_in_error_wait(kernel: str) -> None:
    host = stage(kernel)
    host.all_put("CP plain", "a", "b", "c")
    group(host, "TP plain", "L", "M")
    assert host.now("L M") == "ERR I"
    host.disable("M")
    assert host.now("L M") == "ERR OFF"
    host.enable("M")
    assert host.now("L M") == "ERR I", "enabling a member does not revive the leader"


# Members one by one ----------------------------------------------------------------------------------------


@every_kernel
@cases("how", ["disable", "close"])
def test_a_member_less_lets_the_group_fit_at_the_next_tick(kernel: str, how: str) -> None:
    host = stage(kernel)
    host.put("a", "CP plain")
    group(host, "CF plain", "L", "M", "N", "O")
    assert host.now("L M N O") == "I I I I"
    (host.disable if how == "disable" else host.close)("O")
    assert host.now("L M N") == "I I I", "not at once"
    host.tick()
    if kernel == "v5.3":
        assert host.now("L M N") == "I I I", "nobody is active, so v5.3 rotates nobody"
    else:
        assert host.now("L M N") == "A A A"


@every_kernel
def test_enabling_a_member_of_a_running_group_can_stop_all_of_it(kernel: str) -> None:
    host = stage(kernel)
    host.put("a", "CP plain")
    group(host, "CF plain", "L", "M", "N")
    host.put("O", "CF plain", group="L", disabled=True)
    assert host.now("L M N O") == "A A A OFF"
    host.enable("O")
    assert host.now("L M N O") == "I I I I"


@every_kernel
def test_disabling_a_member_leaves_the_others_on(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M", "N")
    host.disable("M")
    assert host.now() == "A OFF A"
    host.enable("M")
    assert host.now() == "A A A"


@every_kernel
def test_disabling_the_leader_takes_all_off_and_turns_only_itself_off(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M")
    host.disable("L")
    assert host.now() == "OFF I"
    assert host.perf.kernel.cpus[0].ctx.flexible_active == []
    host.enable("L")
    assert host.now() == "A A"


@every_kernel
def test_the_group_flag_means_every_member(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M")
    host.do(Disable("L", group=True))
    assert host.now() == "OFF OFF"
    host.do(Enable("L", group=True))
    assert host.now() == "A A"


@every_kernel
def test_the_group_flag_on_a_member_means_its_group(kernel: str) -> None:
    """``perf_event_for_each`` begins at the leader."""
    host = stage(kernel)
    group(host, "CF plain", "L", "M", "N")
    host.do(Disable("M", group=True))
    assert host.now() == "OFF OFF OFF"


@new_kernels
def test_a_member_opened_off_disturbs_nobody(kernel: str) -> None:
    host = stage(kernel)
    group(host, "CF plain", "L", "M")
    host.perf.named["L"].ran = False
    host.put("N", "CF plain", group="L", disabled=True)
    assert not host.perf.named["L"].ran
    assert host.now() == "A A OFF"


@every_kernel
def test_a_member_has_the_class_of_its_leader(kernel: str) -> None:
    """Installing a pinned leader's sibling reschedules pinned events, so it can send others to ERROR."""
    host = stage(kernel)
    host.put("L", "CP plain")
    host.all_put("TP plain", "q", "r", "s")
    assert host.now() == "A A A A"
    host.put("M", "CP plain", group="L")
    assert host.now("L M q r s") == "A A A A ERR"


# Passes that do not happen ---------------------------------------------------------------------------------


def freed(kernel: str) -> Stage:
    """An LBR that is free again, with a group waiting for it."""
    host = stage(kernel, cpus=2)
    host.put("a", "CF any")
    host.put("L", "CF call")
    host.put("M", "CF call", group="L", disabled=True)
    host.close("a")
    assert host.now() == "I OFF"
    return host


@every_kernel
def test_enabling_a_member_whose_leader_waits_reschedules_nobody(kernel: str) -> None:
    host = freed(kernel)
    host.enable("M")
    assert host.now() == "I I"


@every_kernel
def test_enabling_what_is_bound_to_another_cpu_reschedules_nobody(kernel: str) -> None:
    host = stage(kernel, cpus=2)
    host.open("b", task="v", cpu=1, disabled=True)
    host.put("a", "TF any")
    host.put("f", "TF call")
    host.close("a")
    assert host.now("f") == "I"
    host.enable("b")
    assert host.now("f") == "I"


@every_kernel
def test_a_member_opened_under_a_leader_that_is_off_reschedules_nobody_since_v5_5(kernel: str) -> None:
    host = freed(kernel)
    host.put("off", "CF plain", disabled=True)
    if kernel == "v5.3":
        assert host.now("L") == "A"
        return
    host.put("m", "CF plain", group="off")
    assert host.now("L off m") == "I OFF I"


@every_kernel
def test_a_member_opened_under_a_leader_in_error_does(kernel: str) -> None:
    host = stage(kernel)
    host.put("p", "CP any")
    host.put("q", "CP call")
    host.put("f", "CF call")
    host.close("p")
    assert host.now() == "ERR I"
    host.put("m", "CP plain", group="q")
    assert host.now() == "ERR A I"
