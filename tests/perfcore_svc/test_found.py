"""Bugs that were found and are not repaired yet: each test says what should be so."""

from __future__ import annotations

from contract.control import Enable
from contract.machine import Branch, Controls, Enter
from contract.messages import Ack, CreateCounter, EventCreated, LbrImage
from tests.designs import MEDIATED
from tests.perfcore_svc.kvm import Kvm
from tests.perfcore_svc.perf.notation import stage
from tests.perfcore_svc.test_acknowledged import granted, take


def test_a_name_is_free_again_after_its_event_was_closed_while_the_opener_slept() -> None:
    """Nobody said the enable again that waited; now an open of that name is taken for it, and opens nothing."""
    host, kvm, _ = granted()
    take(host, disabled=True)
    host.do(Enable("P"))
    kvm.tell(Ack(1))
    host.close("P")
    assert take(host) == ""
    assert "P" in host.states()


def test_opening_an_event_that_is_off_does_not_start_the_clock_while_the_guest_runs() -> None:
    host = stage("v6.16", design=MEDIATED)
    host.put("P", "CP any", exclude_guest=True)
    host.request(Enter("v", 0, Controls(0, True, lbr=LbrImage()), []))
    host.put("off", "CP plain", disabled=True, exclude_guest=True)
    host.advance(500_000)
    host.machine.interrupt(host.machine.cpus[0])
    assert host.times("P") == (0, 0)


def test_a_guests_own_counter_counts_though_the_host_uses_all_of_them() -> None:
    host = stage(design=MEDIATED, counters=1)
    kvm = Kvm(host)
    host.put("P", "CP plain", exclude_guest=True)
    kvm.tell(CreateCounter("v", 4, 0, ["user", "kernel"], 100))
    (created,) = kvm.told()
    assert isinstance(created, EventCreated)
    host.request(Enter("v", 0, Controls(0, True, lbr=LbrImage()), [Branch(5)]))
    assert host.perf.guest_count(created.event, "v") == 5
