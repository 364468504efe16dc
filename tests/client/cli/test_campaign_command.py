"""``lbrlab campaign``: exit codes, JUnit, baseline, and refused options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from junitparser import JUnitXml

from client.cli import campaign
from client.report.plain import counted
from client.search.campaign import Campaign, CampaignLimits
from client.search.corpus import Corpus
from client.workers.pool import InThisProcess
from contract.errors import InputError, SystemFailedError
from tests.client.cli.commands import document, lbrlab
from tests.client.search.plans import small

ONE = ("--workers", "1", "--scenarios", "r12-fence", "--no-stories")


def test_a_design_that_holds() -> None:
    told = document(lbrlab("campaign", "--runs", "3", *ONE, "--json"))
    assert (told["verdict"], told["exit_code"], told["runs"], told["findings"]) == ("held", 0, 3, [])
    assert told["canary"]["caught"]


def test_a_campaign_that_is_run_again_is_finished_and_stays_as_it_is() -> None:
    command = ("campaign", "--designs", "revoke-gp", "--faults", "drop", *ONE, "-o", "one")
    first, again = (document(lbrlab(*command, "--runs", "3", "--json")) for _ in range(2))
    for each in (first, again):
        del each["seconds"], each["rate"]
        assert each["finished"]
    assert again == first
    text = lbrlab(*command, "--runs", "3")
    assert "the campaign in one is finished, with 3 runs\n" in text.stderr
    assert "it is finished: a larger --runs" in text.stdout
    assert "continues after 3 runs" in lbrlab(*command, "--runs", "4").stderr


def test_a_canary_that_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "CANARY", "fenced+release=never")
    result = lbrlab("campaign", "--runs", "1", *ONE, "--junit", "j.xml")
    assert (result.exit_code, "MISSED" in result.stdout) == (3, True)
    (suite,) = JUnitXml.fromfile("j.xml")
    assert (suite.tests, suite.failures, suite.errors) == (2, 0, 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [(SystemFailedError("kvm", "died"), 3), (InputError("cannot write: No space left on device", "f.json"), 2)],
)
def test_an_error_on_the_way_leaves_the_results_so_far(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Campaign, found: object) -> None:
        raise error

    monkeypatch.setattr(Campaign, "_found", fail)
    command = ("campaign", "--designs", "revoke-gp", "--faults", "drop", "--runs", "3", *ONE)
    result = lbrlab(*command, "-o", "text", "--junit", "j.xml")
    assert result.exit_code == code
    assert "revoke-gp     3 " in result.stdout
    assert "violated, ended by an error; " in result.stdout
    assert f"error: {error}\n" in result.stderr
    assert Path("j.xml").exists()
    told = document(lbrlab(*command, "-o", "json", "--json"))
    assert (told["exit_code"], told["failure"], told["runs"]) == (code, str(error), 3)


def test_a_witness_that_could_be_smaller_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("campaign", "--designs", "revoke-gp", "--faults", "drop", "--runs", "3", *ONE, "-o", "one")
    assert "not shrunk" not in lbrlab(*command).stdout
    state = Path("one/campaign.json")
    state.write_text(state.read_text().replace('"shrunk":true', '"shrunk":false'))
    assert ", not shrunk to the end: one/findings/" in " ".join(lbrlab(*command).stdout.split())


def test_the_progress_begins_with_what_matters() -> None:
    """A terminal of 80 columns has no room for all of it."""
    plan = small()
    now = Campaign(plan, Path(), InThisProcess(), Corpus(Path("corpus")))
    line = campaign._progress(now, CampaignLimits(1_000_000))
    assert line.index("0 findings") < 40


def test_a_log_gets_a_line_of_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows one line that changes."""
    command = ("campaign", "--designs", "fenced", "--runs", "6", *ONE, "--json")
    assert lbrlab(*command, "-o", "first").stderr == ""
    monkeypatch.setattr(campaign, "LINE_EVERY", 1e-6)
    lines = lbrlab(*command, "-o", "second").stderr.splitlines()
    assert re.match(r"\d+ s: 0 of 6 runs, 0/s, 0 findings", lines[0])
    assert re.match(r"\d+ s: 6 of 6 runs, \d+/s, 0 findings", next(line for line in lines if " 6 of " in line))
    assert max(map(len, lines)) <= 80


def test_what_is_counted_has_its_number() -> None:
    """The line of the coverage says that it counts what runs met, not what they broke."""
    result = lbrlab("campaign", "--runs", "1", *ONE)
    assert "coverage (met/all): rule " in result.stdout
    assert "\n1 run, 1 of them with faults: held; " in result.stdout
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_a_design_that_breaks_and_its_baseline() -> None:
    broken = ("campaign", "--designs", "revoke-gp", "--faults", "drop", "--runs", "6", *ONE)
    first = lbrlab(*broken, "--write-baseline", "known.json", "--junit", "j.xml", "-o", "one", "--json")
    told = document(first)
    assert told["findings"]
    assert all(Path(finding["run"]).is_file() for finding in told["findings"])
    assert sum(len(case.result) for suite in JUnitXml.fromfile("j.xml") for case in suite) == 0
    again = document(lbrlab(*broken, "--baseline", "known.json", "-o", "one", "--json"))
    assert (again["verdict"], again["exit_code"], again["runs"]) == ("expected", 0, 6)
    assert all(finding["known"] for finding in again["findings"])
    new = lbrlab(*broken, "-o", "one", "--junit", "j.xml")
    assert new.exit_code == 1
    assert "new revoke-gp: " in new.stdout
    assert "lbrlab run FILE plays a finding again" in new.stdout
    assert sum(len(case.result) for suite in JUnitXml.fromfile("j.xml") for case in suite) == len(told["findings"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--faults", "dorp"), "did you mean"),
        (("--faults", "none,drop"), "--faults: 'none' stands alone, found 'none,drop'"),
        (("--faults", "drop,all"), "--faults: 'all' stands alone, found 'drop,all'"),
        (("--corpus", __file__), "test_campaign_command.py: cannot be made"),
        (("--pair", "10.0.0.1:1,unix:k"), "--pair: 10.0.0.1:1 is reached from other hosts"),
        (("--pair", "unix:p,k"), "--pair: expected HOST:PORT"),
        (("--pair", "unix:p,unix:k", "--wait", "1e9"), "--wait: expected seconds"),
        (("--time", "10"), "expected a time such as 30s"),
        (("--time", "0s"), "expected a time such as 30s"),
        (("--scenarios", "none", "--no-stories"), "nothing is left to play"),
        (("--dask", "tcp://localhost:1", "--workers", "2"), "expected one of both"),
        (("--designs", "fencd"), "fenced"),
    ],
)
def test_refused(options: tuple[str, ...], error: str) -> None:
    result = lbrlab("campaign", "--scenarios", "r12-fence", *options)
    said = " ".join(result.stderr.split())
    assert (result.exit_code, error in said) == (2, True), said
    assert result.stdout == ""
