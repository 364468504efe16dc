"""Every command that reads a run file refuses the same files: exit code 2, and one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from client.drive.sim import SimWire
from client.run.confirm import confirm
from client.run.file import load_run
from contract.errors import InputError
from tests.cases import cases
from tests.client.cli.commands import unbroken

COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "FILE"),
    "run --tape": ("run", "central-story", "-d", "revoke-gp", "--tape", "FILE"),
    "check": ("check", "FILE"),
    "shrink": ("shrink", "FILE"),
    "confirm": ("confirm", "FILE"),
    "show": ("show", "FILE"),
    "export": ("export", "FILE"),
    "report": ("report", "good.json", "FILE"),
    "tape": ("tape", "FILE"),
    "step": ("step", "FILE"),
    "coverage": ("coverage", "good.json", "FILE"),
}
Damage = Callable[[dict[str, Any]], object]
DAMAGED: dict[str, tuple[Damage, str]] = {
    "another format": (lambda run: run.update(format="other"), "is not a run file: its format is 'other'"),
    "no format": (lambda run: run.pop("format"), "is not a run file: the field 'format' is missing"),
    "an old version": (lambda run: run.update(version=2), "is a run file of version 2; this program reads version 3"),
    "another protocol": (
        lambda run: run.update(protocol=4),
        "is a run file of protocol 4; this program reads protocol 5: make it again",
    ),
    "no protocol": (lambda run: run.pop("protocol"), "is not a run file: the field 'protocol' is missing"),
    "no trace": (lambda run: run.pop("trace"), "is not a run file: the field 'trace' is missing"),
    "an empty trace": (lambda run: run["trace"].clear(), "trace: record 1: expected a setup record"),
    "half a trace": (lambda run: run.update(trace=run["trace"][:20]), "tape: delivery 6 of the tape is not in"),
    "a wrong type": (lambda run: run.update(wire=3), "is not a run file: wire: expected a text, found a whole number"),
    "a wrong type in a record": (
        lambda run: run["trace"][5].update(seq="x"),
        "is not a run file: trace: record 6: seq: expected a whole number, found a text",
    ),
    "an unknown record": (
        lambda run: run["trace"][5].update(kind="zzz"),
        "is not a run file: trace: record 6: kind: unknown value 'zzz'",
    ),
    "a record twice": (lambda run: run["trace"].insert(9, run["trace"][8]), "trace: record 10: seq is 9, expected 10"),
    "a CPU that is not there": (
        lambda run: [record.update(cpu=77) for record in run["trace"] if "cpu" in record],
        "trace: record 9: does not fit what came before: cpu = 77, expected 0 to 0",
    ),
    "time that goes back": (
        lambda run: run["trace"][9].update(time=10**9),
        "trace: record 11: does not fit what came before: time is 0 ns, 1000000000 ns have passed already",
    ),
    "a bad decision": (lambda run: run["tape"].insert(3, "foo bar"), "tape: decision 4: expected 'step THREAD'"),
    "a bad fault": (
        lambda run: run["faults"][0].update(fault="drp Revoke"),
        "faults: 'drp Revoke', column 1: unknown kind 'drp', did you mean 'drop'?",
    ),
    "a bad scenario": (lambda run: run.update(scenario="LBR x\nhost { jump; }\n"), "scenario:2:8: unknown statement"),
    "a design without a value": (
        lambda run: run["design"].update(save="zzz"),
        "is not a run file: design: save: unknown value 'zzz'",
    ),
}
BROKEN_TEXTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "half a file": (lambda text: text[: len(text) // 2], "is not a run file: the JSON text ends early"),
    "no JSON": (lambda text: b"{ run }", "is not a run file: it is no JSON: object keys must be strings in column 3"),
    "a comma too many": (
        lambda text: text.replace(b",", b",,", 1),
        "object keys must be strings in line 2, column ",
    ),
    "no UTF-8": (lambda text: text.replace(b"central", b"\xff\xfe", 1), "is not a run file: it is no text in UTF-8"),
}


@cache
def good() -> dict[str, Any]:
    """The content of a good run file."""
    unbroken("run", "central-story", "-d", "revoke-gp", "--fault", "drop Revoke 1", "-o", "whole.json")
    loaded = json.loads(Path("whole.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


def refused(command: str, text: bytes) -> str:
    """The error of ``command`` for a file with this content."""
    Path("good.json").write_text(json.dumps(good()))
    Path("bad.json").write_bytes(text)
    result = unbroken(*("bad.json" if word == "FILE" else word for word in COMMANDS[command]))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("lbrlab: error: bad.json: ")
    return result.stderr


@cases("command", COMMANDS)
@cases("damage", DAMAGED)
def test_a_run_file_that_is_damaged(command: str, damage: str) -> None:
    spoil, said = DAMAGED[damage]
    run = json.loads(json.dumps(good()))
    spoil(run)
    assert said in refused(command, json.dumps(run).encode())


@cases("command", COMMANDS)
@cases("damage", BROKEN_TEXTS)
def test_a_run_file_that_is_no_json(command: str, damage: str) -> None:
    spoil, said = BROKEN_TEXTS[damage]
    assert said in refused(command, spoil(json.dumps(good(), indent=0).encode()))


@cases("command", COMMANDS)
def test_an_empty_file_a_folder_and_no_file(command: str) -> None:
    assert "is empty" in refused(command, b"").replace("is not a run file: it is empty", "is empty")
    arguments = COMMANDS[command]
    Path("folder").mkdir(exist_ok=True)
    for name, why in (("folder", "Is a directory"), ("missing.json", "No such file or directory")):
        result = unbroken(*(name if word == "FILE" else word for word in arguments))
        said = result.stderr.replace("neither a file nor", "cannot read: No such file or directory").replace(
            "holds no run file", "cannot read: Is a directory"
        )
        assert result.exit_code == 2
        assert said.startswith(f"lbrlab: error: {name}: cannot read: {why}"), result.stderr


def test_a_tape_that_no_wire_can_follow_is_no_difference_of_the_services() -> None:
    run = json.loads(json.dumps(good()))
    at = next(n for n, decision in enumerate(run["tape"]) if n > 20 and decision.startswith("step "))
    run["tape"][at] = "step host7"
    Path("bad.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match=f"decision {at + 1}: diverges: 'step host7' is not possible here"):
        confirm(load_run(Path("bad.json")), SimWire())
