"""A page that says how many rules, invariants or kernels there are has the number of the code."""

from __future__ import annotations

import re

from client.check.judge import MONITORS
from client.claims.registry import CLAIMS
from client.cli.demo import PLAN
from client.document.faulted import SCENARIOS
from client.schedule.swarm import SHARES
from contract.design import AXIS_FIELDS
from contract.invariants import INVARIANTS
from contract.kernels import KERNELS
from contract.rules import RULES
from tests.cases import cases
from tests.docs.pages import DOCS, pages, title_of
from tests.docs.shown import text_of
from tests.oracle.recorded import recorded_cases

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBER = rf"([0-9]+|{'|'.join(WORDS)})"
TOTALS = {
    "rules, each with a name": len(RULES),
    "invariants(?! break)": len(INVARIANTS),
    "monitors": len(MONITORS),
    "axes": len(AXIS_FIELDS),
    "kernels": len(KERNELS),
    "claims": len(CLAIMS),
    "come out differently": len(CLAIMS),
    "designs of the story": len({design for design, _ in PLAN}),
    "scenarios of the library with each kind of fault": len(SCENARIOS),
    "recorded cases": len(recorded_cases()),
    "small cases": len(recorded_cases()),
}
"""A thing that pages count, and the number of the code."""


def told(text: str, what: str) -> list[int]:
    """The numbers of ``what`` in the sentences of a page, not in what commands print."""
    prose = re.sub(r"^    .*\n", "", text, flags=re.MULTILINE)
    found = re.findall(rf"\b{NUMBER}\s+\[?{what.replace(' ', chr(92) + 's+')}\b", prose, re.IGNORECASE)
    return [int(each) if each.isdigit() else WORDS.index(each.lower()) + 1 for each in found]


@cases("what", TOTALS)
def test_pages_tell_the_number_of_the_code(what: str) -> None:
    found = {title_of(page): told(text_of(page), what) for page in pages() if page.parent != DOCS / "reference"}
    found = {page: numbers for page, numbers in found.items() if numbers}
    assert found, f"no page tells the number of {what}"
    right = TOTALS[what]
    assert {page: numbers for page, numbers in found.items() if set(numbers) != {right}} == {}


def test_the_share_of_runs_with_two_named_kinds_is_that_of_the_draws() -> None:
    page = text_of(DOCS / "campaigns.md")
    assert f"The probability of a kind is {SHARES[0]}, {SHARES[1]} or\n{SHARES[2]}." in page
    drawn = 1 - sum((1 - share) ** 2 for share in SHARES) / len(SHARES)
    assert f"with `--faults drop,delay` {100 * drawn:.0f} % of the runs draw a rule" in page


def test_numbers_are_found_in_sentences_only() -> None:
    text = "A point on [24 axes](x). It has Four\nkernels' rules.\n\n    held (16 invariants held)\n"
    assert (told(text, "axes"), told(text, "kernels"), told(text, "invariants")) == ([24], [4], [])
