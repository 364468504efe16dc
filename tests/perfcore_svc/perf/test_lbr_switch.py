"""The effect of a task switch on the ring: save, restore, reset, and the fast path that does nothing."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import SaveSelect
from contract.trace import LbrReset, LbrRestore, LbrSave
from perfcore_svc.perf import lbr
from tests.cases import cases
from tests.designs import MERGED
from tests.perfcore_svc.hosts import Host, make_host


def ring(host: Host, cpu: int = 0) -> list[int]:
    """FROM, newest first, up to the first empty entry."""
    silicon = host.machine.cpus[cpu].lbr
    values = [silicon.from_ip[i] for i in silicon.newest_first()]
    return values[: values.index(0)] if 0 in values else values


def steps(host: Host) -> list[str]:
    """The changes of the ring since the last call, in order."""
    out = []
    for record in host.news():
        match record:
            case LbrReset():
                out.append("reset")
            case LbrSave():
                out.append(f"save {record.owner} {record.valid}")
            case LbrRestore():
                out.append(f"restore {record.owner}")
    return out


def two_tasks() -> Host:
    host = make_host(running="t")
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.open("B", "call_stack", task="u", pinned=True, privilege=["user"])
    return host


def test_a_fresh_event_on_an_idle_lbr_resets_the_ring() -> None:
    host = make_host()
    host.machine.cpus[0].lbr.from_ip[:] = [1, 2, 3, 4]
    host.open("P", "any")
    assert steps(host) == ["reset"]
    assert ring(host) == []


def test_call_stacks_follow_their_tasks() -> None:
    host = two_tasks()
    assert steps(host) == ["reset"]
    host.retire(2, "call")
    of_t = ring(host)
    assert len(of_t) == 2

    host.run("u")
    assert steps(host) == ["save t 2", "reset", "reset"], "B is fresh, and nothing is saved for u"
    host.retire(3, "call")
    of_u = ring(host)

    host.run("t")
    assert steps(host) == ["save u 3", "restore t"]
    assert ring(host) == of_t

    host.run("")
    assert steps(host) == ["save t 2"]
    assert ring(host) == of_t, "idle has no LBR user"
    writes = host.machine.operations["wrmsr"]
    host.run("t")
    assert steps(host) == [], "the registers still hold this task's stack"
    assert host.machine.operations["wrmsr"] == writes + 2, "LBR_SELECT and DEBUGCTL, no entry"
    host.run("u")
    assert steps(host) == ["save t 2", "restore u"]
    assert ring(host) == of_u


def test_a_restore_uses_up_what_was_saved() -> None:
    host = two_tasks()
    host.retire(2, "call")
    host.run("")
    host.run("t")
    context = host.perf.kernel.tasks["t"].lbr
    assert context is not None
    assert not context.valid


def test_the_fast_path_needs_an_entry_at_tos() -> None:
    host = two_tasks()
    host.retire(2, "call")
    host.run("")
    silicon = host.machine.cpus[0].lbr
    silicon.from_ip[silicon.tos] = 0
    host.news()
    host.run("t")
    assert steps(host) == ["restore t"]
    assert len(ring(host)) == 2


def test_the_fast_path_is_lost_by_a_reset() -> None:
    host = two_tasks()
    host.retire(2, "call")
    host.run("")
    host.open("P", "any", disabled=True)
    host.enable("P")
    host.disable("P")
    host.news()
    host.run("t")
    assert steps(host) == ["restore t"]


def test_a_stack_follows_its_task_to_another_cpu() -> None:
    host = make_host(cpus=2, running="t")
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.retire(3, "call")
    before = ring(host)
    host.run("t", 1)
    assert ring(host, 1) == before


def test_a_save_stops_at_the_first_hole() -> None:
    host = two_tasks()
    silicon = host.machine.cpus[0].lbr
    silicon.tos = 1
    silicon.from_ip, silicon.to_ip = [10, 11, 0, 13], [20, 21, 22, 23]
    host.run("u")
    saved = host.perf.kernel.tasks["t"].lbr
    assert saved is not None
    assert (saved.from_ip, saved.to_ip, saved.tos) == ([11, 10, 13], [21, 20, 23], 1)
    host.run("t")
    assert (silicon.from_ip, silicon.to_ip, silicon.tos) == ([10, 11, 0, 13], [20, 21, 0, 23], 1)


def test_entries_beyond_a_hole_are_lost() -> None:
    host = two_tasks()
    silicon = host.machine.cpus[0].lbr
    silicon.tos, silicon.from_ip = 3, [10, 0, 12, 13]
    host.run("u")
    host.run("t")
    assert silicon.from_ip == [0, 0, 12, 13]


def test_an_event_without_task_data_resets_at_every_switch_in() -> None:
    host = make_host(running="t")
    host.open("N", "any", task="t", pinned=True)
    host.retire(3)
    host.news()
    host.run("")
    assert steps(host) == []
    host.run("t")
    assert steps(host) == ["reset"]
    assert ring(host) == []


@cases("pinned", [True, False])
def test_a_cpu_wide_event_resets_at_every_switch(pinned: bool) -> None:
    host = make_host(running="t")
    host.open("P", "any", pinned=pinned)
    host.news()
    for task in ("u", "", "t"):
        host.retire(2)
        host.run(task)
        assert steps(host) == ["reset"]
    assert ring(host) == []


def test_beside_a_cpu_wide_event_a_call_stack_task_is_restored() -> None:
    host = make_host(running="t")
    host.open("P", "call_stack", pinned=True, privilege=["user"])
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.retire(2, "call")
    of_t = ring(host)
    host.news()
    host.run("u")
    assert steps(host) == ["save t 2", "reset"]
    host.run("t")
    assert steps(host) == ["restore t"]
    assert ring(host) == of_t


@cases(
    ("kernel", "leaving", "coming_back"),
    [("v6.16", ["save t 2", "reset"], ["save u 0", "restore t"]), ("v5.12", ["reset"], ["reset"])],
)
def test_a_cpu_wide_call_stack_event_has_the_stacks_of_other_cpus_kept_too(
    kernel: str, leaving: list[str], coming_back: list[str]
) -> None:
    host = make_host(kernel=kernel, cpus=2, running="t")
    host.open("W", "call_stack", cpu=1, pinned=True, privilege=["user"])
    host.open("P", "any", pinned=True)
    host.run("t")
    host.retire(2, "call")
    host.news()
    host.run("u")
    assert steps(host) == leaving
    host.run("t")
    assert steps(host) == coming_back


@cases(("kernel", "coming_back"), [("v6.16", ["save u 0", "restore t"]), ("v5.12", ["reset"])], ids=["v6.16", "v5.12"])
def test_what_was_saved_for_a_task_outlives_its_event_beside_a_cpu_wide_one(
    kernel: str, coming_back: list[str]
) -> None:
    """The event that comes back finds what another has left: nothing tells whose it was."""
    host = make_host(kernel=kernel, running="t")
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.open("W", "call_stack", pinned=True, privilege=["user"])
    host.retire(2, "call")
    host.run("u")
    host.close("A")
    host.news()
    host.run("t")
    assert steps(host) == coming_back


def test_no_task_has_space_once_the_last_cpu_wide_event_has_gone() -> None:
    host = make_host(kernel="v6.16", cpus=2, running="t")
    host.open("W", "call_stack", cpu=1, pinned=True, privilege=["user"])
    host.open("P", "any", pinned=True)
    host.run("t")
    host.retire(2, "call")
    host.run("u")
    host.close("W")
    host.open("W", "call_stack", cpu=1, pinned=True, privilege=["user"])
    host.news()
    host.run("t")
    assert steps(host) == ["save u 0", "reset"]


def test_an_event_that_lost_its_place_has_nothing_saved_and_is_reset() -> None:
    host = make_host(running="t")
    host.open("P", "any", pinned=True)
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.news()
    host.run("u")
    assert steps(host) == ["reset"]
    host.run("t")
    assert steps(host) == ["reset"]


def test_switching_without_lbr_users_touches_nothing() -> None:
    host = make_host()
    host.open("plain")
    host.machine.cpus[0].lbr.from_ip[:] = [1, 2, 3, 4]
    host.news()
    host.run("t")
    host.run("u")
    assert steps(host) == []
    assert ring(host) == [1, 4, 3, 2]


@cases("save_select", [SaveSelect.YES, SaveSelect.SINCE_V5_16])
def test_a_guests_ring_and_select_follow_its_thread(save_select: SaveSelect) -> None:
    host = make_host(kernel="v6.16", design=replace(MERGED, save_select=save_select), running="v")
    host.guest()
    silicon = host.machine.cpus[0].lbr
    silicon.select, silicon.tos, silicon.from_ip = 5, 2, [10, 11, 12, 13]
    host.run("w")
    host.guest("w")
    assert silicon.select == 0, "the fresh event of w resets SELECT too"
    silicon.select = 6
    host.run("v")
    assert (silicon.select, silicon.tos, silicon.from_ip) == (5, 2, [10, 11, 12, 13])


@cases(("kernel", "save_select"), [("v6.16", SaveSelect.NO), ("v5.12", SaveSelect.SINCE_V5_16)])
def test_the_ring_follows_without_select_where_that_is_not_saved(kernel: str, save_select: SaveSelect) -> None:
    host = make_host(kernel=kernel, design=replace(MERGED, save_select=save_select), running="v")
    host.guest()
    silicon = host.machine.cpus[0].lbr
    silicon.select, silicon.tos, silicon.from_ip = 5, 2, [10, 11, 12, 13]
    host.run("w")
    host.guest("w")
    silicon.select = 6
    host.run("v")
    assert (silicon.select, silicon.tos, silicon.from_ip) == (6, 2, [10, 11, 12, 13])


@cases(("lbr_name", "reset", "restore", "save"), [("skylake", 96, 97, 97), ("haswell", 32, 33, 33)])
def test_msr_operations_of_one_call(lbr_name: str, reset: int, restore: int, save: int) -> None:
    host = make_host(lbr=lbr_name, depth=0, running="t")
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.retire(40, "call")
    pc, context, counted = host.perf.kernel.cpus[0], host.perf.kernel.tasks["t"], host.machine.operations
    counted.clear()
    lbr.sched_task(host.machine, pc, context, 0, switch_in=False)
    assert counted == {"rdmsr": save, "lbr-save": 1}
    counted.clear()
    pc.last_saved = None
    lbr.sched_task(host.machine, pc, context, 0, switch_in=True)
    assert (counted["wrmsr"], counted["lbr-restore"]) == (restore, 1)
    assert 1 <= counted["rdmsr"] <= 2
    counted.clear()
    lbr.lbr_reset(host.machine, pc, "test")
    assert counted == {"wrmsr": reset, "lbr-reset": 1}
