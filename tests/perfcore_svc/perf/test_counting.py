"""The branches that an event counts: by mode and by level."""

from __future__ import annotations

from itertools import product
from typing import Any

from contract.machine import AnyOp, Branch, Controls, Enter
from contract.trace import SampleTaken
from tests.cases import cases
from tests.perfcore_svc.hosts import make_host
from tests.perfcore_svc.machine.bench import left

RETIRED = {("host", "user"): 1, ("host", "kernel"): 10, ("guest", "user"): 100, ("guest", "kernel"): 1000}
"""Branches by mode and level; a sum tells which of them it has in it."""
BITS = ("exclude_host", "exclude_guest", "exclude_user", "exclude_kernel")


def guest_code() -> Enter:
    ops: list[AnyOp] = [Branch(RETIRED["guest", level], "jmp", level) for level in ("user", "kernel")]
    return Enter("v", 0, Controls(0, False), ops)


def counted_by(*branch: str, **attributes: Any) -> int:
    host = make_host(running="v")
    assert host.open("n", *branch, **attributes) == ""
    for level in ("user", "kernel"):
        host.retire(RETIRED["host", level], privilege=level)
    host.request(guest_code())
    return host.read("n").count


@cases("bits", list(product([False, True], repeat=4)), ids=str)
def test_each_bit_takes_its_part_away(bits: tuple[bool, ...]) -> None:
    given = dict(zip(BITS, bits, strict=True))
    due = {key: n for key, n in RETIRED.items() if not any(given[f"exclude_{part}"] for part in key)}
    assert counted_by(**given) == sum(due.values())


@cases(("level", "due"), [("user", 101), ("kernel", 1010)])
def test_a_counter_of_one_level_counts_the_branches_of_that_level(level: str, due: int) -> None:
    assert counted_by(privilege=[level]) == due


def test_the_levels_of_a_branch_filter_are_not_those_that_are_counted() -> None:
    """PERF_SAMPLE_BRANCH_USER says what is recorded; exclude_kernel says what is counted."""
    assert counted_by("any", privilege=["user"]) == sum(RETIRED.values())
    assert counted_by("any", privilege=["user"], exclude_user=True) == 1010


def test_an_event_that_excludes_the_host_overflows_in_guest_mode_only() -> None:
    host = make_host(running="v")
    host.open("p", "any", period=1100, exclude_host=True)
    host.retire(5000)
    assert not any(isinstance(r, SampleTaken) for r in host.news())
    assert left(host.request(guest_code())).reason == "nmi"


def test_an_event_of_one_level_overflows_at_that_level_only() -> None:
    host = make_host(running="v")
    host.open("p", period=3, exclude_kernel=True)
    host.retire(50, privilege="kernel")
    assert not any(isinstance(r, SampleTaken) for r in host.news())
    host.retire(3, privilege="user")
    assert sum(isinstance(r, SampleTaken) for r in host.news()) == 1
