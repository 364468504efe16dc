"""``lbrlab run --schedules``: the outcomes of a scenario over many schedules."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.cli.command import INTERRUPTED, finish
from client.cli.console import console, print_text
from client.cli.runs import RUNS, faults_label, short_name
from client.designs import design_named
from client.files import make_folder
from client.report.json import print_json
from client.report.outcome_documents import OutcomesDocument, outcomes_document
from client.report.plain import counted
from client.run.choose import find_scenario, with_expects, with_lets, without_faults
from client.run.file import is_run_file, keep
from client.run.placed import PlacedRule, fitting
from client.run.run import Run
from client.schedule.faults import is_drawn
from client.search.outcomes import NEVER, Outcomes, outcomes
from contract.errors import InputError

SHOWN_LIMIT = 40
"""Outcomes that the text shows."""


@dataclass(slots=True)
class OutcomesRequest:
    """The options of ``run --schedules`` as given. ``folder``: of the witnesses."""

    file: str
    design: str
    schedules: int
    seed: int
    faults: tuple[PlacedRule, ...]
    lets: tuple[str, ...]
    expects: tuple[str, ...]
    folder: Path | None
    file_faults: bool = True


def run_schedules(request: OutcomesRequest, *, as_json: bool) -> None:
    if is_run_file(Path(request.file)):
        raise InputError("a run file has one schedule; expected a litmus file or the name of a scenario", "--schedules")
    scenario = with_expects(with_lets(find_scenario(request.file), request.lets), request.expects)
    fitting(request.faults, [scenario])
    scenario = scenario if request.file_faults else without_faults(scenario, "--no-file-faults")
    design, faults = design_named(request.design, "--design"), tuple(each.rule for each in request.faults)
    folder = request.folder or _usual_folder(scenario.name, design.name, request)
    make_folder(folder)
    with console(stderr=True).status("playing") as status:
        found = outcomes(
            scenario,
            design,
            request.schedules,
            request.seed,
            faults,
            lambda so_far: status.update(
                f"{so_far.runs} of {request.schedules} schedules, {len(so_far.found)} outcomes"
            ),
        )
    _keep_witnesses(found, folder)
    document = outcomes_document(found, request.schedules, list(map(str, faults)))
    cut_short = found.runs < request.schedules
    if cut_short:
        document.exit_code = INTERRUPTED
    if as_json:
        print_json(document)
    else:
        _print(console(), document, cut_short)
    finish(document.exit_code)


def _usual_folder(scenario: str, design: str, request: OutcomesRequest) -> Path:
    lets = [text.replace("=", "") for text in request.lets]
    without = [] if request.file_faults else ["no-file-faults"]
    parts = [scenario, design, *lets, *without, faults_label([str(each.rule) for each in request.faults]), "schedules"]
    return RUNS / short_name("-".join(part for part in parts if part))


def _keep_witnesses(found: Outcomes, folder: Path) -> None:
    """One run file for each outcome and each violated invariant. A run that is both gets one file."""
    for number, outcome in enumerate(found.found, 1):
        _keep(outcome.witness, folder / f"outcome-{number}.json")
    for name, run in found.witnesses.items():
        if run.path is None:
            _keep(run, folder / f"{name}.json")


def _keep(run: Run, path: Path) -> None:
    with suppress(InputError):
        keep(run, path)


def _why_not(told: OutcomesDocument) -> str:
    bad = [f"{told.verdicts[name]} {name}" for name in ("violated", "failed") if told.verdicts.get(name)]
    return ", ".join(bad) or ("never witnessed" if told.observation == NEVER else "undecided")


def _print(out: Console, told: OutcomesDocument, cut_short: bool) -> None:
    """In the form of litmus7: a histogram, then the witnesses of the condition."""
    out.print(f"Test {told.scenario} under {told.design}", markup=False)
    out.print(f"Histogram ({len(told.outcomes)} states)", markup=False)
    wide = max((len(str(outcome.count)) for outcome in told.outcomes), default=1)
    for number, outcome in enumerate(told.outcomes[:SHOWN_LIMIT], 1):
        state = " ".join(f"{name}={value};" for name, value in outcome.state.items()) or "no register;"
        broken = f" [bold red]{', '.join(outcome.violated)} VIOLATED[/];" if outcome.violated else ""
        line = f"{outcome.count:>{wide}} {'*' if outcome.matches else ':'}>{escape(state)}{broken}"
        print_text(out, f"{line} [dim]#{number}[/]", hang=wide + 3)
    if len(told.outcomes) > SHOWN_LIMIT:
        out.print(f"... and {len(told.outcomes) - SHOWN_LIMIT} more; --json has all")
    if told.beyond:
        out.print(f"{counted(told.beyond, 'run')} with further outcomes, which are not told apart")
    print_text(out, "[green]Ok[/]" if told.ok else f"[bold red]No[/] ({_why_not(told)})")
    if told.condition is not None:
        out.print()
        out.print("Witnesses")
        out.print(f"Positive: {told.positive}, Negative: {told.negative}")
        print_text(out, f"Condition {escape(told.condition)}", hang=2)
        if told.observation:
            counts = f"{told.positive} {told.negative}"
            out.print(f"Observation {told.scenario} {told.observation} {counts}", markup=False)
    for name, violated in told.violated.items():
        print_text(out, f"[bold red]{name}[/] violated in {violated.count}: {escape(str(violated.witness))}", hang=2)
    verdicts = ", ".join(f"{count} {name}" for name, count in sorted(told.verdicts.items()))
    early = ", interrupted" if cut_short else ""
    print_text(out, f"{counted(told.runs, 'schedule')}, seed {told.seed}: {verdicts}{early}", hang=2)
    if any(is_drawn(rule) for rule in told.faults):
        print_text(out, "Each schedule draws its own faults; the run file of a schedule has them.", hang=2)
    if told.outcomes:
        folder = Path(str(told.outcomes[0].witness)).parent
        where = escape(f"{folder}/outcome-N.json")
        print_text(out, f"The first run of outcome N is in {where}: lbrlab run FILE to replay it", hang=2)
