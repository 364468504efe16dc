"""The command line as a user meets it: exit codes, documents, one clear error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client.check.judge import MONITORS
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab, unbroken
from tests.designs import DESIGNS


def test_run_reports_verdict_invariants_outcome_and_the_run_file(in_tmp: Path) -> None:
    result = lbrlab("run", "central-story", "-d", "revoke-gp", "--json")
    told = document(result)

    assert result.exit_code == told["exit_code"] == 0
    assert told["verdict"] == "held"
    asked = {i.name for i in MONITORS} - {"user-clean", "capability-kept", "stream-kept", "grants-kept"}
    assert told["invariants"] == {i.name: "held" if i.name in asked else "not exercised" for i in MONITORS}
    assert isinstance(told["outcome"], dict)
    assert told["outcome"]["vm0/0:t1"] == "#GP"
    assert told["outcome"]["host:s0"] == {"entries": 11, "host": 11, "guest": 0, "empty": 21}
    assert (in_tmp / str(told["run"])).is_file()


def test_a_violation_ends_in_1() -> None:
    result = lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "drop:Revoke:1")

    assert result.exit_code == 1
    assert "VIOLATED" in result.stdout


def test_check_gives_the_verdict_of_the_run_without_running() -> None:
    ran = document(lbrlab("run", "central-story", "-d", "v8", "-o", "v8.json", "--json"))
    checked = document(lbrlab("check", "v8.json", "--json"))

    assert checked == ran


def test_a_run_replays_from_its_run_file_to_the_same_trace() -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "duplicate:Revoke:1", "-o", "a.json")
    again = lbrlab("run", "central-story", "-d", "revoke-gp", "--tape", "a.json", "-o", "b.json")

    assert again.exit_code == 0
    assert json.loads(Path("b.json").read_text())["trace"] == json.loads(Path("a.json").read_text())["trace"]


def test_a_run_file_is_run_again_as_it_was() -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "drop:Revoke:1", "-o", "a.json")
    again = lbrlab("run", "a.json", "-o", "b.json")

    assert again.exit_code == 1
    assert json.loads(Path("b.json").read_text())["trace"] == json.loads(Path("a.json").read_text())["trace"]


@pytest.mark.parametrize(
    ("head", "notes"),
    [
        ("machine { lbr = none; } vm vm0 { lbr = on; } vm vm1 { lbr = off; } vm vm2 { }", ["vm0", "vm2"]),
        ("machine { lbr = arch; } vm vm0 { lbr = on; }", []),
        ("vm vm0 { lbr = on; }", []),
    ],
)
def test_a_vm_that_cannot_have_the_lbr_it_asks_for_is_noted(in_tmp: Path, head: str, notes: list[str]) -> None:
    Path("x.litmus").write_text(f"LBR x {head} host {{ idle cpu0; }}")
    said = [f"{vm} has lbr = on, its host has no LBR: LBR_FMT is 0" for vm in notes]
    assert document(lbrlab("run", "x.litmus", "--json"))["notes"] == said
    printed = lbrlab("run", "x.litmus").stdout.splitlines()
    assert [line for line in printed if line.startswith("  note ")] == [f"  note {text}" for text in said]


def test_no_run_takes_the_place_of_another(in_tmp: Path) -> None:
    usual = ("run", "c09-exits-per-switch", "-d", "v7")
    first = document(lbrlab(*usual, "--json"))["run"]
    runs = [first]
    for more in (
        ["--let", "exits=2"],
        ["--let", "exits=3"],
        ["--fault", "duplicate:EventCreated:1"],
        ["--tape", first],
    ):
        runs.append(document(lbrlab(*usual, *more, "--json"))["run"])
    runs.append(document(lbrlab("run", runs[3], "--let", "exits=8", "--json"))["run"])
    assert len({*runs}) == len(runs)
    assert lbrlab("run", first).exit_code == 0
    assert json.loads(Path(first).read_text())["faults"] == []


def test_a_guest_whose_thread_is_on_no_cpu_of_its_new_host_does_not_starve(in_tmp: Path) -> None:
    """It has not been run there; the CPU that it had is the other host's."""
    Path("moves.litmus").write_text(
        "LBR moves machine { cpus = 1; } machine dest { cpus = 1; } kvm kvm1 on dest; vm vm0 { lbr = on; }"
        "host, vm0/0, user { host: run vm0/0 on cpu0; vm0/0: nop;"
        " user: m = migrate vm0/0 to kvm1 with lbr; vm0/0: nop; }"
    )
    told = document(lbrlab("run", "moves.litmus", "-d", "fenced", "--json"))
    assert (told["exit_code"], told["invariants"]["no-starvation"]) == (4, "held")


