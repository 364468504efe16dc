"""``lbrlab run --schedules``: a histogram, witnesses, and which options it refuses."""

from __future__ import annotations

from pathlib import Path

from client.run.file import load_run
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab


def test_the_command_keeps_a_witness_of_each_outcome_and_each_violation() -> None:
    told = document(lbrlab("run", "r12-fence", "-d", "revoke-gp", "--schedules", "30", "--json", "-o", "seen"))
    assert told["exit_code"] == 1
    assert {"one-owner", "host-clean"} <= set(told["violated"])
    for outcome in told["outcomes"]:
        run = load_run(Path(outcome["witness"]))
        assert run.broken() == outcome["violated"]
        assert str(run.register("host:s0.host")) == outcome["state"]["host:s0.host"]
    for name, violated in told["violated"].items():
        assert name in load_run(Path(violated["witness"])).broken()
    again = lbrlab("run", told["outcomes"][-1]["witness"], "--json")
    assert sorted(document(again)["violations"][0]) == ["because", "invariant", "seq", "text"]


def test_the_text_is_a_histogram() -> None:
    lines = lbrlab("run", "r12-fence", "-d", "revoke-gp", "--schedules", "30").stdout.splitlines()
    assert lines[0] == "Test r12-fence under revoke-gp"
    assert lines[1].startswith("Histogram (")
    assert "No" in lines
    assert any(line.startswith("Observation r12-fence Sometimes ") for line in lines)


@cases("flag", ["--then-default", "--lenient"])
def test_options_of_one_schedule_are_refused(flag: str) -> None:
    result = lbrlab("run", "r12-fence", "--schedules", "3", flag)
    assert (result.exit_code, flag in result.stderr) == (2, True)
