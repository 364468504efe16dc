"""The mediated vPMU and events that count guests (facts/perf 4.1, 4.2), and the order of the checks of an open
(facts/perf 1.15, 2.4, 4.1)."""

from __future__ import annotations

import pytest

from contract.control import Mediate
from contract.errors import RefusedError
from tests.perfcore_svc.perf.notation import refused, stage


def test_a_mediated_vm_and_a_guests_event_shut_each_other_out() -> None:
    host = stage()
    event = host.guest()
    assert host.do(Mediate(True)) == "EBUSY"
    host.perf.close(event)
    assert host.do(Mediate(True)) == ""
    with pytest.raises(RefusedError) as error:
        host.guest()
    assert error.value.errno == "EOPNOTSUPP"
    assert host.states() == {}


def test_what_is_open_counts_on_or_off() -> None:
    host = stage()
    host.put("off", "CF plain", disabled=True)
    host.open("absent", task="u")
    assert host.do(Mediate(True)) == "EBUSY"
    host.close("off")
    assert host.do(Mediate(True)) == "EBUSY"
    host.close("absent")
    assert host.do(Mediate(True)) == ""
    refused(host, "EOPNOTSUPP")


def test_events_that_exclude_guests_are_not_counted() -> None:
    host = stage()
    host.open("a", "any", exclude_guest=True)
    assert host.do(Mediate(True)) == ""
    assert host.open("b", exclude_guest=True) == ""


def test_processor_trace_is_another_pmu_and_not_counted() -> None:
    host = stage(cpus=2)
    assert host.open("pt", config="pt") == ""
    assert host.do(Mediate(True)) == ""
    assert host.open("pt2", config="pt", cpu=1) == ""


def test_a_vm_that_never_came_cannot_go() -> None:
    host = stage()
    assert host.do(Mediate(False)) == "EINVAL"


# Order of the steps ----------------------------------------------------------------------------------------


def test_the_filter_is_looked_at_before_who_else_is_there() -> None:
    host = stage(lbr="nehalem")
    assert host.open("a", config="pt") == ""
    host.do(Mediate(True))
    refused(host, "EOPNOTSUPP", "x", "call_stack")
    refused(host, "EINVAL", "x", "sideways")


def test_another_tracer_is_looked_at_before_a_mediated_vm() -> None:
    host = stage()
    host.open("a", config="bts", exclude_guest=True)
    host.do(Mediate(True))
    refused(host, "EBUSY", "x", "any")


def test_another_tracer_is_looked_at_before_the_group() -> None:
    """The driver's ``hw_config`` makes the reservation, and ``validate_group`` comes after it."""
    host = stage(counters=1)
    host.open("a", config="bts")
    host.put("L", "CF plain")
    refused(host, "EBUSY", "x", "any", group="L")


def test_the_group_is_looked_at_before_a_mediated_vm() -> None:
    host = stage(counters=1)
    host.do(Mediate(True))
    host.open("L", exclude_guest=True)
    refused(host, "EINVAL", group="L")
