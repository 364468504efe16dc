"""Commands of the driver: what is refused changes nothing, what fails gives the kernel's errno."""

from __future__ import annotations

import pytest

from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    ConfigurePerf,
    Disable,
    Enable,
    MachineSpec,
    Open,
    PerfSnapshot,
    Read,
    Retire,
    RunTask,
    Sample,
    SetMuxInterval,
)
from contract.errors import RefusedError
from contract.results import PerfView
from contract.trace import EventFailed, Switch
from perfcore_svc.core import BRANCHES_LIMIT, HostCore
from tests.cases import cases
from tests.designs import MERGED
from tests.perfcore_svc.hosts import Host, make_host, picture


def busy_host() -> Host:
    host = make_host(cpus=2, running="t")
    host.open("P", "any", pinned=True)
    host.retire(3)
    return host


REFUSED: list[tuple[AnyPerfCommand, str]] = [
    (RunTask("nobody", 0), "ESRCH"),
    (RunTask("t", 2), "ENODEV"),
    (RunTask("t", -1), "ENODEV"),
    (Open("x", 2), "ENODEV"),
    (Open("x", -1), "ENODEV"),
    (Open("x", -2, "t"), "ENODEV"),
    (Open("x", -1, "nobody"), "ESRCH"),
    (Open("P", 0), "EEXIST"),
    (Enable("x"), "EBADF"),
    (Disable("x"), "EBADF"),
    (Close("x"), "EBADF"),
    (Enable("x", True), "EBADF"),
    (Disable("x", True), "EBADF"),
    (SetMuxInterval(4_000_000, 2), "ENODEV"),
    (SetMuxInterval(4_000_000, -2), "ENODEV"),
    (Read("x"), "EBADF"),
    (Sample("x"), "EBADF"),
    (Retire(2, 1), "ENODEV"),
    (Retire(0, 0), "EINVAL"),
    (Retire(0, BRANCHES_LIMIT + 1), "EINVAL"),
    (Retire(0, 1, "jump"), "EINVAL"),
    (Retire(0, 1, "jmp", "hypervisor"), "EINVAL"),
    (Advance(0), "EINVAL"),
    (Advance(-5), "EINVAL"),
]
NO_HOST: list[tuple[ConfigurePerf, str]] = [
    (ConfigurePerf(MachineSpec(cpus=0), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(counters=33), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(counters=0), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(fixed=4), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(fixed=-1), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(pmu="sparc"), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(lbr="skylark"), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(depth=3), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(kernel="v4.0"), MERGED, [], []), "EINVAL"),
    (ConfigurePerf(MachineSpec(), MERGED, ["a", "a"], []), "EEXIST"),
    (ConfigurePerf(MachineSpec(), MERGED, ["a"], ["a"]), "EEXIST"),
    (ConfigurePerf(MachineSpec(), MERGED, [""], []), "EEXIST"),
]


@cases(("command", "errno"), REFUSED, ids=lambda v: type(v).__name__ if not isinstance(v, str) else v)
def test_a_refused_command_changes_nothing(command: AnyPerfCommand, errno: str) -> None:
    host = busy_host()
    before = picture(host)
    with pytest.raises(RefusedError) as refused:
        host.command(command)
    assert refused.value.errno == errno
    assert picture(host) == before


@cases(("config", "errno"), NO_HOST)
def test_there_is_no_such_host(config: ConfigurePerf, errno: str) -> None:
    with pytest.raises(RefusedError) as refused:
        HostCore.configured(config)
    assert refused.value.errno == errno


def test_a_failing_open_is_an_answer_and_leaves_no_event() -> None:
    host = make_host(lbr="nehalem")
    assert host.open("P", "call_stack") == "EOPNOTSUPP"
    assert [(r.name, r.errno) for r in host.news() if isinstance(r, EventFailed)] == [("P", "EOPNOTSUPP")]
    assert host.states() == {}
    assert host.open("P", "any") == ""


def test_a_closed_name_can_be_used_again() -> None:
    host = busy_host()
    host.close("P")
    assert host.open("P", "call") == ""
    assert host.states() == {"P": "A"}


def test_a_guests_event_does_not_take_a_host_events_name_with_it() -> None:
    host = make_host(running="v")
    host.open("vlbr:v")
    host.perf.close(host.guest())
    assert host.read("vlbr:v").errno == ""


def test_reading_counts_branches_while_the_event_is_on() -> None:
    host = make_host(running="t")
    host.open("C", task="t")
    for task, count, total in (("t", 3, 3), ("u", 5, 3), ("t", 2, 5)):
        host.run(task)
        host.retire(count)
        assert host.read("C").count == total
    host.disable("C")
    host.retire(9)
    assert host.read("C").count == 5


def test_a_task_is_on_one_cpu_at_a_time() -> None:
    host = make_host(cpus=2, running="t")
    host.news()
    host.run("t", 1)
    switches = [(r.cpu, r.prev, r.next) for r in host.news() if isinstance(r, Switch)]
    assert switches == [(0, "t", ""), (1, "", "t")]
    host.run("t", 1)
    assert host.news() == []


def test_time_goes_on() -> None:
    host = make_host()
    host.do(Advance(40))
    host.do(Advance(2))
    host.open("C")
    assert {r.time for r in host.news()} == {42}


def test_the_view_tells_host_and_guest_events_apart() -> None:
    host = make_host(running="v")
    host.open("P", "any", pinned=True)
    event = host.guest()
    view = host.command(PerfSnapshot())
    assert isinstance(view, PerfView)
    assert view.host_events == {"P": "ACTIVE"}
    assert [(e.event, e.vcpu, e.state, e.cpu) for e in view.guest_events] == [(event.id, "v", "ACTIVE", 0)]
    assert view.running == {0: "v"}
    assert view.operations == host.machine.operations
