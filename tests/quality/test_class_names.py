"""One name for one thing: no two classes of the product have the same name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("contract", "perfcore_svc", "kvm_svc", "client")

OF_ONE_THING = {
    "Crash": "the decision of a schedule and its record",
    "Restart": "the decision of a schedule and its record",
    "Precedence": "the rule of perf, as an axis of a design and as its monitor",
}
"""Names that stand for one thing in two places."""


def test_one_name_for_one_thing() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where[node.name].append(str(path.relative_to(ROOT)))
    assert len(where) > 500
    assert sorted(name for name, paths in where.items() if len(paths) > 1) == sorted(OF_ONE_THING)
