"""``lbrlab matrix --faults all``: designs by kinds of faults, with a witness in each cell that has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.cli import robust
from client.run.file import load_run
from client.search.campaign import Campaign
from client.workers.tasks import WorkerDiedError
from contract.errors import SystemFailedError
from tests.client.cli.commands import document, lbrlab

TABLE = ("matrix", "--faults", "all", "--scenarios", "r12-fence", "--workers", "1")


@pytest.fixture
def few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "FAULT_KINDS", ["drop", "duplicate"])


@pytest.mark.usefixtures("few_kinds")
def test_each_cell_with_a_violation_has_a_shrunk_witness() -> None:
    told = document(lbrlab(*TABLE, "--designs", "revoke-gp,fenced", "--runs", "16", "--json"))
    assert (told["verdict"], told["exit_code"], told["runs"]) == ("violated", 1, 3 * 2 * 16)
    assert list(told["kinds"]) == ["none", "drop", "duplicate"]
    for kind, by_design in told["kinds"].items():
        assert by_design["fenced"]["violated"] == 0
        assert by_design["fenced"]["run"] is None
        cell = by_design["revoke-gp"]
        assert cell["violated"] <= cell["runs"] <= 16
        if cell["violated"]:
            run = load_run(Path(cell["run"]))
            assert Path(cell["run"]).name == f"revoke-gp-{kind}.json"
            assert cell["invariant"] in run.broken()
    assert told["kinds"]["drop"]["revoke-gp"]["violated"]
    text = lbrlab(*TABLE, "--designs", "revoke-gp,fenced", "--runs", "16").stdout
    assert text.startswith("violated/runs  none  ")
    unneeded = [kind for kind in ("drop", "duplicate") if told["kinds"][kind]["revoke-gp"]["faults"] == []]
    shown = dict(zip(text.split("\n")[0].split()[1:], text.split("\n")[1].split()[1:], strict=True))
    assert [kind for kind, cell in shown.items() if cell.endswith("*")] == unneeded == ["duplicate"]
    assert "* the shrunk witness needs no fault" in text


@pytest.mark.usefixtures("few_kinds")
def test_interrupted_it_gives_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Campaign.play

    def play(self: Campaign, limits: object) -> None:
        real(self, limits)  # type: ignore[arg-type]
        if self.state.plan.kinds == ("drop",):
            raise KeyboardInterrupt

    monkeypatch.setattr(Campaign, "play", play)
    told = document(lbrlab(*TABLE, "--designs", "fenced", "--runs", "2", "--json"))
    assert (told["exit_code"], told["cut_short"], list(told["kinds"])) == (130, True, ["none", "drop"])


def test_runs_are_those_of_this_table() -> None:
    result = lbrlab("matrix", "--runs", "3")
    assert (result.exit_code, "--faults all" in result.stderr) == (2, True)
    assert lbrlab(*TABLE, "--fault", "drop:Revoke:1").exit_code == 2


@pytest.mark.parametrize("error", [WorkerDiedError("it died"), SystemFailedError("the Dask scheduler", "it died")])
def test_a_pool_that_fails_leaves_the_runs_so_far(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*_: object) -> None:
        raise error

    monkeypatch.setattr(Campaign, "play", play)
    result = lbrlab(*TABLE, "--runs", "1", "-o", "here")
    assert result.exit_code == 3
    assert "it died; the same command continues from the runs in here" in " ".join(result.stderr.split())
