"""``lbrlab cost``: counts and prices as a table and a curve; and other numbers for the lets of a scenario."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from client.cli.cost import COLUMNS, COLUMNS_LIMIT, VALUES
from client.cost.measure import cost_of
from client.run.file import load_run
from perfcore_svc.machine.prices import PRICES
from tests.client.cli.commands import document, lbrlab, unbroken
from tests.designs import DESIGNS, V7, VMX_TRANSITION
from tests.library import library_scenario

EXITS = "c09-exits-per-switch"
"""Its only let is exits, 8 if nothing is said."""
PAIR = ("--designs", "v7,vmx-transition")
FEW = ("--designs", "v7", "--vary", "exits=1,2")
TWO_LETS = "LBR mine\nlet a = 2;\nlet b = 3;\nhost { repeat a { idle cpu0; } repeat b { branch 1; } }\n"


def told(*arguments: str) -> dict[str, Any]:
    result = lbrlab("cost", *arguments, "--json")
    assert result.exit_code == 0
    return document(result)


def lines(*arguments: str) -> list[str]:
    result = unbroken("cost", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


@cache
def pair() -> tuple[dict[str, Any], list[str]]:
    """Two designs and two points, as document and as text."""
    arguments = (EXITS, *PAIR, "--vary", "exits=1,2")
    return told(*arguments), lines(*arguments)


# The document --------------------------------------------------------------------------------------------


def test_its_document_has_what_was_asked_for() -> None:
    loaded = told(EXITS, *PAIR, "--vary", "exits=1,3")

    assert loaded["scenario"] == EXITS
    assert [cost["design"] for cost in loaded["designs"]] == ["v7", "vmx-transition"]
    assert (loaded["curve"]["let"], loaded["curve"]["values"]) == ("exits", [1, 3])
    assert list(loaded["curve"]["cycles"]) == ["v7", "vmx-transition"]
    assert loaded["picture"] is None


def test_prices_are_those_that_are_published() -> None:
    prices = pair()[0]["prices"]
    assert {op: (p["low"], p["typical"], p["high"], p["source"]) for op, p in prices.items()} == {
        op: (c.low, c.typical, c.high, c.source) for op, c in PRICES.items()
    }


def test_costs_are_what_the_run_counted() -> None:
    story = library_scenario(EXITS)
    for cost, design in zip(pair()[0]["designs"], (V7, VMX_TRANSITION), strict=True):
        expected = cost_of(story, design)
        assert (cost["operations"], cost["verdict"]) == (expected.operations, expected.verdict)
        assert cost["cycles"]["typical"] == expected.cycles.typical


@pytest.mark.parametrize("value", [3, 8])
def test_a_point_of_the_curve_is_a_run_with_that_number(value: int) -> None:
    loaded = told(EXITS, *PAIR, "--vary", f"exits=1,{value}")
    for design in ("v7", "vmx-transition"):
        ran = document(lbrlab("run", EXITS, "-d", design, "--let", f"exits={value}", "--json"))
        assert loaded["curve"]["cycles"][design][1] == ran["cycles"]
    if value == 8:
        assert [cost["cycles"] for cost in loaded["designs"]] == [
            line[1] for line in loaded["curve"]["cycles"].values()
        ]


@pytest.mark.parametrize(
    ("vary", "values"),
    [
        ("exits=1..4", [1, 2, 3, 4]),
        ("exits=5,2,9,2", [2, 5, 9]),
        ("exits=0,1", [0, 1]),
        ("exits=1..64", [*range(1, 65)]),
    ],
)
def test_values_are_taken_once_and_in_order(vary: str, values: list[int]) -> None:
    assert told(EXITS, "--designs", "v7", "--vary", vary)["curve"]["values"] == values


def test_an_only_let_is_varied_if_nothing_is_said() -> None:
    curve = told(EXITS, "--designs", "v7")["curve"]
    assert (curve["let"], curve["values"]) == ("exits", VALUES)


def test_one_of_two_lets_has_to_be_named() -> None:
    Path("mine.litmus").write_text(TWO_LETS)

    assert told("mine.litmus", "--designs", "v7")["curve"] is None
    assert told("mine.litmus", "--designs", "v7", "--vary", "b=1,2")["curve"]["let"] == "b"


def test_no_curve_without_a_let() -> None:
    assert told("guest-alone", "--designs", "v7")["curve"] is None


def test_all_designs_if_nothing_is_said_and_each_once() -> None:
    assert [cost["design"] for cost in told("guest-alone")["designs"]] == list(DESIGNS)
    assert [cost["design"] for cost in told("guest-alone", "--designs", "v8,v7,v8")["designs"]] == ["v8", "v7"]


def test_designs_from_files_and_with_other_values() -> None:
    Path("mine.toml").write_text('like = "v7"\n')
    mine, changed = told("guest-alone", "--designs", "./mine.toml,v7+save=none")["designs"]

    assert (mine["design"], changed["design"]) == ("mine", "v7+save=none")
    assert mine["operations"] == told("guest-alone", "--designs", "v7")["designs"][0]["operations"]


def test_nothing_is_left_behind() -> None:
    told(EXITS, *FEW)
    assert list(Path().iterdir()) == []


# The text ------------------------------------------------------------------------------------------------


def table(text: list[str]) -> dict[str, list[str]]:
    """Design to what stands in its line."""
    return {
        line.split()[0]: line.split()[1:] for line in text[2 : text.index(next(t for t in text if t[:7] == "vmexit "))]
    }


def test_its_table_counts_what_the_document_counts() -> None:
    loaded, text = pair()
    costs = loaded["designs"]
    used = [op for op in COLUMNS if any(cost["operations"].get(op) for cost in costs)]

    assert text[0] == f"{EXITS}, the whole run"
    assert re.split(r" {2,}", text[1]) == ["design", "cycles", "range", "ratio", *(COLUMNS[op] for op in used)]
    for cost in costs:
        counts = [f"{cost['operations'].get(op, 0):,}" for op in used]
        cycles = cost["cycles"]
        found = table(text)[cost["design"]]
        assert found[:4] == [f"{cycles['typical']:,}", f"{cycles['low']:,}", "to", f"{cycles['high']:,}"]
        assert found[5:] == counts


RATIO = 4
"""Where the ratio stands behind a design, its price and its range of three words."""


def test_the_cheapest_is_what_others_are_compared_with() -> None:
    loaded, text = pair()
    found = table(text)
    v7, vmx = (cost["cycles"]["typical"] for cost in loaded["designs"])
    assert (found["v7"][RATIO], found["vmx-transition"][RATIO]) == ("1.00x", f"{vmx / v7:.2f}x")


def test_prices_are_named_with_their_sources() -> None:
    text = pair()[1]
    for op, cost in PRICES.items():
        assert f"{op} {cost.typical:,} ({cost.low:,} to {cost.high:,}): {cost.source}" in text


def test_the_curve_is_a_table_and_a_plot() -> None:
    loaded, text = pair()
    at = text.index("typical cycles over exits")
    v7, vmx = loaded["curve"]["cycles"].values()

    assert text[at + 1].split() == ["1", "2"]
    assert text[at + 2].split() == ["A", *(f"{p['typical']:,}" for p in v7)]
    assert text[at + 3].split() == ["B", *(f"{p['typical']:,}" for p in vmx)]
    assert text[at + 4 : at + 6] == ["A  v7", "B  vmx-transition"]
    assert any("(cycles)" in line for line in text[at:])
    assert any("(exits)" in line for line in text[at:])


def test_designs_of_one_line_share_it() -> None:
    text = lines(EXITS, "--designs", "revoke-gp,v7,revoke-zero", "--vary", "exits=1,2")
    assert "A  revoke-gp, revoke-zero" in text


def test_a_long_curve_shows_some_of_its_values_in_the_table() -> None:
    text = lines(EXITS, "--designs", "v7", "--vary", "exits=1..20")
    head = text[text.index("typical cycles over exits") + 1].split()

    assert head == ["1", "4", "7", "10", "13", "16", "19"]
    assert len(head) <= COLUMNS_LIMIT
    assert len(told(EXITS, "--designs", "v7", "--vary", "exits=1..20")["curve"]["cycles"]["v7"]) == 20


def test_a_run_that_says_little_of_the_cost_is_marked() -> None:
    """exists is not witnessed: nobody did what the story is about."""
    Path("asks.litmus").write_text(
        "LBR asks\nhost { e = open cpu0 pinned branch any; }\nexists (host:e.state = ERROR)\n"
    )
    assert table(lines("asks.litmus", "--designs", "v7"))["v7"][RATIO] == "undecided"
    assert table(lines("guest-alone", "--designs", "v7"))["v7"][RATIO] == "1.00x"


def test_a_guest_that_starved_is_marked_and_no_measure_for_others() -> None:
    """It did a third of its work, which is cheap."""
    found = table(lines("c07-entry-fails", "--designs", "fail-entry,fenced"))
    assert found["fail-entry"][RATIO] != "1.00x"


def test_no_line_ends_in_blanks() -> None:
    text = pair()[1]
    assert [line for line in text if line != line.rstrip()] == []


def test_no_line_ends_in_blanks_of_another_kind() -> None:
    text = pair()[1]
    assert [line for line in text if line.endswith("\u2800")] == []


# A picture -----------------------------------------------------------------------------------------------


def test_a_picture_is_drawn_and_named() -> None:
    assert lines(EXITS, *FEW, "--picture", "exits.svg")[-1] == "picture: exits.svg"
    assert Path("exits.svg").read_bytes().startswith(b"<?xml")
    assert told(EXITS, *FEW, "--picture", "exits.png")["picture"] == "exits.png"
    assert Path("exits.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_the_same_when_drawn_again() -> None:
    for name in ("a.svg", "b.svg"):
        lines(EXITS, *FEW, "--picture", name)
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()


# Bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such"], "no-such: neither a file nor a scenario of the library"),
        (["./none.litmus"], "none.litmus: cannot read: No such file or directory"),
        ([EXITS, "--designs", "v9"], "--designs: unknown design 'v9', expected a file or one of v7, "),
        ([EXITS, "--designs", ","], "--designs: expected names, separated by commas"),
        ([EXITS, *FEW, "--vary", "exts=1,2"], "--vary exts=1,2: unknown let 'exts', did you mean 'exits'?"),
        ([EXITS, *FEW, "--vary", "turns=1,2"], "--vary turns=1,2: unknown let 'turns', expected exits"),
        ([EXITS, *FEW, "--vary", "exits"], "--vary exits: expected NAME=1,2,4 or NAME=1..64"),
        ([EXITS, *FEW, "--vary", "exits=1..x"], "--vary exits=1..x: expected NAME=1,2,4 or NAME=1..64"),
        ([EXITS, *FEW, "--vary", "exits=-1,2"], "--vary exits=-1,2: expected NAME=1,2,4 or NAME=1..64"),
        ([EXITS, *FEW, "--vary", "exits=1,,2"], "--vary exits=1,,2: expected NAME=1,2,4 or NAME=1..64"),
        ([EXITS, *FEW, "--vary", "exits=9..1"], "--vary exits=9..1: 0 values, expected 2 to 64"),
        ([EXITS, *FEW, "--vary", "exits=2,2"], "--vary exits=2,2: 1 values, expected 2 to 64"),
        ([EXITS, *FEW, "--vary", "exits=1..65"], "--vary exits=1..65: 65 values, expected 2 to 64"),
        (
            [EXITS, *FEW, "--vary", "exits=1,99999"],
            f"{EXITS}.litmus:17: host+vm0/0 carries out more than 20000 statements",
        ),
        (["guest-alone", "--designs", "v7", "--vary", "exits=1,2"], "--vary exits=1,2: guest-alone has no let"),
        (["guest-alone", "--designs", "v7", "--picture", "x.png"], "--picture: guest-alone has no let to draw"),
        ([EXITS, *FEW, "--picture", "x.gif"], "x.gif: expected a name that ends in .png, .svg, .pdf"),
        ([EXITS, *FEW, "--picture", "x"], "x: expected a name that ends in .png, .svg, .pdf"),
        ([EXITS, *FEW, "--picture", "/dev/null/x.svg"], "/dev/null: cannot be made: "),
    ],
)
def test_bad_input_ends_in_2_with_one_clear_error(arguments: list[str], said: str) -> None:
    result = lbrlab("cost", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_error_with_json_is_a_document_too() -> None:
    result = lbrlab("cost", EXITS, "--vary", "exits", "--json")
    assert document(result) == {"error": result.stderr.strip().removeprefix("lbrlab: error: "), "exit_code": 2}


# Another number for a let of a run -----------------------------------------------------------------------


def test_a_run_takes_another_number_and_keeps_it() -> None:
    ran = document(lbrlab("run", EXITS, "-d", "v7", "--let", "exits=0x2", "-o", "two.json", "--json"))
    usual = document(lbrlab("run", EXITS, "-d", "v7", "--json"))

    assert usual["operations"]["vmexit"] - ran["operations"]["vmexit"] == 6
    assert load_run(Path("two.json")).scenario.lets == {"exits": 2}
    assert document(lbrlab("check", "two.json", "--json")) == ran


@pytest.mark.parametrize(
    ("scenario", "let", "said"),
    [
        (EXITS, "exts=1", "--let exts=1: unknown let 'exts', did you mean 'exits'?"),
        (EXITS, "exits=many", "--let exits=many: 'many' is not a number"),
        (EXITS, "exits=", "--let exits=: '' is not a number"),
        (EXITS, "exits", "--let exits: '' is not a number"),
        (EXITS, "exits=-1", "let 'exits': '-1' does not fit 64 bits"),
        (EXITS, f"exits={1 << 64}", f"let 'exits': '{1 << 64}' does not fit 64 bits"),
        ("guest-alone", "exits=1", "--let exits=1: guest-alone has no let"),
    ],
)
def test_a_let_that_is_none_is_bad_input(scenario: str, let: str, said: str) -> None:
    result = lbrlab("run", scenario, "--let", let)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
