"""A scenario of a file as the workload of a live run."""

from __future__ import annotations

import pytest

from client.litmus import format_scenario, parse
from client.litmus.ast import Repeat
from client.live.scenario import freely
from client.live.workload import TURNS
from contract.errors import InputError
from tests.cases import cases

TEXT = """LBR mine
machine { cpus = 2; depth = 8; }
vm vm0 { vcpus = 2; }
let n = 3;
host { run vm0/0 on cpu0; repeat 2 { idle cpu1; } repeat n { h = open cpu0 pinned branch any; close h; } }
host1, vm0/0 { host1: idle cpu1; host1: repeat 5 { vm0/0: nop; } }
vm0/1 { repeat 4 { nop; } nop; }
exists (host:h.samples = 0)
"""


def of(statement: str, head: str = "") -> str:
    return f"LBR one\n{head}vm vm0 {{ vcpus = 1; }}\n{statement}\n"


def test_a_loop_at_the_end_of_a_thread_goes_on_and_all_else_comes_once() -> None:
    scenario = parse(TEXT, "mine")
    free = freely(scenario)

    assert free.lets == {"n": 3, "turns_host": TURNS, "turns_host1_vm0_0": TURNS}
    ends = [block.steps[-1].stmt for block in free.blocks]
    assert [end.count if isinstance(end, Repeat) else "" for end in ends] == ["turns_host", "turns_host1_vm0_0", ""]
    assert [len(block.steps) for block in free.blocks] == [len(block.steps) for block in scenario.blocks]
    first = free.blocks[0].steps[1].stmt
    assert isinstance(first, Repeat)
    assert first.count == 2
    assert (free.final, free.expects) == (None, [])


def test_the_lines_of_its_statements_are_those_of_its_text() -> None:
    free = freely(parse(TEXT, "mine"))
    again = parse(format_scenario(free), "again")
    assert again == free
    assert [step.printed for step in again.steps()] == [step.printed for step in free.steps()]


@cases(
    ("text", "why"),
    [
        (of("host { advance 1ms; }"), r"^<mine>:3: a live run cannot have 'advance 1ms': time passes by itself$"),
        (of("host { repeat 3 { mux 1ms; } }"), r"^<mine>:3: a live run cannot have 'mux 1ms'$"),
        (of("user { reset vm0/0; }"), r"^<mine>:3: a live run cannot have 'reset vm0/0': user space does nothing$"),
        (of("host { branch 513; }"), r"^<mine>:3: expected at most 512 branches at once"),
        (of("host { branch n; }", "let n = 5;\n"), r"^<mine>:4: expected at most 512 branches at once"),
        (of("host { idle cpu0; }", "machine {}\nmachine dest {}\n"), r"^<mine>: a live run has one host"),
        (of("host { idle cpu0; }", "fault drop Revoke 1;\n"), r"^<mine>: names faults; in a live run"),
        (of(""), r"^<mine>: has no statements"),
    ],
)
def test_a_statement_that_needs_a_schedule_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        freely(parse(text, "<mine>"))