def test_a_run_file_goes_with_no_other_tape_and_no_fault() -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "a.json")
    for more in (["--tape", "a.json"], ["--fault", "drop:Revoke:1"]):
        result = lbrlab("run", "a.json", *more)
        assert (result.exit_code, "a run file contains its tape and its faults" in result.stderr) == (2, True)
    assert re.search(r"a\.json: decision .* \(--lenient skips such", lbrlab("run", "a.json", "-d", "v7").stderr)
    assert lbrlab("run", "a.json", "-d", "v7", "--lenient").exit_code == 1


def test_a_tape_of_another_design_is_refused_at_its_first_divergence() -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "a.json")
    result = lbrlab("run", "central-story", "-d", "v7", "--tape", "a.json")

    assert result.exit_code == 2
    assert "a.json: decision 15: diverges" in result.stderr


def test_a_fault_that_meets_no_message_is_reported() -> None:
    told = document(lbrlab("run", "central-story", "-d", "v7", "--fault", "drop:Revoke:1", "--json"))

    assert told["faults"] == [{"fault": "drop Revoke 1", "applied": False}]


def test_a_lost_message_leaves_a_thread_unfinished_which_breaks_liveness() -> None:
    result = lbrlab("run", "guest-alone", "-d", "merged", "--fault", "drop:EventCreated:1", "--json")
    told = document(result)

    assert (result.exit_code, told["reason"]) == (1, "agreement, no-starvation")
    assert told["unfinished"] == {"vm0/0": "waits for EventCreated"}


def test_exists_that_is_not_witnessed_is_undecided() -> None:
    result = lbrlab("run", "v8-first-access-race", "-d", "revoke-gp")

    assert result.exit_code == 4
    assert "not witnessed" in result.stdout


@cases(
    ("arguments", "said"),
    [
        (
            ["run", "central-story", "-d", "v9"],
            "--design: unknown design 'v9', expected a file or one of v7, v7-pinned, ",
        ),
        (["run", "central-story", "-d", "revoke_gp"], "fail-entry, fenced, did you mean 'revoke-gp'?"),
        (["run", "no-such-story"], "neither a file nor a scenario of the library"),
        (["run", "missing.litmus"], "missing.litmus"),
        (["run", "./mine.toml"], "./mine.toml: looks like a design, which -d takes; expected a litmus file"),
        (["run", "mine.tape"], "mine.tape: looks like a tape, which --tape takes; expected a litmus file"),
        (["run", "fenced"], "fenced: is a design, which -d takes; expected a scenario by name or file"),
        (["run", "exits", "-d", "./x.litmus"], "--design ./x.litmus: looks like a scenario, which is named before the"),
        (["run", "exits", "-d", "x.tape"], "--design x.tape: looks like a tape, which --tape takes; expected a design"),
        (["run", "exits", "-d", "guest-alone"], "--design: 'guest-alone' is a scenario; expected a design by name"),
        (["run", "exits", "-d", "v9", "--schedules", "2"], "--design: unknown design 'v9'"),
        (["step", "exits", "-d", "v9"], "--design: unknown design 'v9'"),
        (["record", "-d", "v9"], "--design: unknown design 'v9'"),
        (["differ", "v7", "v9"], "B: unknown design 'v9'"),
        (["run", "central-story", "--fault", "lose:Revoke:1"], "unknown kind 'lose'"),
        (["run", "central-story", "--fault", "drop:Revok:1"], "unknown message 'Revok'"),
        (["run", "central-story", "--fault", "drop:Revoke:0"], "'0' is not a number from 1"),
        (["run", "central-story", "--perfcore", "localhost:1"], "expected both --perfcore and --kvm"),
        (["run", "central-story", "--tape", "missing.tape"], "missing.tape: cannot read"),
        (["check", "missing.json"], "missing.json: cannot read"),
        (["show", "missing.json"], "missing.json: cannot read"),
    ],
)
def test_bad_input_ends_in_2_with_one_clear_error(arguments: list[str], said: str) -> None:
    result = lbrlab(*arguments)

    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_error_with_json_is_a_document_too() -> None:
    result = lbrlab("run", "central-story", "-d", "v9", "--json")

    assert document(result)["exit_code"] == result.exit_code == 2


@cases(
    ("text", "said"),
    [
        ("LBR x\nhost { branch 8 on cpu0 }\n", "bad.litmus:2:"),
        ("LBR x\nmachine { cpus = 0; }\nhost { idle cpu0; }\n", "bad.litmus:2:18"),
        ("LBR x\nmachine { depth = 7; }\nhost { idle cpu0; }\n", "bad.litmus:2:19"),
        ("", "bad.litmus: is empty"),
        ("// nothing", "bad.litmus:1:1"),
    ],
)
def test_bad_litmus_text_names_line_and_column(text: str, said: str) -> None:
    Path("bad.litmus").write_text(text)
    result = lbrlab("run", "bad.litmus")

    assert result.exit_code == 2
    assert said in result.stderr


