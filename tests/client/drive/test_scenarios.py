"""Scenarios of the library in which only the host plays a part: how perf schedules events."""

from __future__ import annotations

import re
from pathlib import Path

from client.litmus import format_scenario, library, parse
from client.run.verdict import verdict_on
from contract.design import Precedence
from contract.trace import EventFailed
from tests.cases import cases
from tests.client.check.runs import play
from tests.designs import DESIGNS
from tests.library import library_scenario

HOST_ONLY = [path for path in library() if not re.search(r"^vm ", path.read_text(), re.MULTILINE)]


def test_there_are_some() -> None:
    assert len(HOST_ONLY) >= 5


@cases("path", HOST_ONLY, ids=lambda path: path.stem)
def test_holds_whatever_the_design(path: Path) -> None:
    """A contract between host and guest is no matter to a host alone. But where who came first has the LBR that goes
    for host events among themselves, too."""
    story = library_scenario(path.stem)
    assert not story.vms
    assert story.purpose
    assert story.name == path.stem
    assert story.final is not None
    assert story.final.quantifier == "forall"
    for design in DESIGNS.values():
        records = play(story, design).records
        verdict = verdict_on(story, records)
        refused = [r.name for r in records if isinstance(r, EventFailed) and r.holder and r.errno == "EBUSY"]
        assert not refused or design.precedence is Precedence.FIRST_COME
        assert (verdict.verdict, verdict.unfinished) == ("violated" if refused else "held", {}), verdict.reason


@cases("path", library(), ids=lambda path: path.stem)
def test_prints_and_reads_back(path: Path) -> None:
    story = library_scenario(path.stem)
    assert parse(format_scenario(story)) == story
