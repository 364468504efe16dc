"""``lbrlab run`` and ``lbrlab check``."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from client.baseline import RunKey, verdict_against
from client.cli.command import DEBUG, finish, refuse
from client.cli.console import console
from client.cli.ledger import Ledger
from client.cli.run_summary import print_run
from client.cli.runs import keep_run, open_wire
from client.cli.services import Services
from client.designs import design_named
from client.drive.play import layout_of
from client.report.documents import run_document
from client.report.json import print_json
from client.run.choose import find_scenario, read_tape, replayed, with_expects, with_lets, without_faults
from client.run.file import check_output, is_run_file, load_judged
from client.run.inputs import Inputs
from client.run.placed import PlacedRule, fitting
from client.run.run import Run, run_or_failure
from client.run.run import run as run_inputs
from client.run.verdict import EXIT_CODES
from client.schedule.schedule import Schedule
from contract.errors import DivergedError, InputError

USUAL_DESIGN = "merged"
FILE = "a run file"


@dataclass(slots=True)
class RunRequest:
    """The options of ``run`` as given."""

    file: str
    design: str | None
    wire: str | None
    services: Services
    tape: Path | None
    then_default: bool
    lenient: bool
    faults: tuple[PlacedRule, ...]
    file_faults: bool
    lets: tuple[str, ...]
    expects: tuple[str, ...]
    output: Path | None
    timeout: float
    baseline: Path | None = None
    write_baseline: Path | None = None


def run(request: RunRequest, *, as_json: bool) -> None:
    wire_name = request.services.wire_name(request.wire)
    again = load_judged(Path(request.file)) if is_run_file(Path(request.file)) else None
    schedule = _schedule(request, again)
    named = request.design
    design = again.design if again and named is None else design_named(named or USUAL_DESIGN, "--design")
    scenario = with_lets(again.scenario if again else find_scenario(request.file), request.lets)
    scenario = with_expects(scenario, request.expects)
    fitting(request.faults, [scenario])
    scenario = scenario if request.file_faults else without_faults(scenario, "--no-file-faults")
    ledger = Ledger(request.baseline, request.write_baseline)
    request.services.check_count(scenario)
    if request.output:
        check_output(request.output, [Path(request.file), *([request.tape] if request.tape else [])])
    with (
        console(stderr=True).status(f"{scenario.name} under {design.name}"),
        open_wire(wire_name, request.services, request.timeout, layout_of(scenario)) as wire,
    ):
        play = run_inputs if os.environ.get(DEBUG) else run_or_failure
        try:
            played = play(Inputs(scenario, design, schedule, wire))
        except DivergedError as error:
            raise InputError(f"{error.message} (--lenient skips such decisions)", error.place) from None
    if played.records:
        keep_run(played, request.output, _label(request, schedule))
    if played.interrupted:
        raise KeyboardInterrupt(f"interrupted; the run up to here is in {played.path}" if played.path else "")
    if played.path is None:
        played.finished()
    lets = {text.partition("=")[0] for text in request.lets}
    key = _key(played, tuple(sorted(f"{name}={scenario.lets[name]}" for name in lets)))
    _report(played, ledger, key, as_json, [f"a replay of {schedule.tape.path}"] if schedule.tape else [])


def _schedule(request: RunRequest, again: Run | None) -> Schedule:
    """The decisions to replay, from the run file or from --tape; or the default strategy with faults."""
    given = {"--tape": request.tape, "--fault, --faults": request.faults, "--no-file-faults": not request.file_faults}
    if again:
        refuse(FILE, given, "a run file contains its tape and its faults")
    elif request.tape:
        refuse("--tape", {**given, "--tape": None}, "a tape already decides the fate of every message")
    if request.then_default and request.lenient:
        raise InputError("has no effect: --lenient continues with the default tape by itself", "--then-default")
    if again:
        return replayed(again, request.file, then_default=request.then_default, lenient=request.lenient)
    if request.tape:
        return read_tape(request.tape, then_default=request.then_default, lenient=request.lenient)
    if request.then_default or request.lenient:
        flag = "--then-default" if request.then_default else "--lenient"
        raise InputError("expected a tape to begin with: --tape FILE, or a run file", flag)
    return Schedule(tuple(each.rule for each in request.faults))


def _label(request: RunRequest, schedule: Schedule) -> str:
    replay = ["replay"] if schedule.tape is not None else []
    without = [] if request.file_faults else ["no-file-faults"]
    return "-".join([*(text.replace("=", "") for text in request.lets), *without, *replay])


def check(path: Path, expects: tuple[str, ...], ledger: Ledger, *, as_json: bool) -> None:
    """``expects``: as in ``run``. In a baseline this run has the key that a replay of the file has."""
    loaded = load_judged(path)
    loaded = replace(loaded, scenario=with_expects(loaded.scenario, expects))
    _report(loaded, ledger, _key(loaded), as_json, [])


def _key(run: Run, lets: tuple[str, ...] = ()) -> RunKey:
    return RunKey(run.scenario.name, run.design.name, faults=tuple(sorted(map(str, run.faults))), lets=lets)


def _report(run: Run, ledger: Ledger, key: RunKey, as_json: bool, notes: list[str]) -> None:
    """``key``: the key of the run in a baseline."""
    verdict = run.verdict
    compared = ledger.runs({key: verdict.surprises}) if verdict.verdict != "failed" else {}
    document = run_document(run)
    document.notes[:0] = notes
    if key in compared:
        document.baseline = compared[key]
        document.verdict, document.reason = verdict_against(verdict.verdict, verdict.reason, compared[key])
        document.exit_code = int(EXIT_CODES[document.verdict])
    if as_json:
        print_json(document)
    else:
        print_run(console(), document)
    finish(document.exit_code)
