"""The decisions that services and links that are cut, stalled or gone allow."""

from __future__ import annotations

from client.schedule.incidents import Crash, Kill, Mend, Restart, SetClock, Shutdown
from client.schedule.outages import Outages
from contract import trace as t


def outages() -> Outages:
    """One host with two KVMs of one vCPU each."""
    all_up = Outages()
    all_up.kvms = {"kvm0": 0, "kvm1": 0}
    all_up.vcpus = ["vm0/0", "vm1/0"]
    return all_up


def test_a_kvm_begins_again_only_after_its_host() -> None:
    now = outages()
    now.crashed(t.Crash("kvm0", -1, ["kvm0"], ["vm0/0"]), {"vm0/0": 0})
    assert now.restarts() == [Restart("kvm0")]
    now.crashed(t.Crash("perfcore", 0, ["kvm1"], ["vm1/0"]), {"vm1/0": 1})
    assert now.restarts() == [Restart("perfcore")]
    now.restarted(t.Restart("perfcore", 2))
    assert now.restarts() == [Restart("kvm0")]


def test_a_cut_is_mended_as_it_was_made() -> None:
    now = outages()
    now.link_cut(t.LinkCut("kvm0", True))
    assert [now.allow(Mend("kvm0", way)) for way in (True, False, None)] == [True, False, False]
    assert not now.allow(Mend("kvm1", True))


def test_a_thread_ends_and_a_clock_changes_while_the_services_are_up() -> None:
    now = outages()
    ends, clock = Kill("thread", "vm1/0"), SetClock("kvm0", 2)
    assert now.allow(ends)
    assert now.allow(clock)
    now.crashed(t.Crash("kvm0", -1, ["kvm0"], ["vm0/0"]), {})
    assert not now.allow(ends)
    assert not now.allow(clock)


def test_a_service_that_was_told_to_stop_ends_once_and_its_threads_run_again() -> None:
    now = outages()
    stop = Shutdown("kvm0", "f1.1")
    assert now.allow(stop)
    now.shutting_down(t.ShuttingDown("kvm0", ["kvm0"], ["vm0/0"], "f1.1"))
    assert not now.allow(stop)
    assert now.ends() == [Crash("kvm0", "f1.1")]
    assert (now.clone().ends(), now.clone().key()) == (now.ends(), now.key())
    assert now.key() != outages().key()
    for task, cpu in (("vm0/0", 3), ("vm1/0", 1), ("t0", 2)):
        now.exited(t.TaskExit(task, cpu))
    now.exited(t.TaskExit("vm0/0", -1))
    assert now.homeless == {"vm0/0": 3}
    now.crashed(t.Crash("kvm0", -1, ["kvm0"], ["vm0/0"]), {})
    assert (now.ends(), now.homeless, now.restarts()) == ([], {"vm0/0": 3}, [Restart("kvm0")])
    assert not now.allow(stop)


def test_a_service_that_does_nothing_does_not_hear_that_it_has_to_stop() -> None:
    now = outages()
    now.service_stalled(t.Stalled("kvm0"))
    assert [now.allow(Shutdown(name)) for name in ("kvm0", "kvm1", "perfcore")] == [False, True, True]


def test_a_thread_that_was_killed_runs_nowhere_again() -> None:
    now = outages()
    now.crashed(t.Crash("kvm0", -1, ["kvm0"], ["vm0/0"]), {"vm0/0": 3})
    now.killed(t.Killed("thread", ["vm0/0"]))
    assert (now.homeless, now.ended) == ({}, {"vm0/0"})
