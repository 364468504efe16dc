"""Each long command shows progress. Ctrl-C in the middle: status 130, nothing is lost, and the document is whole."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

import client.cli.pools
import client.drive.pair
from client.cli.app import app
from client.cli.command import INTERRUPTED
from client.drive.play import Player
from client.drive.sim import SimWire
from client.oracle.compare import examine
from client.run.file import load_judged
from client.workers.pool import InThisProcess
from tests.cases import cases
from tests.client.cli.commands import lbrlab
from tests.docs.pages import ROOT

FEW = "--designs v7,fenced --scenarios r14-revoke,central-story,exits"
LONG = {
    "run": ("run central-story -o new.json", 20),
    "run --schedules": ("run central-story --schedules 20 -o found", 200),
    "demo": ("demo --wire sim", 60),
    "matrix": (f"matrix {FEW} --workers 1 -o found", 60),
    "matrix --faults": ("matrix --faults all --runs 3 --designs v7 --scenarios r14-revoke --workers 1 -o found", 90),
    "differ": ("differ merged v7 --scenarios exits --runs 9", 40),
    "scoreboard": ("scoreboard tests.quality.few --runs 9 --control-runs 2 --workers 1", 90),
    "campaign": (f"campaign {FEW} --runs 30 --workers 1 -o found", 90),
    "shrink": ("shrink lost.json -o small.json", 150),
    "confirm": ("confirm lost.json", 20),
    "step": ("step central-story -o walk.json", 20),
    "claims": ("claims C1 C2 C4 -o found", 60),
    "contract": ("contract --workers 1", 60),
    "cost": ("cost c09-exits-per-switch --designs v7,fenced", 60),
    "report": ("report lost.json good.json -o new.html", 0),
    "coverage": ("coverage lost.json good.json", 0),
    "oracle": ("oracle cases.jsonl", 0),
}
"""Command to an example, and the decision of its runs in which Ctrl-C comes; 0: it plays no run, and Ctrl-C comes while
it reads its second file or case."""
ENDLESS = {"web": "Ctrl-C is its usual end", "record": "tests/client/live has its Ctrl-C"}
SHORT = {
    "check", "show", "export", "certs", "tape", "designs", "faults", "invariants", "scenarios", "lang", "msrs",
}  # fmt: skip
WHOLE = {"run": "new.json", "step": "walk.json", "shrink": "small.json"}
"""The run files that are there afterwards, and can be judged."""


def once_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a Ctrl-C in one of its calls, counted from 1."""
    calls = iter(range(1, 1 << 30))

    def interrupted(*given: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return function(*given, **named)

    return interrupted


@contextmanager
def simulated(*given: object, **named: object) -> Iterator[Any]:
    yield type("Pair", (), {"wire": SimWire()})


@pytest.fixture(autouse=True)
def files(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "drop Revoke 1", "-o", "lost.json")
    lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "good.json")
    monkeypatch.setattr(client.cli.pools, "Processes", lambda workers: InThisProcess())
    monkeypatch.setattr(client.drive.pair, "Pair", simulated)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with each display of progress that begins."""
    found: list[object] = []
    for kind, name in ((Console, "status"), (Progress, "__enter__")):
        begin = getattr(kind, name)

        def begun(self: object, *given: Any, begin: Any = begin, **named: Any) -> Any:
            found.append(self)
            return begin(self, *given, **named)

        monkeypatch.setattr(kind, name, begun)
    return found


@cases("name", LONG)
def test_ctrl_c_ends_a_long_command_with_what_it_has(
    name: str, shown: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown.clear()
    command, decision = LONG[name]
    if decision:
        monkeypatch.setattr(Player, "carry_out", once_at(decision, Player.carry_out))
    elif name == "oracle":
        with lzma.open(ROOT / "tests" / "oracle" / "cases.jsonl.xz", "rt") as recorded:
            Path("cases.jsonl").write_text("".join(islice(recorded, 3)))
        monkeypatch.setattr("client.cli.oracle.examine", once_at(2, examine))
    else:
        monkeypatch.setattr(f"client.cli.{name}.load_judged", once_at(2, load_judged))
    result = lbrlab(*command.split(), "--json", given="f\n" if name == "step" else "")
    assert result.exit_code == INTERRUPTED, result.output
    assert shown, "it says how far it is"
    assert isinstance(json.loads(result.stdout), dict)
    if name in WHOLE:
        assert load_judged(Path(WHOLE[name])).records


def test_each_command_is_long_or_short() -> None:
    names = {command.name for command in app.registered_commands}
    assert names == {name.split(" --")[0] for name in LONG} | SHORT | ENDLESS.keys()
