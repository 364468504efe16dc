"""``lbrlab run --schedules``: a histogram, witnesses, and which options it refuses."""

from __future__ import annotations

import re
from pathlib import Path

from client.run.file import load_run
from client.run.presets import rules_of
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
    (verdict,) = [line for line in lines if line.startswith("No")]
    count = re.fullmatch(r"No \((\d+) violated\)", verdict)
    assert count is not None
    assert f"{count[1]} violated" in lines[-4]
    assert any(line.startswith("Observation r12-fence Sometimes ") for line in lines)


def test_an_exists_that_no_run_witnesses_is_not_ok_for_that_reason() -> None:
    result = lbrlab("run", "v8-first-access-race", "-d", "revoke-gp", "--schedules", "1")
    assert (result.exit_code, "\nNo (never witnessed)\n" in result.stdout) == (4, True)


@cases("flag", ["--then-default", "--lenient"])
def test_options_of_one_schedule_are_refused(flag: str) -> None:
    result = lbrlab("run", "r12-fence", "--schedules", "3", flag)
    assert (result.exit_code, flag in result.stderr) == (2, True)


def test_each_schedule_draws_its_own_faults_and_its_witness_repeats_them() -> None:
    command = ("run", "r12-fence", "-d", "fenced", "--faults", "all", "--schedules", "12", "-o", "seen")
    told = document(lbrlab(*command, "--json"))
    witnesses = [load_run(Path(outcome["witness"])) for outcome in told["outcomes"]]
    assert len(witnesses) > 2
    assert len({run.faults for run in witnesses}) == len(witnesses)
    assert len({frozenset(rule.seed for rule in run.faults) for run in witnesses}) == len(witnesses)
    assert [rule.chance for rule in witnesses[0].faults] == [rule.chance for rule in rules_of("all")]
    assert document(lbrlab(*command, "--json")) == told
    assert "Each schedule draws its own faults" in lbrlab(*command).stdout
    for run in witnesses:
        assert run.path is not None
        lbrlab("run", str(run.path), "-o", "again.json")
        again = load_run(Path("again.json"))
        assert (again.faults, again.tape, again.records) == (run.faults, run.tape, run.records)


def test_another_seed_draws_other_faults() -> None:
    faults = []
    for seed in ("1", "2"):
        lbrlab("run", "exits", "-d", "fenced", "--fault", "drop p=0.5", "--schedules", "1", "--seed", seed, "-o", seed)
        faults += [load_run(Path(seed) / "outcome-1.json").faults]
    assert faults[0] != faults[1]
