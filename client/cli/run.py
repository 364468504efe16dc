"""``lbrlab run`` and ``lbrlab check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.baseline import RunKey, verdict_against
from client.check.verdict import EXIT_CODES, Verdict
from client.cli.frame import console, finish
from client.cli.ledger import Ledger
from client.cli.runs import (
    Tape,
    chosen_faults,
    find_scenario,
    is_run_file,
    judge_run,
    keep,
    open_wire,
    play,
    read_tape,
    tape_of,
    with_expects,
    with_lets,
)
from client.cli.services import Services
from client.designs import design_named
from client.drive.play import INTERRUPTED, layout_of
from client.litmus import Scenario
from client.report.documents import print_json, run_document
from client.report.tables import print_run
from client.run_file import RunFile, check_output, errors_of, load_run
from client.schedule.faults import Fault
from contract.design import Design
from contract.errors import InputError

USUAL_DESIGN = "merged"


@dataclass(slots=True)
class RunRequest:
    """The options of ``run`` as given."""

    file: str
    design: str | None
    wire: str | None
    services: Services
    tape: Path | None
    then_default: bool
    faults: tuple[str, ...]
    lets: tuple[str, ...]
    expects: tuple[str, ...]
    output: Path | None
    timeout: float
    baseline: Path | None = None
    write_baseline: Path | None = None


def run(request: RunRequest, *, as_json: bool) -> None:
    wire_name = request.services.wire_name(request.wire)
    again = load_run(Path(request.file)) if is_run_file(Path(request.file)) else None
    tape = _tape(request, again)
    design = again.design if again and request.design is None else design_named(request.design or USUAL_DESIGN)
    faults = tape.faults if tape else chosen_faults(request.faults)
    scenario = with_lets(again.read_scenario() if again else find_scenario(request.file), request.lets)
    scenario = with_expects(scenario, request.expects)
    ledger = Ledger(request.baseline, request.write_baseline)
    lets = tuple(sorted(f"{name}={scenario.lets[name]}" for name in {text.partition("=")[0] for text in request.lets}))
    key = _key(scenario, design, faults, lets)
    request.services.check_count(scenario)
    if request.output:
        check_output(request.output, [Path(request.file), *([request.tape] if request.tape else [])])
    with open_wire(wire_name, request.services, request.timeout, layout_of(scenario)) as wire:
        played, file = play(wire, scenario, design, faults=faults, tape=tape, then_default=request.then_default)
    label = "-".join([*(text.replace("=", "") for text in request.lets), *(["replay"] if tape is not None else [])])
    path = keep(file, scenario, request.output, label) if played.records else None
    if played.failure and played.failure.reason == INTERRUPTED:
        raise KeyboardInterrupt(f"interrupted; what there is of the run is in {path}" if path else "interrupted")
    if path is None and played.failure:
        raise played.failure
    _report(file, judge_run(file, scenario), path, ledger, key, as_json=as_json)


def _tape(request: RunRequest, again: RunFile | None) -> Tape | None:
    """The decisions to replay: of the run file, of --tape, or none."""
    if request.tape and request.faults:
        raise InputError("a tape already decides the fate of every message", "--fault with --tape")
    if again and (request.tape or request.faults):
        raise InputError("a run file has its tape and its faults in it", "--tape, --fault")
    if again:
        return tape_of(again, request.file)
    if request.tape:
        return read_tape(request.tape)
    if request.then_default:
        raise InputError("expected a tape to begin with: --tape FILE, or a run file", "--then-default")
    return None


def check(path: Path, expects: tuple[str, ...], ledger: Ledger, *, as_json: bool) -> None:
    """``expects``: as the options of ``run``. In a baseline the run is the one that a replay of the file would be."""
    file = load_run(path)
    with errors_of(path):
        file.decisions()
        scenario, faults = file.read_scenario(), file.asked_faults()
    scenario = with_expects(scenario, expects)
    with errors_of(path):
        verdict = judge_run(file, scenario)
    _report(file, verdict, path, ledger, _key(scenario, file.design, faults), as_json=as_json)


def _key(scenario: Scenario, design: Design, faults: tuple[Fault, ...], lets: tuple[str, ...] = ()) -> RunKey:
    return RunKey(scenario.name, design.name, faults=tuple(sorted(map(str, faults))), lets=lets)


def _report(file: RunFile, verdict: Verdict, path: Path | None, ledger: Ledger, key: RunKey, *, as_json: bool) -> None:
    """``key``: the run in a baseline."""
    compared = ledger.runs({key: verdict.surprises}) if verdict.verdict != "failed" else {}
    document = run_document(file, verdict, str(path) if path else None, key.scenario)
    if key in compared:
        document.baseline = compared[key]
        document.verdict, document.why = verdict_against(verdict.verdict, verdict.why, compared[key])
        document.exit_code = int(EXIT_CODES[document.verdict])
    if as_json:
        print_json(document)
    else:
        print_run(console(), document)
    finish(document.exit_code)
