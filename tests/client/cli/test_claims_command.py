"""``lbrlab claims``: what was claimed, what the traces say, and the runs that show it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from client.claims import CLAIMS, claim
from client.run.file import load_run
from client.schedule.strategies import DefaultStrategy
from tests.client.cli.commands import document, lbrlab, unbroken

BY_ID = {claim.id: claim for claim in CLAIMS}


def told(*arguments: str) -> dict[str, Any]:
    result = lbrlab("claims", *arguments, "--json")
    loaded = document(result)
    assert loaded["exit_code"] == result.exit_code
    return loaded


@cache
def all_of_them() -> dict[str, Any]:
    """Without their runs, which are in the folder of the first caller."""
    return told()


def lines(*arguments: str) -> list[str]:
    return unbroken("claims", *arguments).stdout.splitlines()


# Exit status and text ----------------------------------------------------------------------------------------


def test_agreement_ends_in_0() -> None:
    loaded = told("C11", "C8")
    assert (loaded["exit_code"], loaded["agree"], loaded["findings"]) == (0, 2, 0)


def test_a_finding_ends_in_1() -> None:
    loaded = told("C11", "C4")
    assert (loaded["exit_code"], loaded["agree"], loaded["findings"]) == (1, 1, 1)


def test_all_of_them_if_none_is_named() -> None:
    loaded = all_of_them()
    assert [c["id"] for c in loaded["claims"]] == [f"C{n}" for n in range(1, 25)]
    assert loaded["agree"] == sum(c["agrees"] for c in loaded["claims"]) == 24 - loaded["findings"]


def test_those_that_are_named_in_their_order_whatever_the_case() -> None:
    loaded = told("c24", "C2")
    assert [(c["id"], c["author"], c["text"]) for c in loaded["claims"]] == [
        (BY_ID[name].id, BY_ID[name].author, BY_ID[name].text) for name in ("C24", "C2")
    ]


def test_a_claim_agrees_if_all_its_checks_do() -> None:
    for found in all_of_them()["claims"]:
        assert found["agrees"] == all(check["agrees"] for check in found["checks"])
        assert found["checks"]


def test_another_design_changes_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it prints is written down anywhere."""
    before = told("C6")["claims"][0]
    named = claim.design_named
    monkeypatch.setattr(claim, "design_named", lambda name: named("fenced"))
    after = told("C6")["claims"][0]
    assert (before["agrees"], after["agrees"]) == (True, False)


# The runs ------------------------------------------------------------------------------------------------


def test_each_check_names_a_run_that_can_be_looked_at() -> None:
    for check in [check for found in told("C4", "C24")["claims"] for check in found["checks"]]:
        run = load_run(Path(check["run"]))
        checked = lbrlab("check", check["run"], "--json")

        assert check["run"].startswith("lbrlab-runs/claims/")
        assert run.design.name == check["design"]
        assert 0 <= check["seq"] <= len(run.records)
        assert checked.exit_code in (0, 1, 4)


def test_a_violation_that_a_check_names_is_one_of_its_run() -> None:
    seen = 0
    for check in told("C6")["claims"][0]["checks"]:
        judged = document(lbrlab("check", check["run"], "--json"))
        if "violated" in check["found"] and check["seq"]:
            assert check["seq"] in {violation["seq"] for violation in judged["violations"]}
            seen += 1
    assert seen > 0


def test_runs_go_where_output_says() -> None:
    (found,) = told("C11", "-o", "here")["claims"]
    assert {Path(check["run"]).parent for check in found["checks"]} == {Path("here")}
    assert lines("C11", "-o", "here")[-1] == "The runs are in here: lbrlab show FILE"
    assert not Path("lbrlab-runs").exists()


# The text ------------------------------------------------------------------------------------------------


def test_a_claim_that_agrees() -> None:
    head, *checks, legend, total, where = lines("C11")

    assert re.fullmatch(r"C11 +agrees +Only DEBUGCTL is switched on VMX transitions \(Wei Wang\)", head)
    assert [line.split()[:2] for line in checks] == [["=", "v7:"], ["=", "merged:"]]
    assert legend == "= as claimed   # not as claimed"
    assert total == "claims that agree with the model: 1; that do not (findings): 0"
    assert where == "The runs are in lbrlab-runs/claims: lbrlab show FILE"


def test_a_finding_says_what_was_claimed_and_where_to_look() -> None:
    found = lines("C4")
    (check,) = [line for line in found if line.strip().startswith("# v7-pinned:")]

    assert found[0].split()[:2] == ["C4", "FINDING"]
    assert check.endswith("  c04-cpu-pinned-comes-later-v7-pinned.json")
    assert found[found.index(check) + 1].strip().startswith("claimed: evicted: ")


def test_the_text_has_the_checks_of_the_document() -> None:
    (found,) = told("C4")["claims"]
    text = "\n".join(lines("C4"))

    for check in found["checks"]:
        where = Path(check["run"]).name + (f" record {check['seq']}" if check["seq"] else "")
        assert f"{'=' if check['agrees'] else '#'} {check['design']}: {check['found']}  {where}\n" in text


@pytest.mark.parametrize("name", ["C4", "C10", "C21"])
def test_designs_of_which_the_same_was_claimed_and_found_share_a_line_unless_each_is_asked_for(name: str) -> None:
    checks, others = (told(which)["claims"][0]["checks"] for which in (name, "C11"))

    def count(*more: str) -> int:
        return sum(line.startswith(("      = ", "      # ")) for line in lines(name, *more))

    def kinds(of: list[dict[str, Any]]) -> int:
        return len({(check["agrees"], check["expected"], check["found"]) for check in of})

    assert kinds(checks) < len(checks)
    assert count("C11") == kinds(checks) + kinds(others)
    assert count("C11", "-v") == len(checks) + len(others)
    assert count() == len(checks)


def test_up_to_four_of_such_designs_are_named_and_the_others_counted() -> None:
    text = "\n".join(lines("C10", "C16"))
    assert "# v7+save=none, v7-pinned+save=none, v8+save=none and 9 more: " in text
    assert "= v7, v8, merged: it is ACTIVE" in text


def test_no_line_ends_in_blanks() -> None:
    assert [line for line in lines("C4", "C12", "C24", "-v") if line != line.rstrip()] == []


# Bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["C99"], "CLAIM: unknown claim 'C99', did you mean 'C9'?"),
        (["C1", "claims"], "CLAIM: unknown claim 'claims'"),
        (["C11", "-o", "taken"], "taken: cannot be made: "),
    ],
)
def test_bad_input_ends_in_2_with_one_clear_error(arguments: list[str], said: str) -> None:
    Path("taken").write_text("in the way")
    result = lbrlab("claims", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert document(lbrlab("claims", *arguments, "--json"))["exit_code"] == 2


def test_interrupted_it_ends_in_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DefaultStrategy, "choose", interrupt)
    assert lbrlab("claims", "C4").exit_code == 130
