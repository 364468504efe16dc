"""A thing that the page of the architecture calls not modelled has no trace in the cores and the language."""

from __future__ import annotations

import re

from tests.cases import cases
from tests.docs.pages import DOCS, ROOT

CORES = ("kvm_svc/hypervisor", "perfcore_svc/machine", "perfcore_svc/perf", "client/litmus", "contract")
TEXT = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in CORES
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
)
ABSENT = {
    "nested virtualization": r"vmcs02|vmcs12|\bL1 guest|vmxon",
    "CPU hotplug": r"hotplug|cpu_down|perf_event_exit_cpu",
    "SMM": r"\bSMI\b|\brsm\b|\bsmi\b",
    "SMT": r"hyper-?thread|\bSMT\b",
    "AMD": r"\bAMD\b|\bSVM\b|LbrExt|\bBRS\b",
    "PEBS": r"precise_ip|pebs_enabled",
    "perf": r"cgroup|uncore|inherit_stat",
}
"""Row of the table to words that code of it would have."""


@cases("row", ABSENT)
def test_code_has_no_part_of_it(row: str) -> None:
    section = (DOCS / "architecture.md").read_text(encoding="utf-8").split("## What is not modelled")[1]
    assert re.search(rf"^\| {row} \|", section, re.MULTILINE)
    assert re.findall(ABSENT[row], TEXT) == []
