"""``lbrlab coverage``: what runs exercise, gaps first."""

from __future__ import annotations

from client.coverage import ALL, GROUPS
from tests.client.cli.commands import document, lbrlab


def test_it_sums_over_files_and_folders() -> None:
    lbrlab("run", "central-story", "-d", "fenced", "-o", "runs/a.json")
    lbrlab("run", "r12-fence", "-d", "revoke-gp", "--fault", "drop:Revoke:1", "-o", "runs/b.json")
    told = document(lbrlab("coverage", "runs", "runs/a.json", "--json"))
    assert told["runs"] == 3
    assert list(told["groups"]) == list(GROUPS)
    assert sum(group["total"] for group in told["groups"].values()) == len(ALL)
    rules, faults = told["groups"]["rule"], told["groups"]["fault"]
    assert (rules["runs"]["R14"], rules["runs"]["R9"], faults["runs"]) == (3, 2, {"drop": 1})
    assert {"R24", "R25"} <= set(rules["missing"])
    assert told["groups"]["violated"]["runs"]["one-owner"] == 1
    for group in told["groups"].values():
        assert group["covered"] == len(group["runs"]) == group["total"] - len(group["missing"])
        assert list(group["runs"].values()) == sorted(group["runs"].values())


def test_the_text_begins_each_group_with_its_gaps() -> None:
    lbrlab("run", "central-story", "-o", "a.json")
    lines = lbrlab("coverage", "a.json").stdout.splitlines()
    assert lines[0].startswith("rule: rules of the contract: ")
    assert lines[1].startswith("  never R")
    assert max(map(len, lines)) <= 80


def test_a_folder_without_runs_is_refused() -> None:
    assert lbrlab("coverage", ".").exit_code == 2
    assert lbrlab("coverage", "none.json").exit_code == 2
