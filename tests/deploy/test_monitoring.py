"""The dashboard and the alert rules use what running services export, and all of it."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as families

from client.drive.pair import Pair
from contract.control import RunTask
from contract.network import Fate
from contract.wire.metrics import Metrics
from tests.cases import cases
from tests.contract.wire.echo import Echo
from tests.designs import FENCED
from tests.integration.story import VCPU, decide, in_flight, tell

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "lbrlab.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
SHOWN = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
ALERTS = {rule["alert"]: rule["expr"] for rule in RULES}
EXPRESSIONS = SHOWN | ALERTS
OWN = re.compile(r"\b((?:lbrlab|process)_\w+)(\{[^}]*\})?")
LABELS = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
BY = re.compile(r"\bby \(([^)]*)\)")
ADDED = {"instance", "job"}
"""Labels that Prometheus itself adds."""


@pytest.fixture(scope="module")
def exported() -> Iterator[dict[str, set[str]]]:
    """Each sample that a perf core and a KVM export after a run, with its labels."""
    flags = ["--metrics", "127.0.0.1:0"]
    with Pair(flags={"perfcore": flags, "kvm": flags}) as pair:
        tell(pair.wire, FENCED)
        pair.wire.perf(RunTask("t0", 1))
        pair.wire.perf(RunTask(VCPU, 1))
        twice = in_flight(pair.wire)[0]
        decide(pair.wire, twice, Fate.DUPLICATE)
        decide(pair.wire, twice)
        found: dict[str, set[str]] = {}
        for child in (pair.perfcore, pair.kvm):
            with urllib.request.urlopen(f"http://{child.ready['metrics']}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            for family in families(text):
                if family.type != "histogram" and not family.samples:
                    found.setdefault(f"{family.name}_total" if family.type == "counter" else family.name, set())
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
        yield found


@cases("name", EXPRESSIONS)
def test_an_expression_uses_what_services_export(name: str, exported: dict[str, set[str]]) -> None:
    expression = EXPRESSIONS[name]
    used = OWN.findall(expression)
    assert used or expression.startswith("up{")
    labels: set[str] = set()
    for metric, selector in used:
        assert metric in exported, f"{metric} is not exported"
        labels |= exported[metric]
        if exported[metric] or selector:
            assert set(LABELS.findall(selector)) <= exported[metric] | ADDED
    grouped = {label.strip() for group in BY.findall(expression) for label in group.split(",")}
    assert grouped <= labels | ADDED


def test_everything_of_ours_is_shown(exported: dict[str, set[str]]) -> None:
    ours = {name for name in exported if name.startswith("lbrlab_")}
    shown = {metric for expression in SHOWN.values() for metric, _ in OWN.findall(expression)}
    assert len(ours) > 15
    assert ours <= shown


def test_the_counts_are_those_of_the_run(exported: dict[str, set[str]]) -> None:
    assert exported["lbrlab_messages_total"] == {"direction", "message", "fate"}
    assert exported["lbrlab_exits_total"] == {"reason"}
    assert exported["lbrlab_session_window_messages"] == {"session"}


@cases("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_has_what_prometheus_wants(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    assert re.fullmatch(r"\d+[sm]", rule.get("for", "1m"))
    for text in (rule["expr"], rule["annotations"]["summary"]):
        assert text.count("(") == text.count(")")
        assert text.count("{") == text.count("}")


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_an_address_that_is_taken_ends_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        Metrics(Echo()).serve(f"127.0.0.1:{other.getsockname()[1]}", None)
