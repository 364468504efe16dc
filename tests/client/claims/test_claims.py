"""The claims of the thread: the result of each, which comes from the run and not from us."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from client.check.judge import Finding
from client.claims import CLAIMS, Claim, claim
from client.claims.checks import ClaimCheck, holds
from client.claims.claim import Lab
from client.claims.denial import stall_ns
from client.litmus import Scenario
from client.run.file import load_run
from client.run.run import Run
from client.schedule.decisions import Deliver, Step
from client.schedule.flight import Flight
from client.schedule.strategies import InOrder
from contract.errors import RefusedError
from contract.messages import Hello
from contract.trace import AnyRecord, End, HostWait, HostWake, Send
from perfcore_svc.perf import core, opening
from perfcore_svc.perf.event import PerfEvent
from tests.cases import cases
from tests.designs import DESIGNS, MERGED

BY_ID = {claim.id: claim for claim in CLAIMS}
FINDINGS = {"C3": 1, "C4": 2, "C9": 1, "C10": 13, "C12": 2, "C17": 1, "C20": 1, "C23": 2}
"""Where the model disagrees with what was said, and in how many checks."""


def evaluated(claim: Claim) -> list[tuple[str, bool]]:
    return [(check.found, check.agrees) for check in claim.evaluate(Lab(None))]


@cache
def found(name: str) -> list[tuple[str, bool]]:
    return evaluated(BY_ID[name])


def test_there_are_24_in_their_order() -> None:
    assert [claim.id for claim in CLAIMS] == [f"C{n}" for n in range(1, 25)]


@cases("name", BY_ID)
def test_agreement_or_finding(name: str) -> None:
    assert found(name)
    assert sum(not agrees for _, agrees in found(name)) == FINDINGS.get(name, 0)


# It comes from the run ---------------------------------------------------------------------------------------

OTHER_DESIGN = {
    "fenced": ["C3", "C4", "C5", "C6", "C8", "C9", "C10", "C12", "C16", "C18", "C19", "C20", "C23", "C24"],
    "revoke-gp": ["C7", "C14"],
    "v7": ["C2", "C15"],
    "kvm-switch": ["C21", "C22"],
    "v8": ["C11"],
}
"""Replace the design of a claim by another one, and see which claims have another result."""


@cases(("design", "name"), [(d, name) for d, names in OTHER_DESIGN.items() for name in names])
def test_another_design_gives_another_answer(design: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(name)
    monkeypatch.setattr(claim, "design_named", lambda _: DESIGNS[design])
    assert evaluated(BY_ID[name]) != before


def test_every_claim_is_asked_otherwise() -> None:
    assert {name for names in OTHER_DESIGN.values() for name in names} | {"C1", "C13", "C17"} == set(BY_ID)


def test_c1_with_a_perf_core_that_pins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = opening.host_event

    def unpinned(*arguments: Any) -> PerfEvent:
        event = made(*arguments)
        event.pinned = False
        return event

    monkeypatch.setattr(core, "host_event", unpinned)
    assert not all(agrees for _, agrees in evaluated(BY_ID["C1"]))


def test_c13_with_a_perf_core_that_makes_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RefusedError("no", "ENOSPC")

    monkeypatch.setattr(core, "guest_counter", refused)
    assert not all(agrees for _, agrees in evaluated(BY_ID["C13"]))


def test_c17_with_an_lbr_that_everybody_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    made = opening.host_event

    def alike(*arguments: Any) -> PerfEvent:
        event = made(*arguments)
        event.slot = None if event.slot is None else 0
        return event

    before = found("C17")
    monkeypatch.setattr(core, "host_event", alike)
    assert evaluated(BY_ID["C17"]) != before


# Its runs can be looked at -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_ID)
def test_each_check_names_the_run_that_shows_it(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    checks: list[ClaimCheck] = list(BY_ID[name].evaluate(Lab(tmp_path_factory.mktemp(name))))
    for check in checks:
        assert check.run is not None
        run = load_run(Path(check.run))
        assert run.design.name == check.design
        assert 0 <= check.seq <= len(run.records)


def test_the_page_explains_the_findings_and_no_others() -> None:
    page = (files("client.claims") / "findings.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (C\d+):", page, re.MULTILINE) == [claim.id for claim in CLAIMS if claim.id in FINDINGS]


# The parts of the checks -------------------------------------------------------------------------------------


def test_the_figures_of_the_page_are_those_of_the_run() -> None:
    """At typical prices: a save is 98 RDMSR of 40 cycles."""
    page = (files("client") / "claims" / "findings.md").read_text(encoding="utf-8")
    section = page[page.index("## C9") : page.index("## C10")]
    told = " ".join(text for text, _ in found("C9"))
    for figure in ("3,920 cycles", "23,520 cycles", "12.76"):
        assert figure in section
        assert figure in told


@cases(("design", "stalls"), [("fenced", False), ("revoke-ack", True)])
def test_only_a_host_that_waits_stalls(design: str, stalls: bool) -> None:
    run = Lab(None).play("c24-notifier-is-lost-or-late", design, faults=("drop:Ack:1",))
    assert (stall_ns(run) > 0) == bool(run.of(HostWait)) == stalls


@cases(
    ("verdicts", "agrees"),
    [
        ({"no-loss": "held", "no-leak": "held"}, True),
        ({"no-loss": "held", "no-leak": "not exercised"}, True),
        ({"no-loss": "not exercised", "no-leak": "not exercised"}, False),
        ({"no-loss": "held", "no-leak": "violated"}, False),
        ({"no-loss": "not exercised", "no-leak": "violated"}, False),
    ],
)
def test_nothing_is_held_that_nothing_exercised(verdicts: dict[str, str], agrees: bool) -> None:
    findings = [Finding(name, verdict, []) for name, verdict in verdicts.items()]
    run = Run(Scenario("x"), MERGED, "sim", (), [], [])
    run.findings = findings
    assert holds(run, "no-loss", "no-leak").agrees is agrees
    assert holds(run).agrees is agrees


@cases(
    ("records", "stall"),
    [
        ([End({}, time=100)], 0),
        ([HostWait("a", [1], time=10), HostWake("a", "acknowledged", time=25), End({}, time=100)], 15),
        ([HostWait("a", [1], time=10), End({}, time=100)], 90),
        (
            [
                HostWait("a", [1], time=10),
                HostWait("b", [2], time=20),
                HostWake("a", "acknowledged", time=25),
                End({}, time=100),
            ],
            80,
        ),
    ],
)
def test_who_waits_still_at_the_end_has_waited_so_long(records: list[AnyRecord], stall: int) -> None:
    assert stall_ns(Run(Scenario("x"), MERGED, "sim", (), [], records)) == stall


def test_threads_in_a_given_order_wait_for_what_is_in_flight() -> None:
    flight, strategy = Flight(), InOrder(["b", "a"])
    flight.follow([Send("k", True, 1, 1, 0, Hello("k"))])
    assert isinstance(strategy.choose(flight, ["a", "b"], ["a", "b"]), Deliver)
    idle = Flight()
    assert [strategy.choose(idle, ["a", "b"], ["a", "b"]) for _ in range(2)] == [Step("b"), Step("a")]
