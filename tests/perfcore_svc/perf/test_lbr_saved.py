"""Copies of a task's stack that must not come back: older than another CPU's, or made invalid."""

from __future__ import annotations

from tests.perfcore_svc.hosts import make_host
from tests.perfcore_svc.perf.test_lbr_switch import ring, steps


def test_the_fast_path_needs_the_newest_copy() -> None:
    """Saved here, then restored and saved on cpu1: what this CPU's registers still hold is old."""
    host = make_host(cpus=2, running="t")
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.retire(2, "call")
    host.run("t", 1)
    host.retire(1, "call", cpu=1)
    newest = ring(host, 1)
    assert len(newest) == 3
    host.news()
    host.run("t", 0)
    assert steps(host) == ["save t 3", "restore t"]
    assert ring(host) == newest


def test_a_switch_out_without_a_stack_user_makes_the_copy_invalid() -> None:
    """A is kept off by P when t comes back, so the copy is neither used up nor right any more."""
    host = make_host(running="t")
    host.open("A", "call_stack", task="t", privilege=["user"])
    host.retire(2, "call")
    host.run("u")
    host.open("P", "any", pinned=True)
    host.run("t")
    assert host.states() == {"A": "I", "P": "A"}
    host.run("u")
    saved = host.perf.kernel.tasks["t"].lbr
    assert saved is not None
    assert not saved.valid
    host.close("P")
    host.news()
    host.run("t")
    assert host.states() == {"A": "A"}
    assert steps(host) == ["reset"]
    assert ring(host) == []


def test_a_copy_is_used_up_by_its_restore() -> None:
    """``__intel_pmu_lbr_restore`` sets the state to LBR_NONE: a thread that left without a user of the LBR has nothing
    to get back, however old its copy is."""
    host = make_host(running="t")
    host.open("A", "call_stack", task="t", privilege=["user"])
    host.retire(3, "call")
    host.run("u")
    host.open("B", "any")
    host.retire(1)
    host.close("B")
    host.run("t")
    assert len(host.sample("A").from_ip) == 3
    host.disable("A")
    host.run("u")
    host.enable("A")
    host.run("t")
    assert host.states() == {"A": "A"}
    assert host.sample("A").from_ip == []
