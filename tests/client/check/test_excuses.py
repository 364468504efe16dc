"""The excuses that definitions have for faults, and those that a run needed."""

from __future__ import annotations

import re

from client.check.excuses import all_excuses, excuses_of, fault_of
from client.check.judge import MONITORS, judge
from client.designs import DESIGNS
from client.litmus import library_path, load
from client.report.documents import run_document
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from contract.trace import Crash, Killed
from tests.client.cli.commands import document, lbrlab, unbroken
from tests.rules.schedules import CrashAt

FAULTS = {fault_of(Crash("kvm0", -1, [], [])), fault_of(Crash("perfcore", 0, [], []))}
FAULTS |= {fault_of(Killed(what, [])) for what in ("thread", "vm")}


def crashed(service: str) -> Run:
    story = load(library_path("central-story"))
    return run(Inputs(story, DESIGNS["fenced"], Schedule(other=lambda: CrashAt(service, "Revoke"))))


def test_each_excuse_is_of_a_fault_that_a_trace_shows() -> None:
    named = {fault for excuses in all_excuses().values() for fault in excuses}
    assert {"crash kvm", "crash perfcore"} < named
    assert named <= FAULTS
    for text in (text for excuses in all_excuses().values() for text in excuses.values()):
        assert text.endswith(".")


def test_a_run_names_the_excuses_of_its_faults_for_what_it_exercised() -> None:
    for service, fault in (("kvm0", "crash kvm"), ("perfcore", "crash perfcore")):
        played = crashed(service)
        found = excuses_of(played.records, judge(played.records))
        (crash,) = played.of(Crash)
        assert {(excuse.after, excuse.seq) for excuse in found} == {(fault, crash.seq)}
        told = {excuse.invariant: excuse.text for excuse in found}
        expected = {name: by[fault] for name, by in all_excuses().items() if fault in by}
        assert told == {name: text for name, text in expected.items() if played.verdict_of(name) != "not exercised"}
        assert run_document(played).excuses == found
    plain = run(Inputs(played.scenario, played.design))
    assert excuses_of(plain.records, judge(plain.records)) == []


def test_an_invariant_shows_its_excuses() -> None:
    told = document(lbrlab("invariants", "--json"))
    for monitor in MONITORS:
        assert told[monitor.name]["excuses"] == dict(monitor.definition.excuses)
        text = " ".join(unbroken("invariants", monitor.name).stdout.split())
        assert all(f"after {fault} {words}" in text for fault, words in monitor.definition.excuses)


def test_the_contract_shows_all_of_them() -> None:
    told = document(lbrlab("contract", "--no-runs", "--json"))
    assert told["excuses"] == all_excuses()
    text = " ".join(unbroken("contract", "--no-runs").stdout.split())
    for name, excuses in all_excuses().items():
        shown = dict(re.findall(rf"{name}, after ([a-z ]+): (.*?\.)(?= |$)", text))
        assert [fault for faults in shown for fault in faults.split(" or ")] == list(excuses)
        for faults, first in shown.items():
            assert excuses[faults.split(" or ")[0]].startswith(first)
