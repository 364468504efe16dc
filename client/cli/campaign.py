"""``lbrlab campaign``: many runs of many scenarios under some designs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.baseline import Compared, RunKey, together
from client.cli.choose import chosen_designs, chosen_kinds, chosen_sources
from client.cli.command import INTERRUPTED, finish, refuse
from client.cli.console import console, print_columns, print_text, tell
from client.cli.ledger import Ledger, print_compared
from client.cli.options import TLS_VARIABLE
from client.cli.pools import open_pool
from client.cli.runs import RUNS
from client.cli.services import Services, addresses
from client.designs import design_named
from client.drive.grpc_wire import GrpcWire
from client.files import make_folder, write_file
from client.report.campaign_documents import CampaignDocument, campaign_document, junit, signatures
from client.report.json import print_json
from client.report.plain import counted
from client.schedule.schedule import KINDS_THAT_END
from client.search.campaign import Campaign, CampaignLimits
from client.search.corpus import Corpus
from client.search.pairs import KINDS, Pairs, fits
from client.search.plan import Plan, scenario_of
from client.workers.pool import Pool
from client.workers.tasks import WorkerDiedError
from contract.design import Design
from contract.errors import InputError, SystemFailedError

USUAL_DESIGN = "fenced"
CANARY = "fenced+entry-check=none"
"""A design that must break one-owner: without the fence a guest enters with a grant that has ended."""
USUAL_RUNS = 1000
SECONDS = {"s": 1, "m": 60, "h": 3600}
SHOWN_LIMIT = 30
LINE_EVERY = 60.0
"""Seconds between two lines of progress where the output is no terminal, such as the log of a night."""
KEY = "campaign"
"""The name of the scenario under which a baseline keeps findings."""


@dataclass(slots=True)
class CampaignRequest:
    """The options of ``campaign`` as given."""

    scenarios: str | None
    designs: str | None
    faults: str
    runs: int | None
    time: str | None
    seed: int
    stories: bool
    workers: int
    dask: str | None
    pairs: tuple[Services, ...]
    folder: Path | None
    corpus: Path | None
    junit: Path | None
    baseline: Path | None
    write_baseline: Path | None


def campaign(request: CampaignRequest, *, as_json: bool) -> None:
    plan, limits = plan_of(request), _limits(request)
    ledger = Ledger(request.baseline, request.write_baseline)
    folder = request.folder or RUNS / f"campaign-{plan.digest()}"
    make_folder(folder)
    if request.corpus:
        make_folder(request.corpus)
    if request.junit:
        make_folder(request.junit.parent)
    interrupted = False
    failure: SystemFailedError | InputError | None = None
    errors, lines = console(stderr=True), 0
    with _pool(request) as pool, errors.status("starting") as status:

        def told(now: Campaign) -> None:
            nonlocal lines
            status.update(_progress(now, limits))
            if not errors.is_terminal and now.elapsed >= (lines + 1) * LINE_EVERY:
                lines = int(now.elapsed // LINE_EVERY)
                print_text(errors, f"{now.elapsed:.0f} s: {_progress(now, limits)}", hang=2)

        played = Campaign(plan, folder, pool, Corpus(request.corpus or folder / "corpus"), told)
        if played.began:
            over = played.state.has_played(limits.runs)
            how = f"is finished, with {played.began} runs" if over else f"continues after {played.began} runs"
            print_text(errors, f"the campaign in {escape(str(folder))} {how}", hang=2)
        try:
            played.play(limits)
        except KeyboardInterrupt:
            interrupted = True
        except WorkerDiedError as error:
            failure = SystemFailedError("campaign", str(error))
        except (SystemFailedError, InputError) as error:
            if played.state.runs == played.began:
                raise
            failure = error
    compared, known = _compare(played, ledger)
    finished = played.state.has_played(limits.runs)
    document = campaign_document(played, finished=finished, interrupted=interrupted, baseline=compared, known=known)
    if interrupted:
        document.exit_code = INTERRUPTED
    if failure is not None:
        document.exit_code, document.failure = int(failure.exit_code), str(failure)
    if request.junit:
        write_file(request.junit, junit(document))
    if as_json:
        print_json(document)
    else:
        _print(console(), document, _again(request.pairs))
    if failure is not None:
        tell("error", str(failure))
    finish(document.exit_code)


def plan_of(request: CampaignRequest) -> Plan:
    designs = chosen_designs(USUAL_DESIGN if request.designs is None else request.designs)
    scenarios = [] if request.scenarios == "none" else chosen_sources(request.scenarios)
    kinds = chosen_kinds(request.faults)
    stories = request.stories and not request.pairs
    if request.pairs:
        kvms = min(len(pair.kvms) for pair in request.pairs)
        scenarios = [source for source in scenarios if fits(scenario_of(source), kvms)]
        if request.faults != "all" and (unfit := [kind for kind in kinds if kind in KINDS_THAT_END]):
            raise InputError(f"{unfit[0]} needs services that this command has started", f"--faults {request.faults}")
        kinds = tuple(kind for kind in kinds if kind in KINDS)
        if not scenarios:
            raise InputError("no scenario that was chosen fits the given services", "--scenarios, --pair")
    if not scenarios and not stories:
        raise InputError("nothing is left to play", "--scenarios none, --no-stories")
    return Plan(request.seed, tuple(designs), tuple(scenarios), kinds, stories=stories, canary=_canary())


@contextmanager
def _pool(request: CampaignRequest) -> Iterator[Pool]:
    if not request.pairs:
        with open_pool(request.workers, request.dask) as pool:
            yield pool
        return
    refuse("--pair", {"--workers": request.workers, "--dask": request.dask}, "each pair is a worker")
    wires = [GrpcWire(pair.perfcores, pair.kvms, turn=pair.turn, identity=pair.identity) for pair in request.pairs]
    pairs = Pairs(wires, lambda why: tell("warning", f"{why}; the other pairs play its runs"))
    try:
        yield pairs
    finally:
        pairs.close()


def pairs_of(
    texts: Sequence[str], tls: Path | None, insecure: bool, wait: float = 0.0, take_over: bool = False
) -> tuple[Services, ...]:
    """Each text: the address of a perf core, then those of its KVMs. Raises InputError."""
    given = {"--wait": wait, "--take-over": take_over, "--insecure": insecure}
    if not texts and (useless := next((flag for flag, is_given in given.items() if is_given), None)):
        raise InputError("needs --pair", useless)
    if not texts and tls is not None and str(tls) != os.environ.get(TLS_VARIABLE):
        raise InputError("needs --pair", "--tls")
    found = []
    for text in texts:
        perfcore, *kvms = (part.strip() for part in text.split(","))
        if not perfcore or not kvms:
            raise InputError(f"expected PERFCORE,KVM or PERFCORE,KVM,KVM..., found {text!r}", "--pair")
        try:
            found.append(addresses([perfcore], kvms, wait, take_over, tls, insecure))
        except InputError as error:
            # The parts of a pair have no options of their own.
            place = "--pair" if error.place in ("--perfcore", "--kvm") else error.place
            raise InputError(error.message, place) from None
    every = [address for pair in found for address in (*pair.perfcores, *pair.kvms)]
    if twice := next((address for address in every if every.count(address) > 1), None):
        raise InputError(f"{twice} is given twice; a service plays one run at a time", "--pair")
    return tuple(found)


def _again(pairs: Sequence[Services]) -> str:
    """The options with which the run file of a finding plays on the wire of the campaign. A shrunk scenario may need
    fewer KVMs than a pair has; then two processes are started for it."""
    if not pairs:
        return ""
    return pairs[0].options() if len(pairs[0].kvms) == 1 else " --wire grpc"


def _canary() -> Design:
    return design_named(CANARY)


def _limits(request: CampaignRequest) -> CampaignLimits:
    if request.time is None:
        return CampaignLimits(request.runs or USUAL_RUNS)
    match = re.fullmatch(r"([0-9]{1,6})([smh])", request.time)
    if not match or not int(match[1]):
        raise InputError("expected a time such as 30s, 10m or 2h", f"--time {request.time}")
    return CampaignLimits(request.runs, float(int(match[1]) * SECONDS[match[2]]))


def _progress(now: Campaign, limits: CampaignLimits) -> str:
    state = now.state
    of = f" of {limits.runs}" if limits.runs else ""
    shown = [
        f"{group} {count}/{total}"
        for group, (count, total) in state.coverage().items()
        if group in ("rule", "event", "claim", "session", "axis")
    ]
    left = len(state.unshrunk())
    shrinking = f" ({left} to shrink)" if left else ""
    found = f"{counted(len(state.findings), 'finding')}{shrinking}"
    return f"{state.runs}{of} runs, {now.rate:.0f}/s, {found}, {', '.join(shown)}"


def _compare(played: Campaign, ledger: Ledger) -> tuple[Compared | None, set[str]]:
    """The findings compared with the baseline, and the signatures that it knows. A finding that a campaign does not
    meet has not vanished: another one may meet it."""
    found = {RunKey(KEY, design): texts for design, texts in signatures(played.state).items()}
    compared = ledger.runs(found)
    for each in compared.values():
        each.vanished = []
    known = {text for each in compared.values() for text in each.known}
    return (together(compared) if compared else None), known


def _print(out: Console, told: CampaignDocument, again: str) -> None:
    """``again``: the options with which a run file plays on the wire of the campaign."""
    print_columns(
        out,
        ["design", "runs", "broken"],
        [[escape(name), str(of.runs), _red(of.broken)] for name, of in told.designs.items()],
        right=True,
    )
    out.print()
    for finding in told.findings[:SHOWN_LIMIT]:
        mark = "known" if finding.known else "[bold red]new[/]"
        where = f"{escape(finding.design)}: [bold]{finding.invariant}[/] in {counted(finding.count, 'run')}"
        print_text(out, f"{mark} {where}: {escape(finding.text)}", hang=2)
        needs = f"with {', '.join(finding.faults)}" if finding.faults else "no fault"
        least = "" if finding.shrunk else ", not shrunk to the end"
        size = f"{counted(finding.statements, 'statement')}, {counted(finding.steps, 'step')}, {needs}{least}"
        where = finding.run or "its run file is not there"
        print_text(out, f"[dim]{escape(size)}: {escape(where)}[/]", indent=2, hang=2)
    if len(told.findings) > SHOWN_LIMIT:
        out.print(f"... and {len(told.findings) - SHOWN_LIMIT} more; --json has all")
    if told.findings:
        print_text(out, f"[dim]lbrlab run FILE{escape(again)} plays a finding again[/]", hang=2)
    for what, count in told.further.items():
        print_text(
            out, f"[red]{escape(what)}[/]: {counted(count, 'run')} of further forms, which are not shrunk", hang=2
        )
    print_compared(out, told.baseline)
    _print_coverage(out, told)
    if (canary := told.canary) is not None:
        caught = (
            f"caught in {canary.caught} of {counted(canary.runs, 'run')}" if canary.caught else "[bold red]MISSED[/]"
        )
        print_text(out, f"canary {canary.design}, which must break {canary.breaks}: {caught}", hang=2)
    replayed = f", {counted(told.replayed, 'run')} of the corpus" if told.replayed else ""
    early = ", interrupted" if told.interrupted else ", ended by an error" if told.failure else ""
    numbers = f"{counted(told.runs, 'run')}, {told.faulted} of them with faults{replayed}: {told.verdict}{early}"
    print_text(out, f"{numbers}; {told.rate:.0f} runs/s in {told.seconds:.1f} s, seed {told.seed}", hang=2)
    more = "it is finished: a larger --runs continues it" if told.finished else "the same command continues from them"
    print_text(out, f"Results are in {escape(told.folder)}; {more}", hang=2)


def _red(count: int) -> str:
    return f"[bold red]{count}[/]" if count else "0"


def _print_coverage(out: Console, told: CampaignDocument) -> None:
    """One line for all groups."""
    parts = [f"{group} {of.covered}/{of.total}" for group, of in told.coverage.items()]
    print_text(out, f"coverage (met/all): {', '.join(parts)}", hang=2)