@cases(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], "not a run file"),
        (
            lambda text: text.replace('"lbrlab-run"', '"other"', 1),
            "is not a run file: its format is 'other', expected 'lbrlab-run'",
        ),
        (
            lambda text: text.replace('"version":3', '"version":2', 1),
            "is a run file of version 2; this program reads version 3",
        ),
        (
            lambda text: text.replace('"kind":"switch","cpu":0', '"kind":"switch","cpu":"x"', 1),
            "trace: record 9: cpu: expected a whole number, found a text",
        ),
        (lambda text: text.replace('"seq":5,', '"seq":6,', 1), "trace: record 5"),
        (lambda text: text.replace('"step host', '"stride host', 1), "tape: decision"),
    ],
)
def test_a_damaged_run_file_is_refused_at_its_place(spoil: object, said: str) -> None:
    if not Path("whole.json").exists():
        lbrlab("run", "central-story", "-d", "v7", "-o", "whole.json")
    assert callable(spoil)
    compact = json.dumps(json.loads(Path("whole.json").read_text()), separators=(",", ":"))
    spoiled = spoil(compact)
    assert spoiled != compact
    Path("run.json").write_text(spoiled)
    for command in ("check", "show"):
        result = lbrlab(command, "run.json")

        assert result.exit_code == 2
        assert result.stderr.startswith("lbrlab: error: run.json: ")
        assert said in result.stderr


def test_show_marks_the_record_that_breaks_an_invariant() -> None:
    lbrlab("run", "central-story", "-d", "kvm-switch", "-o", "run.json")
    lines = unbroken("show", "run.json").stdout.splitlines()
    marked = [line for line in lines if "!! one-owner" in line]

    assert lines[0].split() == ["seq", "time", "c0", "source", "record"]
    assert marked
    assert all("enter vm0/0" in line or "LBR_" in line for line in marked)


def test_show_can_be_narrowed_to_one_invariant() -> None:
    lbrlab("run", "central-story", "-d", "kvm-switch", "-o", "run.json")
    whole = lbrlab("show", "run.json").stdout.splitlines()
    narrow = lbrlab("show", "run.json", "-i", "host-clean").stdout.splitlines()
    assert lbrlab("show", "run.json", "-i", "guest-clean").stdout == "guest-clean: held\n"

    assert "!! host-clean" in narrow[-1]
    assert len(narrow) < len(whole) // 4


def test_the_lists_have_machine_readable_twins() -> None:
    assert set(document(lbrlab("designs", "--json"))) == set(DESIGNS)
    assert set(document(lbrlab("invariants", "--json"))) == {i.name for i in MONITORS}
    assert "central-story" in document(lbrlab("scenarios", "--json"))
    for name in ("designs", "invariants", "scenarios"):
        shown = lbrlab(name).stdout
        assert [entry for entry in document(lbrlab(name, "--json")) if entry not in shown] == []


def test_demo_in_one_process_shows_every_design_and_ends_in_1() -> None:
    result = lbrlab("demo", "--wire", "sim", "--json")
    told = document(result)

    assert result.exit_code == 1
    assert isinstance(told["runs"], list)
    shown = ["v7", "v8", "merged", "kvm-switch", "revoke-gp", "revoke-gp", "fenced"]
    assert [run["design"] for run in told["runs"]] == shown
    assert [run["verdict"] for run in told["runs"]] == [*["violated"] * 4, "held", "violated", "held"]
    assert "!! one-owner" in str(told["example"])


