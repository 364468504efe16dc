"""The document of ``campaign --json``, and its JUnit twin."""

from __future__ import annotations

from pathlib import Path

import msgspec
from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from client.baseline import Compared
from client.coverage import ALL
from client.report.plain import counted
from client.search.campaign import Campaign
from client.search.state import CampaignState, Found
from contract.errors import ExitCode


class FindingDocument(msgspec.Struct, kw_only=True):
    """``signature``: findings with the same signature are the same. ``count``: the runs that show it. ``text``: the
    violation in the shrunk run, ``faults``: those that it needs. ``shrunk``: whether nothing more can be taken away.
    ``known``: it is in the baseline. ``run``: the run file of the shrunk run."""

    signature: str
    design: str
    invariant: str
    text: str
    count: int
    faults: list[str]
    statements: int
    steps: int
    shrunk: bool
    known: bool
    run: str | None


class CanaryDocument(msgspec.Struct):
    """``breaks``: the invariant that ``design`` must violate. ``caught``: the number of its ``runs`` in which it
    does."""

    design: str
    breaks: str
    runs: int
    caught: int


class SearchedDesignDocument(msgspec.Struct):
    """``broken``: the runs with something that counts against the design."""

    runs: int
    broken: int


class CoveredDocument(msgspec.Struct):
    """``missing``: the items of a group that no run exercised."""

    covered: int
    total: int
    missing: list[str]


class CampaignDocument(msgspec.Struct, kw_only=True):
    """``campaign``. ``runs``: of all sessions of this campaign, without those of the canary; ``faulted``: those that a
    fault met. ``finished``: as many as ``--runs`` says were played. ``replayed``: runs of the corpus. ``seconds``: of
    this session; ``rate``: runs in a second of it; ``cpu``: seconds of CPU of all workers. ``further``: design and
    invariant to runs that are counted, but too many forms of violations came before to shrink theirs. ``failure``: why
    it ended early, if not by Ctrl-C."""

    verdict: str
    exit_code: int
    runs: int
    faulted: int
    replayed: int
    finished: bool
    interrupted: bool
    seed: int
    kinds: list[str]
    designs: dict[str, SearchedDesignDocument]
    findings: list[FindingDocument]
    further: dict[str, int]
    canary: CanaryDocument | None
    coverage: dict[str, CoveredDocument]
    seconds: float
    rate: float
    cpu: float
    folder: str
    baseline: Compared | None = None
    failure: str | None = None


def signatures(state: CampaignState) -> dict[str, list[str]]:
    """Design to the signatures of its findings."""
    found: dict[str, list[str]] = {design.name: [] for design in state.plan.designs}
    for signature, finding in state.findings.items():
        found.setdefault(finding.witness.design, []).append(signature)
    return found


def campaign_document(
    campaign: Campaign, *, finished: bool, interrupted: bool, baseline: Compared | None, known: set[str]
) -> CampaignDocument:
    """``known``: the signatures of the baseline."""
    state = campaign.state
    canary = None
    if state.plan.canary is not None:
        canary = CanaryDocument(
            state.plan.canary.name, state.plan.canary_breaks, state.canary_runs, state.canary_caught
        )
    findings = [
        _finding(signature, found, signature in known, campaign.witness_file(found))
        for signature, found in state.findings.items()
    ]
    findings.sort(key=lambda f: (f.known, f.design, f.invariant, -f.count, f.signature))
    new = any(not finding.known for finding in findings) or bool(state.further) or bool(state.unshrunk())
    verdict, code = "held", ExitCode.HELD
    if canary is not None and not canary.caught:
        verdict, code = "canary missed", ExitCode.SYSTEM_FAILED
    if new:
        verdict, code = "violated", ExitCode.VIOLATED
    elif code is ExitCode.HELD and findings:
        verdict = "expected"
    elif code is ExitCode.HELD and not state.runs:
        verdict, code = "undecided", ExitCode.UNDECIDED
    return CampaignDocument(
        verdict=verdict,
        exit_code=int(code),
        runs=state.runs,
        faulted=state.faulted,
        replayed=state.replayed,
        finished=finished,
        interrupted=interrupted,
        seed=state.plan.seed,
        kinds=list(state.plan.kinds),
        designs={name: SearchedDesignDocument(of.runs, of.broken) for name, of in sorted(state.designs.items())},
        findings=findings,
        further=state.further,
        canary=canary,
        coverage=covered(state),
        seconds=round(campaign.elapsed, 3),
        rate=round(campaign.rate, 1),
        cpu=round(state.seconds, 3),
        folder=str(campaign.folder),
        baseline=baseline,
    )


def _finding(signature: str, found: Found, known: bool, path: Path | None) -> FindingDocument:
    w = found.witness
    return FindingDocument(
        signature=signature,
        design=w.design,
        invariant=w.invariant,
        text=w.text,
        count=found.count,
        faults=w.faults,
        statements=w.statements,
        steps=w.steps,
        shrunk=w.shrunk,
        known=known,
        run=None if path is None else str(path),
    )


def covered(state: CampaignState) -> dict[str, CoveredDocument]:
    missing: dict[str, list[str]] = {group: [] for group in state.coverage()}
    for item in ALL:
        if item not in state.items:
            group, _, name = item.partition(" ")
            missing[group].append(name)
    return {group: CoveredDocument(count, total, missing[group]) for group, (count, total) in state.coverage().items()}


def junit(told: CampaignDocument) -> bytes:
    """A test case for each design, which fails with each new finding, and one for the canary."""
    suite = TestSuite("lbrlab campaign")
    for name, design in told.designs.items():
        case = TestCase(name, "lbrlab.campaign")
        case.result = [
            Failure(f"{f.invariant}: {f.text}", f.invariant) for f in told.findings if f.design == name and not f.known
        ]
        for key, count in told.further.items():
            of, _, invariant = key.rpartition("; ")
            if of == name:
                what = f"{invariant}: {counted(count, 'run')} of further forms, which are not shrunk"
                case.result += [Failure(what, invariant)]
        case.system_out = f"{counted(design.runs, 'run')}, {design.broken} with something that counts against it"
        suite.add_testcase(case)
    if told.canary is not None:
        case = TestCase(f"canary {told.canary.design}", "lbrlab.campaign")
        if not told.canary.caught:
            case.result = [
                Error(f"{told.canary.breaks} is violated in none of {counted(told.canary.runs, 'run')}", "canary")
            ]
        suite.add_testcase(case)
    xml = JUnitXml("lbrlab")
    xml.add_testsuite(suite)
    text: bytes = xml.tostring()
    return text
