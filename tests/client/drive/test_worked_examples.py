"""Scenarios of the library that work an example through: the final state that KVM of v5.12 comes to, and no other."""

from __future__ import annotations

from client.run.verdict import verdict_on
from contract.trace import UserExit, VmExit
from tests.cases import cases
from tests.client.check.runs import play
from tests.designs import MERGED
from tests.library import library_scenario

EXAMPLES = [
    "cold-and-warm-read",
    "enable-lbr",
    "exits",
    "guest-without-lbr",
    "pmi-freezes-lbr",
    "pmi-without-freeze",
]


@cases("name", EXAMPLES)
def test_final_state(name: str) -> None:
    story = library_scenario(name)
    assert story.final is not None
    assert story.final.quantifier == "forall"
    found = verdict_on(story, play(story, MERGED).records)

    assert (found.verdict, found.unfinished) == ("held", {}), found.reason
    assert "Source: " in story.purpose


def test_exits_by_reason() -> None:
    records = play(library_scenario("exits"), MERGED).records

    assert {r.reason for r in records if isinstance(r, VmExit)} >= {"cpuid", "hlt", "io"}
    assert [r.reason for r in records if isinstance(r, UserExit)] == ["io"]


def test_only_the_first_read_exits() -> None:
    records = play(library_scenario("cold-and-warm-read"), MERGED).records

    assert len([r for r in records if isinstance(r, VmExit) and r.msr]) == 1
