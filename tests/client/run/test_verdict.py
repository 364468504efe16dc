"""The verdict on a whole run, and its exit code, where results meet."""

from __future__ import annotations

from client.litmus import Scenario, library_path, load, parse
from client.run.verdict import verdict_on
from contract.trace import VmEntry
from tests.client.check.runs import AGAIN, HOST, ONE_CPU, USE, ordered, trace
from tests.designs import DESIGNS, MERGED, REVOKE_GP

DENIED_ONCE = ordered(
    USE
    + "host: x = open cpu0 pinned exclusive counter; vm0/0: r0 = rdmsr LBR_TOS; host: close x;"
    + "vm0/0: r1 = rdmsr LBR_TOS;"
)
FORALL = "forall (invariant recovers = {result})"


def asks(result: str) -> Scenario:
    steps = USE + "host: x = open cpu0 pinned exclusive counter; vm0/0: r0 = rdmsr LBR_TOS; host: close x;"
    body = f"host, vm0/0 {{ {steps} vm0/0: r1 = rdmsr LBR_TOS; }}"
    return parse(f'LBR test\n"A test."\n{ONE_CPU}\n{body}\n{FORALL.format(result=result)}')


def test_a_run_that_failed_has_failed_though_it_broke_something() -> None:
    """The failure of an environment is no verdict on the design. Violations found before it are still listed."""
    story = ordered(USE + HOST + AGAIN)
    records = trace(story, DESIGNS["silent"])
    whole = verdict_on(story, records)
    cut = verdict_on(story, records[:-1], failed="kvm: died")

    assert (whole.verdict, int(whole.exit_code)) == ("violated", 1)
    assert (cut.verdict, int(cut.exit_code), cut.reason) == ("failed", 3, "kvm: died")
    assert [f.invariant for f in cut.findings if f.verdict == "violated"]


def test_an_open_invariant_alone_leaves_a_run_held() -> None:
    found = verdict_on(DENIED_ONCE, trace(DENIED_ONCE, MERGED))

    assert (found.verdict, int(found.exit_code)) == ("held", 0)
    assert ", 1 open (recovers), " in found.reason


def test_a_final_condition_can_ask_for_open() -> None:
    for result, verdict in (("open", "held"), ("held", "violated"), ("not-exercised", "violated")):
        story = asks(result)
        assert verdict_on(story, trace(story, MERGED)).verdict == verdict


def test_a_final_condition_about_an_invariant_waits_for_the_end_of_the_trace() -> None:
    for result in ("open", "held", "violated"):
        story = asks(result)
        found = verdict_on(story, trace(story, MERGED)[:-1])
        assert found.final is not None
        assert (found.final.result, found.verdict, int(found.exit_code)) == ("undecided", "undecided", 4)


def test_nothing_held_and_something_open_is_undecided() -> None:
    story = ordered(USE)
    records = trace(story, REVOKE_GP)
    at = next(i for i, r in enumerate(records) if isinstance(r, VmEntry))
    found = verdict_on(story, records[: at + 1])

    assert (found.verdict, int(found.exit_code)) == ("undecided", 4)
    assert {f.verdict for f in found.findings if f.invariant == "no-starvation"} == {"open"}


def test_a_scenario_about_perf_alone_is_held_by_its_final_condition() -> None:
    """Its reason does not read as if nothing had been asked."""
    story = load(library_path("pinned-error"))
    found = verdict_on(story, trace(story, MERGED))
    assert (found.verdict, found.reason) == ("held", "the final condition; no invariant was exercised")
