"""Which operations get the CPU out of guest mode: those that touch its registers, and no others."""

from __future__ import annotations

from contract.machine import Controls, Cpuid, Enter, Ran
from contract.trace import EventChange, HostLbr
from tests.cases import cases
from tests.perfcore_svc.hosts import Host, make_host

LBR, FREEZE = 1, 1 << 11


def in_guest_mode(host: Host) -> None:
    assert isinstance(host.request(Enter("v", 0, Controls(0, False), [])), Ran)
    assert host.machine.cpus[0].guest == "v"


def test_a_pmi_gets_the_cpu_out_of_guest_mode_first() -> None:
    host = make_host(running="v")
    host.open("P", "any")
    in_guest_mode(host)
    assert host.sample("P").sampled
    assert host.machine.cpus[0].guest == ""
    assert host.machine.cpus[0].debugctl == LBR | FREEZE


@cases("take_off", [Host.disable, Host.close])
def test_taking_an_event_off_interrupts_the_guest(take_off: object) -> None:
    host = make_host(running="v")
    host.open("P", "any")
    in_guest_mode(host)
    assert callable(take_off)
    take_off(host, "P")
    assert host.machine.cpus[0].guest == ""
    assert host.machine.cpus[0].debugctl == 0, "the host's value, restored by the exit, is off now"


def test_an_event_that_is_off_is_disabled_without_an_interrupt_and_closed_with_one() -> None:
    host = make_host(running="v")
    host.open("P", "any", disabled=True)
    in_guest_mode(host)
    host.disable("P")
    assert host.machine.cpus[0].guest == "v"
    host.close("P")
    assert host.machine.cpus[0].guest == ""


@cases(("cpu", "guest"), [(1, "v"), (0, ""), (-1, "")])
def test_enable_reschedules_only_the_cpu_that_the_event_is_for(cpu: int, guest: str) -> None:
    host = make_host(cpus=2, running="v")
    host.open("T", "any", task="v", cpu=cpu, disabled=True)
    in_guest_mode(host)
    host.enable("T")
    assert host.machine.cpus[0].guest == guest
    assert host.states() == {"T": "I" if guest else "A"}


@cases(("before", "guest"), [(False, ""), (True, "v")])
def test_only_an_install_beside_others_is_quiet(before: bool, guest: str) -> None:
    """A disabled event reschedules nobody, but the first event of a context does."""
    host = make_host(running="v")
    if before:
        host.open("plain")
    in_guest_mode(host)
    host.open("D", disabled=True)
    assert host.machine.cpus[0].guest == guest


def test_a_change_is_on_record_with_the_cpu_that_the_event_left() -> None:
    host = make_host(cpus=2)
    host.open("P", "any", cpu=1)
    host.disable("P")
    changes = [(r.old, r.new, r.cpu) for r in host.news() if isinstance(r, EventChange)]
    assert changes == [("INACTIVE", "ACTIVE", 1), ("ACTIVE", "OFF", 1)]


# The records of HostLbr ------------------------------------------------------------------------------------


def host_lbr(host: Host) -> list[tuple[bool, int, int]]:
    return [(r.enabled, r.debugctl, r.select) for r in host.news() if isinstance(r, HostLbr)]


def test_debugctl_repaired_after_a_stale_exit_is_on_record() -> None:
    """The exit wrote 0 back; the next reschedule turns the LBR on again though perf never held it for off."""
    host = make_host(running="v")
    host.open("P", "any", privilege=["user"])
    host.request(Enter("v", 0, Controls(0, False, host_debugctl=0), [Cpuid()]))
    assert host.machine.cpus[0].debugctl == 0
    host.news()
    host.open("plain")
    assert host_lbr(host) == [(True, LBR | FREEZE, 1)]
    host.open("again")
    assert host_lbr(host) == [], "nothing has changed"


def test_another_select_is_on_record() -> None:
    host = make_host()
    host.open("P", "any", privilege=["user"])
    host.news()
    host.open("Q", "any", privilege=["kernel"], pinned=True)
    assert host.states() == {"P": "I", "Q": "A"}
    assert host_lbr(host) == [(True, LBR | FREEZE, 2)]
