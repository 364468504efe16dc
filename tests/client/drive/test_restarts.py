"""The order in which services begin again after a crash or a cut, and the CPU on which a thread does."""

from __future__ import annotations

from client.litmus import parse
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.incidents import Crash, Cut, Mend
from client.schedule.incidents import Restart as Begin
from client.schedule.schedule import Schedule
from contract.trace import Restart, Switch
from tests.designs import FENCED

STORY = parse(
    """LBR taken machine { cpus = 1; } task t0; vm vm0 { lbr = on; }
    host { run vm0/0 on cpu0; advance 2ms; run t0 on cpu0; advance 4ms; }
    vm0/0 { wrmsr DEBUGCTL, LBR; }""",
    "taken",
)


def played(*rules: str) -> Run:
    return run(Inputs(STORY, FENCED, Schedule(tuple(map(parse_fault, rules))))).finished()


def test_a_thread_does_not_come_back_to_a_cpu_that_another_task_has() -> None:
    done = played("crash kvm0 at 1ms by 3ms")
    (again,) = done.of(Restart)
    assert [(r.prev, r.next) for r in done.of(Switch)] == [("", "vm0/0"), ("vm0/0", ""), ("", "t0")]
    assert done.of(Switch)[-1].seq < again.seq


def test_one_way_is_mended_after_as_many_decisions_as_its_rule_says() -> None:
    tape = played("cut kvm0>host at CreateEvent 1 by 2").tape
    cut = tape.index(Cut("kvm0", True, "f1.1"))
    assert tape.index(Mend("kvm0", True, "f1.1")) == cut + 2


def test_a_kvm_whose_restart_is_due_waits_for_its_host() -> None:
    done = played("crash perfcore at 1ms by 3ms", "crash kvm0 at 1ms by 1")
    ways = [decision for decision in done.tape if isinstance(decision, Crash | Begin)]
    assert [(type(way), way.service) for way in ways] == [
        (Crash, "perfcore"), (Crash, "kvm0"), (Begin, "perfcore"), (Begin, "kvm0"),
    ]  # fmt: skip
