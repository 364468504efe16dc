"""``lbrlab differ``: the smallest difference of two designs, side by side."""

from __future__ import annotations

from pathlib import Path

from client.run.file import load_run
from client.search.differ import differing
from tests.client.cli.commands import document, lbrlab


def test_two_designs_differ_in_a_small_scenario() -> None:
    told = document(lbrlab("differ", "v8", "merged", "--scenarios", "r14-revoke,central-story", "--json"))
    assert (told["differs"], told["exit_code"], told["usual"]) == (True, 1, True)
    one, other = (load_run(Path(path)) for path in told["runs"])
    assert (one.design.name, other.design.name) == ("v8", "merged")
    assert one.scenario == other.scenario
    assert {name: list(pair) for name, pair in differing(one, other).items()} == told["outcome"] != {}
    assert told["difference"]["record"] > 1
    assert told["difference"]["one"] != told["difference"]["other"]
    text = lbrlab("differ", "v8", "merged", "--scenarios", "r14-revoke,central-story").stdout
    assert text.startswith("LBR ")
    assert max(map(len, text.splitlines())) <= 80


def test_a_difference_that_only_a_fault_shows_is_found_by_sampling() -> None:
    designs = ("fenced", "fenced+entry-check=none")
    told = document(
        lbrlab("differ", *designs, "--scenarios", "r12-fence", "--faults", "drop", "--runs", "60", "--json")
    )
    assert (told["differs"], told["scenario"]) == (True, "r12-fence")
    assert told["played"] > 1


def test_no_difference_where_nothing_happens() -> None:
    result = lbrlab("differ", "v7", "v8", "--scenarios", "pinned-error", "--runs", "2")
    assert (result.exit_code, result.stdout) == (0, "No difference in the outcomes of 3 runs.\n")


def test_a_design_does_not_differ_from_itself() -> None:
    assert lbrlab("differ", "v7", "v7").exit_code == 2
