"""Baselines of run, matrix and claims: what is known is green, what is new or has vanished is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from client.baseline import Baseline, Compared, KnownFinding, KnownRun, RunKey, load_baseline, save_baseline
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab, unbroken

RUN = ("run", "central-story", "-d", "v7")
MATRIX = ("matrix", "--scenarios", "c05*,c06*", "--designs", "v7,fenced", "--workers", "1")
FEW = ("claims", "C3", "C5", "C16")


def known(path: str = "b.json") -> list[dict[str, Any]]:
    runs = json.loads(Path(path).read_text(encoding="utf-8"))["runs"]
    assert isinstance(runs, list)
    return runs


def edit(old: str, new: str, path: str = "b.json") -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert text.count(old) == 1
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


def told(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = lbrlab(*arguments, "--json")
    shown = document(result)
    assert shown["exit_code"] == result.exit_code
    return result.exit_code, shown


# run -------------------------------------------------------------------------------------------------------


def test_a_run_like_its_baseline_is_green() -> None:
    broken = told(*RUN)[1]["surprises"]
    assert len(broken) > 1
    for more in (("--write-baseline", "b.json"), ("--baseline", "b.json"), ("--baseline", "b.json", "--wire", "sim")):
        code, shown = told(*RUN, *more)
        assert (code, shown["verdict"], shown["reason"]) == (0, "expected", f"as in the baseline: {', '.join(broken)}")
        assert shown["baseline"] == {"new": [], "known": broken, "vanished": []}
    assert told(*RUN)[1]["baseline"] is None


def test_what_is_new_and_what_has_vanished() -> None:
    first, *others = told(*RUN, "--write-baseline", "b.json")[1]["baseline"]["known"]
    edit(f'"{first}"', '"no-counter"')
    code, shown = told(*RUN, "--baseline", "b.json")
    assert (code, shown["verdict"]) == (1, "violated")
    assert shown["reason"] == f"not in the baseline: {first}; only in the baseline: no-counter"
    assert shown["baseline"] == {"new": [first], "known": others, "vanished": ["no-counter"]}
    result = unbroken(*RUN, "--baseline", "b.json")
    assert f"violated (not in the baseline: {first}; only in the baseline: no-counter)" in result.stdout


def test_a_violation_that_vanished_is_not_green() -> None:
    told(*RUN, "--write-baseline", "b.json")
    edit('"v7"', '"fenced"')
    code, shown = told("run", "central-story", "-d", "fenced", "--baseline", "b.json")
    assert (code, shown["baseline"]["new"]) == (1, [])
    assert shown["baseline"]["vanished"] == known()[0]["known"]


def test_what_is_expected_is_no_surprise() -> None:
    broken = told(*RUN)[1]["surprises"]
    expect = ("--expect", f"violated {', '.join(broken)}")
    code, shown = told(*RUN, *expect, "--write-baseline", "b.json")
    assert (code, shown["verdict"], known()) == (0, "expected", [])


def test_undecided_can_be_known() -> None:
    undecided = ("run", "c05-passthrough-without-event", "-d", "fenced")
    assert told(*undecided)[0] == 4
    told(*RUN, "--write-baseline", "b.json")
    code, shown = told(*undecided, "--baseline", "b.json")
    assert (code, shown["baseline"]) == (4, {"new": ["undecided"], "known": [], "vanished": []})
    assert told(*undecided, "--write-baseline", "b.json")[0] == 0
    assert told(*undecided, "--baseline", "b.json")[0] == 0


def test_faults_and_lets_are_other_runs() -> None:
    told(*RUN, "--write-baseline", "b.json")
    lost = ("run", "central-story", "-d", "revoke-gp", "--fault", "drop:Revoke:1")
    told(*lost, "--write-baseline", "b.json")
    told(
        "run",
        "c09-exits-per-switch",
        "--let",
        "exits=0x2",
        "--expect",
        "violated no-counter",
        "--write-baseline",
        "b.json",
    )
    assert [one["run"] for one in known()] == [
        {"scenario": "c09-exits-per-switch", "design": "merged", "lets": ["exits=2"]},
        {"scenario": "central-story", "design": "revoke-gp", "faults": ["drop Revoke 1"]},
        {"scenario": "central-story", "design": "v7"},
    ]
    assert told(*lost, "--baseline", "b.json")[0] == 0
    assert told("run", "central-story", "-d", "revoke-gp", "--baseline", "b.json")[1]["baseline"]["vanished"] == []


def test_a_replay_has_the_baseline_of_its_run() -> None:
    lost = ("run", "central-story", "-d", "revoke-gp", "--fault", "drop:Revoke:1")
    told(*lost, "-o", "a.json", "--write-baseline", "b.json")
    assert told("run", "a.json", "--baseline", "b.json")[0] == 0


# check -----------------------------------------------------------------------------------------------------


def test_a_run_file_has_the_baseline_of_its_run() -> None:
    lost = ("run", "central-story", "-d", "revoke-gp", "--fault", "drop:Revoke:1")
    ran = told(*lost, "-o", "a.json", "--write-baseline", "b.json")
    assert ran[0] == 0
    assert told("check", "a.json", "--baseline", "b.json") == ran
    assert told("check", "a.json", "--write-baseline", "c.json") == ran
    assert known("c.json") == known()
    assert told("check", "a.json")[0] == 1


def test_a_check_tells_what_is_new_and_what_has_vanished() -> None:
    first, *others = told(*RUN, "-o", "a.json", "--write-baseline", "b.json")[1]["baseline"]["known"]
    edit(f'"{first}"', '"no-counter"')
    code, shown = told("check", "a.json", "--baseline", "b.json")
    assert code == 1
    assert shown["baseline"] == {"new": [first], "known": others, "vanished": ["no-counter"]}


def test_a_check_of_a_run_that_failed_keeps_what_was_known() -> None:
    told(*RUN, "-o", "a.json", "--write-baseline", "b.json")
    run = json.loads(Path("a.json").read_text(encoding="utf-8"))
    Path("a.json").write_text(json.dumps(run | {"failure": {"service": "kvm-svc", "reason": "died"}}), encoding="utf-8")
    before = known()
    code, shown = told("check", "a.json", "--write-baseline", "b.json")
    assert (code, shown["baseline"], known()) == (3, None, before)


def test_the_baseline_of_a_check_is_read_first() -> None:
    result = lbrlab("check", "missing.json", "--baseline", "nothing.json")
    assert result.exit_code == 2
    assert "nothing.json: cannot read" in result.stderr


# matrix ----------------------------------------------------------------------------------------------------


def test_a_matrix_like_its_baseline_is_green() -> None:
    assert told(*MATRIX)[0] == 1
    for flag in ("--write-baseline", "--baseline"):
        code, shown = told(*MATRIX, flag, "b.json")
        assert (code, shown["verdict"]) == (0, "expected")
        assert (shown["baseline"]["new"], shown["baseline"]["vanished"]) == ([], [])
        assert {cell["verdict"] for cell in shown["cells"]} <= {"held", "expected"}
    assert told("run", "c06-silent-malfunction", "-d", "v7", "--baseline", "b.json")[0] == 0


def test_a_matrix_with_more_and_less_than_its_baseline() -> None:
    told(*MATRIX, "--write-baseline", "b.json")
    v7 = next(one for one in known() if one["run"] == {"scenario": "c06-silent-malfunction", "design": "v7"})
    edit('"c06-silent-malfunction", "design": "v7"', '"c06-silent-malfunction", "design": "fenced"')
    code, shown = told(*MATRIX, "--baseline", "b.json")
    assert code == 1
    for field, design in (("new", "v7"), ("vanished", "fenced")):
        assert shown["baseline"][field] == [f"c06-silent-malfunction under {design}: {name}" for name in v7["known"]]

    result = lbrlab(*MATRIX, "--baseline", "b.json")
    row = next(line for line in result.stdout.splitlines() if line.startswith("c06-silent-malfunction "))
    assert row.split()[1:] == ["X", "v"]
    for text in (
        f"new c06-silent-malfunction under v7: {v7['known'][0]}",
        "vanished c06-silent-malfunction under fenced",
    ):
        assert text in result.stdout
    count = len(v7["known"])
    assert f"against the baseline: {count} new, {count} vanished, " in result.stdout


def test_another_kernel_is_another_run() -> None:
    args = ("matrix", "--scenarios", "central-story", "--designs", "v7", "--kernel", "v5.3")
    told(*args, "--write-baseline", "b.json")
    assert [one["run"] for one in known()] == [{"scenario": "central-story", "design": "v7", "kernel": "v5.3"}]
    assert told(*args, "--baseline", "b.json")[0] == 0
    assert told(*RUN, "--baseline", "b.json")[0] == 1


def test_a_scenario_that_cannot_be_run_can_be_known() -> None:
    Path("bad.litmus").write_text("LBR bad vm vm0 { } vm0/0 { while 1 = 1 { } }", encoding="utf-8")
    args = ("matrix", "--scenarios", "./bad.litmus", "--designs", "v7")
    assert told(*args)[0] == 4
    assert told(*args, "--write-baseline", "b.json")[0] == 0
    assert known()[0]["known"] == ["impossible"]


# claims ----------------------------------------------------------------------------------------------------


def test_claims_like_their_baseline_are_green() -> None:
    assert told(*FEW)[0] == 1
    findings = told(*FEW, "--write-baseline", "b.json")[1]["baseline"]["known"]
    assert len(findings) > 0
    code, shown = told(*FEW, "--baseline", "b.json")
    assert (code, shown["baseline"]) == (0, {"new": [], "known": findings, "vanished": []})
    assert shown["findings"] > 0
    text = lbrlab(*FEW, "--baseline", "b.json").stdout
    assert ("FINDING" in text, "known" in text) == (False, True)


def test_claims_with_more_and_less_than_their_baseline() -> None:
    told(*FEW, "--write-baseline", "b.json")
    edit('"claim": "C3"', '"claim": "C16"')
    code, shown = told(*FEW, "--baseline", "b.json")
    assert code == 1
    assert [text.split()[0] for text in shown["baseline"]["new"]] == ["C3"]
    assert [text.split()[0] for text in shown["baseline"]["vanished"]] == ["C16"]
    assert told("claims", "C5", "--baseline", "b.json")[0] == 0
    assert "vanished C16" in lbrlab(*FEW, "--baseline", "b.json").stdout


def test_runs_and_claims_share_a_file() -> None:
    told(*RUN, "--write-baseline", "b.json")
    told(*FEW, "--write-baseline", "b.json")
    told("claims", "C16", "--write-baseline", "b.json")
    assert told(*RUN, "--baseline", "b.json")[0] == told(*FEW, "--baseline", "b.json")[0] == 0


# files -----------------------------------------------------------------------------------------------------


def test_a_file_is_what_was_saved(tmp_path: Path) -> None:
    key = RunKey("s", "v7+save=none", "v5.3", ("drop Revoke 1",), ("n=3",))
    claims = [KnownFinding("C3", "v7", "a"), KnownFinding("C20", "v7", 'quoted "b"')]
    baseline = Baseline().with_runs({key: ["no-leak"], RunKey("a", "v8"): []}).with_claims(["C3", "C20"], claims[::-1])
    assert (baseline.runs, baseline.claims) == ([KnownRun(key, ("no-leak",))], claims)
    save_baseline(baseline, tmp_path / "b.json")
    assert load_baseline(tmp_path / "b.json") == baseline
    assert len((tmp_path / "b.json").read_text(encoding="utf-8").splitlines()) == 8
    assert str(key) == "s under v7+save=none (v5.3, drop Revoke 1, n=3)"
    assert Compared() == Compared([], [], [])


@cases("flag", ["--baseline", "--write-baseline"])
@cases(
    ("content", "message"),
    [
        ("{}", "is not a baseline: the field 'format' is missing"),
        ("LBR x", "is not a baseline: "),
        (
            '{"format": "lbrlab-run", "version": 3}',
            "is not a baseline: its format is 'lbrlab-run', expected 'lbrlab-baseline'",
        ),
        (
            '{"format": "lbrlab-baseline", "version": 1, "runs": 3}',
            "is not a baseline: runs: expected a list, found a whole number",
        ),
        (
            '{"format": "lbrlab-baseline", "version": 1, "claims": [{"claim": "x", "design": "", "expected": ""}]}',
            "'x'",
        ),
    ],
)
def test_a_file_that_is_no_baseline_is_left_alone(flag: str, content: str, message: str) -> None:
    Path("b.json").write_text(content, encoding="utf-8")
    for command in (RUN, MATRIX, FEW):
        result = lbrlab(*command, flag, "b.json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"lbrlab: error: b.json: {message}" in result.stderr
    assert Path("b.json").read_text(encoding="utf-8") == content
    assert not Path("lbrlab-runs").exists()


def test_a_file_that_cannot_be_there() -> None:
    result = lbrlab(*RUN, "--baseline", "no.json")
    assert (result.exit_code, result.stderr) == (2, "lbrlab: error: no.json: cannot read: No such file or directory\n")
    Path("file").write_text("")
    result = lbrlab(*RUN, "--write-baseline", "file/b.json")
    assert (result.exit_code, result.stderr) == (2, "lbrlab: error: file: cannot be made: File exists\n")
