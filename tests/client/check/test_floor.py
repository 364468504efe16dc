"""The monitors judge the services, so that they take nothing from them."""

from __future__ import annotations

import ast
from pathlib import Path

import client.check
from tests.cases import cases
from tests.contract.test_architecture import imported

MODULES = sorted(Path(client.check.__file__).parent.glob("*.py"))


@cases("module", MODULES, ids=lambda path: path.stem)
def test_no_monitor_imports_a_service(module: Path) -> None:
    names = {name.split(".")[0] for _, name in imported(ast.parse(module.read_text()))}
    assert not names & {"perfcore_svc", "kvm_svc"}


def test_the_monitors_are_where_this_test_looks() -> None:
    assert len(MODULES) > 18
