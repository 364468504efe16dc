"""``lbrlab run`` and ``lbrlab check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.cli.frame import console, finish
from client.cli.runs import (
    chosen_faults,
    find_scenario,
    is_run_file,
    judge_run,
    keep,
    open_wire,
    play,
    read_tape,
    with_lets,
)
from client.designs import design_named
from client.drive.play import INTERRUPTED, layout_of
from client.litmus import Scenario
from client.report.documents import print_json, run_document
from client.report.tables import print_run
from client.run_file import RunFile, check_output, errors_of, load_run
from contract.errors import InputError

USUAL_DESIGN = "merged"


@dataclass(slots=True)
class RunRequest:
    """The options of ``run`` as given."""

    file: str
    design: str | None
    wire: str | None
    perfcores: tuple[str, ...]
    kvms: tuple[str, ...]
    tape: Path | None
    faults: tuple[str, ...]
    lets: tuple[str, ...]
    output: Path | None
    timeout: float


def run(request: RunRequest, *, as_json: bool) -> None:
    wire_name = _wire_name(request)
    if request.tape and request.faults:
        raise InputError("a tape already says what becomes of every message", "--fault with --tape")
    again = load_run(Path(request.file)) if is_run_file(Path(request.file)) else None
    if again and (request.tape or request.faults):
        raise InputError("a run file brings its tape along", "--tape, --fault")
    design = (
        again.design
        if again and request.design is None
        else design_named(USUAL_DESIGN if request.design is None else request.design)
    )
    faults = chosen_faults(request.faults)
    tape_name = request.file if again else str(request.tape)
    tape = again.decisions() if again else read_tape(request.tape) if request.tape else None
    scenario = with_lets(again.read_scenario() if again else find_scenario(request.file), request.lets)
    _check_count(request, scenario)
    if request.output:
        check_output(request.output, [Path(request.file), *([request.tape] if request.tape else [])])
    with open_wire(wire_name, request.perfcores, request.kvms, request.timeout, layout_of(scenario)) as wire:
        played, file = play(wire, scenario, design, faults=faults, tape=tape, tape_name=tape_name)
    label = "-".join([*(text.replace("=", "") for text in request.lets), *(["replay"] if tape is not None else [])])
    path = keep(file, scenario, request.output, label) if played.records else None
    if played.failure and played.failure.reason == INTERRUPTED:
        raise KeyboardInterrupt(f"interrupted; what there is of the run is in {path}" if path else "interrupted")
    if path is None and played.failure:
        raise played.failure
    _report(file, scenario, path, as_json=as_json)


def check(path: Path, *, as_json: bool) -> None:
    file = load_run(path)
    with errors_of(path):
        file.decisions()
        _report(file, file.read_scenario(), path, as_json=as_json)


def _report(file: RunFile, scenario: Scenario, path: Path | None, *, as_json: bool) -> None:
    document = run_document(file, judge_run(file, scenario), str(path) if path else None, scenario.name)
    if as_json:
        print_json(document)
    else:
        print_run(console(), document)
    finish(document.exit_code)


def _wire_name(request: RunRequest) -> str:
    if bool(request.perfcores) != bool(request.kvms):
        raise InputError("expected both --perfcore and --kvm, or neither", "--perfcore, --kvm")
    for flag, texts in (("--perfcore", request.perfcores), ("--kvm", request.kvms)):
        for text in texts:
            _check_address(flag, text)
    if request.perfcores and request.wire == "sim":
        raise InputError("addresses go with --wire grpc", "--wire sim")
    return request.wire or ("grpc" if request.perfcores else "sim")


def _check_count(request: RunRequest, scenario: Scenario) -> None:
    """As many addresses as the scenario has services, in the order in which it names them."""
    needed = ["the first machine", *(host.name for host in scenario.hosts)], list(scenario.placement())
    for flag, given, names in zip(("--perfcore", "--kvm"), (request.perfcores, request.kvms), needed, strict=True):
        if given and len(given) != len(names):
            raise InputError(f"given {len(given)} times, the scenario has {len(names)}: {', '.join(names)}", flag)


def _check_address(flag: str, text: str) -> None:
    from argparse import ArgumentTypeError

    from contract.wire.address import address

    try:
        address(text)
    except ArgumentTypeError as error:
        raise InputError(str(error), flag) from None
