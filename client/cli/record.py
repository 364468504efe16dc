"""``lbrlab record``: a live run, judged and replayed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from client.cli.command import finish
from client.cli.console import console, print_text, tell
from client.cli.run_summary import print_run
from client.cli.runs import keep_run, open_wire
from client.cli.services import Services
from client.designs import design_named
from client.drive.grpc_wire import GrpcWire
from client.drive.play import layout_of
from client.drive.sim import SimWire
from client.litmus import Scenario
from client.litmus.fault_rules import parse_fault
from client.live.faults import chances_of
from client.live.recording import Options, Recording
from client.live.scenario import freely
from client.live.workload import workload
from client.report.describe import Describer
from client.report.documents import run_document
from client.report.json import print_json
from client.report.record_documents import LiveDocument, RecordDocument, record_document
from client.run.choose import find_scenario
from client.run.confirm import confirm, confirm_beginning
from client.run.file import check_output
from client.run.run import Run
from contract.errors import ExitCode, InputError
from contract.trace import Setup

VCPUS = 8
STORY_LIMIT = 24
"""The most records that are shown of a violation."""


@dataclass(slots=True)
class RecordRequest:
    """The options of ``record`` as given."""

    file: str | None
    design: str
    duration: float
    speed: float
    kvms: int | None
    vcpus: int | None
    faults: tuple[str, ...]
    kill_every: float | None
    services: Services
    output: Path | None
    timeout: float


def _scenario(request: RecordRequest) -> Scenario:
    if request.file is None:
        return workload(len(request.services.kvms) or request.kvms or 1, request.vcpus or VCPUS)
    for option, value in (("--vcpus", request.vcpus), ("--kvms", request.kvms)):
        if value is not None:
            raise InputError("has no effect with a scenario, which names its VMs and KVMs", option)
    return freely(find_scenario(request.file))


def record(request: RecordRequest, *, as_json: bool) -> None:
    services, design = request.services, design_named(request.design, "--design")
    if services and request.kvms is not None:
        raise InputError("has no effect with --kvm, which names each KVM service", "--kvms")
    if services and request.kill_every is not None:
        raise InputError("kills only services that this command has started, not those of --kvm", "--kill-every")
    scenario = _scenario(request)
    services.check_count(scenario)
    chances = chances_of([parse_fault(text) for text in request.faults])
    options = Options(request.duration, request.speed, chances, request.kill_every or 0.0)
    if request.output:
        check_output(request.output, [])
    with (
        console(stderr=True).status("starting" if not services else "asking the services") as status,
        open_wire("grpc", services, request.timeout, layout_of(scenario)) as wire,
    ):
        assert isinstance(wire, GrpcWire)

        def told(now: Recording) -> None:
            rate = now.live_steps / now.elapsed if now.elapsed else 0
            counts = f"{now.live_steps} steps ({rate:.0f}/s), {len(now.wire.log.records)} records"
            status.update(f"{now.elapsed:.0f} of {request.duration:g} s, {counts}")

        recording = Recording(wire, scenario, design, options, told)
        played = recording.recorded()
    if played.records:
        keep_run(played, request.output)
    if played.interrupted:
        raise KeyboardInterrupt(f"interrupted; the run up to here is in {played.path}" if played.path else "")
    if played.failure is not None and played.path is not None:
        violated = ", ".join(played.broken()) or "none"
        begins = "replays in sim" if confirm_beginning(played, SimWire()).same else "DIFFERS in sim"
        tell("warning", f"the run up to the failure is in {played.path}, {begins}, violated: {violated}")
    played.finished()
    replayed = confirm(played, SimWire())
    live = LiveDocument(
        seconds=recording.elapsed,
        speed=request.speed,
        kvms=len(recording.kvms),
        vcpus=len(scenario.vcpus()),
        steps=recording.live_steps,
        messages=recording.flight.messages,
        kills=recording.kills,
        lost=recording.lost,
        replayed=replayed.same,
        difference=replayed.reason or (f"record {replayed.difference.seq}" if replayed.difference else ""),
    )
    document = record_document(run_document(played), live)
    if not replayed.same:
        document.exit_code = int(ExitCode.SYSTEM_FAILED)
    if as_json:
        print_json(document)
    else:
        _print(console(), played, document)
    finish(document.exit_code)


def _print(out: Console, run: Run, document: RecordDocument) -> None:
    live = document.live
    outcome, document.outcome = document.outcome, {}
    print_run(out, document)
    document.outcome = outcome
    rate = f"{live.steps / live.seconds:.0f}" if live.seconds else "0"
    vcpus = f"{live.vcpus} vCPU{'s' * (live.vcpus != 1)}"
    kvms = f"{live.kvms} KVM service{'s' * (live.kvms != 1)}"
    for line in (
        f"free run: {live.seconds:.1f} s at speed {live.speed:g}, {vcpus} on {kvms}",
        f"{live.steps} steps ({rate}/s), {live.messages} messages, {len(run.records)} records",
        *_killed(live),
        f"replay in sim: {'the same records' if live.replayed else f'DIFFERS: {live.difference}'}",
    ):
        print_text(out, Text(line), indent=2, hang=2)
    for line in _story(run):
        print_text(out, Text(line), indent=2, hang=4)


def _killed(live: LiveDocument) -> list[str]:
    """The lines about services that were killed, and about sessions that were lost without a kill."""
    lines = [f"killed and started again: {', '.join(live.kills)}"] if live.kills else []
    return [*lines, f"links or sessions lost without a kill: {', '.join(live.lost) or 'none'}"]


def _story(run: Run) -> list[str]:
    """The first violation: the records that make it one."""
    finding = next((f for f in run.verdict.findings if f.violations), None)
    setup = run.records[0]
    if finding is None or not isinstance(setup, Setup):
        return []
    violation, describer = finding.violations[0], Describer(setup)
    seqs = sorted({*violation.because, violation.seq})[-STORY_LIMIT:]
    lines = [f"{finding.invariant}: {violation.text}"]
    for record in (run.records[seq - 1] for seq in seqs):
        cpu = f"c{record.lane} " if record.lane >= 0 else ""
        lines.append(f"  {record.seq} {record.time / 1e6:g}ms {cpu}{record.source}: {describer.text(record)}")
    return lines
