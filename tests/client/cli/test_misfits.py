"""A rule that names what a scenario does not have: refused, or counted where there are many scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest

from client import api
from client.web.play import Asked, report_of
from contract.errors import InputError
from tests.cases import cases
from tests.client.cli.commands import document, unbroken

RULES = [
    ("crash kvm7 at Revoke 1", "unknown service 'kvm7', did you mean 'kvm0'?"),
    ("stall perfcore3 at 4ms", "unknown service 'perfcore3', did you mean 'perfcore'?"),
    ("cut kvm7 at Revoke 1", "unknown kvm 'kvm7', did you mean 'kvm0'?"),
    ("cut host>kvm7 at Revoke 1", "unknown kvm 'kvm7', did you mean 'kvm0'?"),
    ("clock perfcore rate 1.1", "unknown kvm 'perfcore', expected kvm0"),
    ("drop vm9/0", "unknown vCPU 'vm9/0', did you mean 'vm0/0'?"),
    ("drop vm0/3", "unknown vCPU 'vm0/3', did you mean 'vm0/0'?"),
    ("drop session kvm7", "unknown kvm 'kvm7', did you mean 'kvm0'?"),
    ("drop kvm7>host", "unknown kvm 'kvm7', did you mean 'kvm0'?"),
    ("drop host>kvm7 p=0.1", "unknown kvm 'kvm7', did you mean 'kvm0'?"),
    ("end vm vm9 at record 9", "unknown vm 'vm9', did you mean 'vm0'?"),
    ("end thread vm9/0 at record 9", "unknown vCPU 'vm9/0', did you mean 'vm0/0'?"),
    ("end at Revoke vm9/0", "unknown vCPU 'vm9/0', did you mean 'vm0/0'?"),
]


@cases("command", [("run", "exits"), ("run", "exits", "--schedules", "2"), ("matrix", "--scenarios", "exits")])
@cases(("rule", "why"), RULES)
def test_a_rule_that_does_not_fit_the_scenario_is_refused(command: tuple[str, ...], rule: str, why: str) -> None:
    result = unbroken(*command, "--fault", "drop Revoke 1", "--fault", rule)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"lbrlab: error: --fault '{rule}': {why} (scenario exits)\n"
    Path("mine.faults").write_text(f"# mine\ndrop Revoke 1\n{rule}\n")
    result = unbroken(*command, "--faults", "mine.faults")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"lbrlab: error: mine.faults:3: '{rule}': {why} (scenario exits)\n"
    assert not Path("lbrlab-runs").exists()


@cases(("rule", "why"), RULES)
def test_so_it_is_in_python_and_on_the_page(rule: str, why: str) -> None:
    for call in (
        lambda: api.run("exits", faults=[rule]),
        lambda: api.matrix(["exits"], ["merged"], faults=[rule]),
        lambda: report_of(Asked("exits", design="merged", faults=[rule])),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == f"faults '{rule}': {why} (scenario exits)"


def test_a_matrix_counts_the_cells_that_a_rule_does_not_fit() -> None:
    rule = "drop vm1/0"
    command = ("matrix", "--designs", "v7,fenced", "--scenarios", "exits,r12-fence,c10-two-vcpus-on-one-cpu")
    told = document(unbroken(*command, "--fault", rule, "--json"))
    unfit = told["misfits"][rule]
    names = {cell["scenario"] for cell in told["cells"]}
    assert {"exits"} <= set(unfit) < names
    assert all(cell["unmet"] == [rule] for cell in told["cells"] if cell["scenario"] in unfit)
    text = unbroken(*command, "--fault", rule).stdout
    assert f"'{rule}' names what the scenarios of {2 * len(unfit)} of {2 * len(names)} cells do not have" in text