def test_an_interrupted_run_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from client.schedule.strategies import DefaultStrategy

    choose = DefaultStrategy.choose
    calls = 0

    def interrupt(self: DefaultStrategy, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        return choose(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(DefaultStrategy, "choose", interrupt)
    result = lbrlab("run", "central-story", "-o", "run.json")

    assert result.exit_code == 130
    assert lbrlab("check", "run.json").exit_code == 3
    assert len(json.loads(Path("run.json").read_text())["tape"]) == 11


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The installed command as a process of its own."""
    command = [sys.executable, "-c", "from client.cli.entry import main; main()", *arguments]
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, timeout=60, check=False, **options)


def test_a_usage_error_with_json_is_a_document_too() -> None:
    result = process("run", "central-story", "--bogus", "--json")

    assert result.returncode == 2
    assert json.loads(result.stdout)["exit_code"] == 2
    assert result.stderr == "lbrlab: error: No such option: --bogus ('lbrlab run --help' shows how)\n"


def test_a_reader_that_goes_away_is_no_verdict() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        result = process("designs", stdout=gone)

    assert (result.returncode, result.stderr) == (141, "")


def test_a_full_disk_under_standard_output_is_the_environments_fault() -> None:
    with open("/dev/full", "w") as full:
        result = process("check", "no-such-run", "--json", stdout=full)
        listed = process("designs", stdout=full)

    assert (result.returncode, listed.returncode) == (3, 3)
    assert "cannot write to standard output" in listed.stderr


def test_a_signal_ends_a_run_as_ctrl_c_does() -> None:
    script = (
        "import os, signal; from client.cli import entry; entry._run = lambda: os.kill(os.getpid(), signal.SIGTERM)"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"{script}; entry.main()"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (result.returncode, result.stderr) == (130, "lbrlab: error: interrupted\n")


def test_an_output_never_destroys_what_is_no_run_file(in_tmp: Path) -> None:
    story = in_tmp / "story.litmus"
    story.write_text("LBR x\nhost { idle cpu0; }\n")
    same = lbrlab("run", "story.litmus", "-o", "story.litmus")
    (in_tmp / "notes.txt").write_text("mine")
    other = lbrlab("run", "story.litmus", "-o", "notes.txt")

    assert (same.exit_code, other.exit_code) == (2, 2)
    assert story.read_text().startswith("LBR x")
    assert (in_tmp / "notes.txt").read_text() == "mine"


def test_a_run_that_cannot_be_kept_is_still_judged(in_tmp: Path) -> None:
    (in_tmp / "lbrlab-runs").write_text("in the way")
    result = lbrlab("run", "central-story", "-d", "revoke-gp")

    assert result.exit_code == 0
    assert "the run is not kept" in result.stderr


def test_a_fault_that_meets_nothing_leaves_the_run_undecided() -> None:
    told = document(lbrlab("run", "guest-alone", "-d", "revoke-gp", "--fault", "drop:Revoke:1", "--json"))

    assert (told["verdict"], told["reason"]) == ("undecided", "fault 'drop Revoke 1' matched no message")


def test_a_fault_with_a_probability_that_is_not_drawn_is_no_error() -> None:
    command = ("run", "guest-alone", "-d", "revoke-gp", "--fault", "drop p=0.000001", "--fault", "cut at p=0.000001")
    told = document(lbrlab(*command, "--json"))
    text = lbrlab(*command)

    assert (told["verdict"], told["exit_code"], text.exit_code) == ("held", 0, 0)
    assert [fault["applied"] for fault in told["faults"]] == [False, False]
    assert "not drawn: drop p=1e-06; cut at p=1e-06" in text.stdout
    both = lbrlab(*command, "--fault", "drop Revoke 1")
    assert both.exit_code == 4
    assert "fault 'drop Revoke 1' matched no message" in " ".join(both.stdout.split())
    broken = lbrlab("run", "central-story", "-d", "v8", "--fault", "drop p=0.000001")
    assert broken.exit_code == 1


def test_a_trace_cut_short_is_never_held() -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "run.json")
    run = json.loads(Path("run.json").read_text())
    cut = next(i for i, r in enumerate(run["trace"]) if r["kind"] == "outcome")
    run["trace"] = run["trace"][: cut + 1]
    deliveries = sum(r["kind"] == "delivery" for r in run["trace"])
    run["tape"] = [d for d in run["tape"] if not d.startswith("step")][:deliveries]
    Path("cut.json").write_text(json.dumps(run))
    result = lbrlab("check", "cut.json")

    assert result.exit_code == 4
    assert "before the run did" in result.stdout


@cases(
    ("key", "value", "said"),
    [
        ("scenario", "LBR other\nhost { idle cpu0; }\n", "another scenario or design"),
        ("tape", ["take kvm0>host 1 Hello"], "delivery 2 of the tape"),
    ],
)
def test_the_parts_of_a_run_file_must_belong_together(key: str, value: object, said: str) -> None:
    lbrlab("run", "central-story", "-d", "v7", "-o", "run.json")
    run = json.loads(Path("run.json").read_text())
    run[key] = value
    Path("run.json").write_text(json.dumps(run))
    result = lbrlab("check", "run.json")

    assert result.exit_code == 2
    assert said in result.stderr


def test_the_tape_of_a_run_can_be_printed_and_replayed(in_tmp: Path) -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "a.json")
    (in_tmp / "a.tape").write_text(lbrlab("tape", "a.json").stdout)
    lbrlab("run", "central-story", "-d", "revoke-gp", "--tape", "a.tape", "-o", "b.json")

    assert json.loads(Path("b.json").read_text())["trace"] == json.loads(Path("a.json").read_text())["trace"]
