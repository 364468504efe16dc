"""Evidence explains a verdict and decides nothing; a clone and its original go their own ways."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from client.check.judge import judge
from contract.design import Design
from contract.trace import AnyRecord, End
from tests.cases import cases
from tests.client.check.keys import checked, key_of, records_of, size, story_records
from tests.client.check.runs import ordered, trace
from tests.designs import DESIGNS, FENCED, MEDIATED, MERGED, REVOKE_ACK

ALL = list(DESIGNS.values())


def numberless(records: list[AnyRecord]) -> list[AnyRecord]:
    return [msgspec.structs.replace(record, seq=0) for record in records]


def verdicts_without(records: list[AnyRecord]) -> dict[str, str]:
    """The verdicts on a trace whose records have no numbers, found without evidence."""
    return checked(numberless(records), evidence=False).verdicts()


@cases("seed", range(40))
def test_verdicts_on_random_stories_need_no_evidence(seed: int) -> None:
    for design in (ALL[seed % len(ALL)], FENCED, REVOKE_ACK):
        records = story_records(seed, design)
        assert verdicts_without(records) == {f.invariant: f.verdict for f in judge(records)}, design.name


def test_without_evidence_there_are_no_violations() -> None:
    records = records_of("central-story", MERGED)
    assert [finding for finding in judge(records) if finding.violations]
    findings = checked(records, evidence=False).findings()
    assert not [finding for finding in findings if finding.violations]
    assert [finding for finding in findings if finding.verdict == "violated"]


# Clones --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(ALL), st.data(), st.booleans())
def test_a_clone_and_its_original_go_their_own_ways(
    seed: int, design: Design, data: st.DataObject, evidence: bool
) -> None:
    records = story_records(seed, design)
    cut = data.draw(st.integers(1, len(records)))
    original = checked(records[:cut], evidence=evidence)
    twin, before = original.clone(), key_of(original)
    for record in records[cut:]:
        original.take(record)
    assert key_of(twin) == before
    for record in records[cut:]:
        twin.take(record)
    assert key_of(twin) == key_of(original) == key_of(checked(records))
    assert twin.findings() == original.findings()
    assert twin.verdicts() == checked(records).verdicts()


# Rounds --------------------------------------------------------------------------------------------------

ROUND = (
    "vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 8; vm0/0: a{n} = rdmsr LBR_FROM[1];"
    "host: h{n} = open cpu0 pinned branch any; host: branch 8; host: s{n} = sample h{n};"
    "vm0/0: branch 8; vm0/0: b{n} = rdmsr LBR_FROM[1]; host: close h{n};"
    "vm0/0: c{n} = rdmsr LBR_FROM[1]; vm0/0: wrmsr LBR_FROM[2], a{n};"
)


def rounds(count: int, design: Design) -> list[AnyRecord]:
    """The same round so many times, up to the end of the last one."""
    steps = "host: run vm0/0 on cpu0;" + "".join([ROUND.format(n=n) for n in range(count)])
    records = trace(ordered(steps), design)
    return records[: next(i for i, r in enumerate(records) if isinstance(r, End))]


@cases("design", [MERGED, REVOKE_ACK, FENCED, MEDIATED], ids=lambda design: design.name)
def test_equal_rounds_end_in_equal_keys(design: Design) -> None:
    three, six = rounds(3, design), rounds(6, design)
    assert key_of(checked(three), three[-1].time) == key_of(checked(six), six[-1].time)
    assert key_of(checked(three), 0) != key_of(checked(three[:-8]), 0)


@cases("design", ALL, ids=lambda design: design.name)
def test_no_state_grows_with_the_rounds(design: Design) -> None:
    assert size(checked(rounds(3, design))) == size(checked(rounds(6, design)))
