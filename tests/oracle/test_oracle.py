"""The model against the recorded cases: every state, and every share of time within the case's own noise."""

from __future__ import annotations

import pytest

from client.cli import oracle as command
from client.oracle.cases import Case
from client.oracle.compare import KERNEL_OF, CaseResult, examine
from tests.cases import cases
from tests.client.cli.commands import lbrlab, too_wide
from tests.docs.pages import DOCS, ROOT
from tests.docs.shown import shown_by
from tests.oracle.recorded import chunks, recorded_cases, stable


def told(result: CaseResult) -> list[str]:
    found = result.disagreements
    return [f"{result.case}, phase {d.phase}: {d.event} {d.quantity}: {d.observed}, model {d.model}" for d in found]


def test_the_cases_agree_and_the_guide_shows_what_the_command_says_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stable cases agree in everything, unstable and sensitive ones in everything but shares. All are replayed once."""
    results: dict[str, CaseResult] = {}

    def kept(case: Case, kernel: str | None) -> CaseResult:
        assert kernel is None
        return results.setdefault(case.id, examine(case))

    monkeypatch.setattr(command, "examine", kept)
    monkeypatch.chdir(ROOT)
    (shown,) = [shown for shown in shown_by(DOCS / "running.md") if shown.words[0] == "oracle" and shown.output]
    printed = lbrlab(*shown.words)
    assert tuple(printed.stdout.splitlines()) == shown.output
    assert printed.exit_code == 0
    assert too_wide(printed.stdout.splitlines()) == []

    assert results.keys() == recorded_cases().keys()
    assert [line for case in stable() for line in told(results[case.id])] == []
    soft = [results[case.id] for case in recorded_cases().values() if case.soft]
    assert [line for result in soft for line in told(result) if " share:" not in line] == []
    assert sum(bool(result.disagreements) for result in soft) < len(soft) / 10


def test_there_is_much_to_agree_on() -> None:
    assert len(recorded_cases()) > 700
    assert len(stable()) > 600
    assert {name[0] for name in chunks()} == set("abcdefr")
    errors = [s for c in stable() for p in c.observed.phases for s in p.events.values() if s.error]
    between = [s for c in stable() for p in c.observed.phases for s in p.events.values() if s.ratio and s.ratio < 0.9]
    assert len(errors) > 300
    assert len(between) > 1000


@cases("case_id", ["a-cpu-k09", "b-late-cp1-over-tp6", "c-cp3-cf4", "f-enable-reverse-cp"])
def test_a_case_says_how_much_was_compared(case_id: str) -> None:
    case = recorded_cases()[case_id]
    result = examine(case)
    assert result.kernel == "v6.16"
    assert result.phases == len(case.phases)
    assert result.shares == sum(len(p.events) for p in case.observed.phases)


# The results of older rules --------------------------------------------------------------------------------

LATER = {
    "rotation": ("b-late-tp6-over-cf6", "b-late-cp6-over-tf6", "b-close-cp-frees-cf"),
    "exclusive": ("c-exclmix-cp-tpX", "c-exclmix-tpX-cp"),
    "refused exclusive groups": ("c-excl-cf-x1-o1-xf", "c-excl-cf-x2-o0-xf"),
    "pinned failure": ("c-pass-cp-g4-s-s", "c-pass-cp-g4-g2", "d-off-tp.s-X-s"),
}


@cases("ids", LATER.values(), ids=LATER)
def test_v5_3_disagrees_where_later_kernels_changed(ids: tuple[str, ...]) -> None:
    for case_id in ids:
        assert examine(recorded_cases()[case_id], "v5.3").disagreements, case_id


def test_v5_3_agrees_on_singles_that_rotate() -> None:
    for case in chunks()["a0"]:
        assert told(examine(case, "v5.3")) == []


def test_v5_12_and_v6_16_do_the_same_here() -> None:
    for case in stable()[::8]:
        assert told(examine(case, "v5.12")) == []
    assert KERNEL_OF == {"6.12": "v6.16", "7.3": "v6.16", "6.1": "v5.12"}
