"""The command that records a live run, and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.cli.application import subcommand
from client.cli.command import command, only
from client.cli.completion import design_names, scenario_names
from client.cli.options import (
    InsecureOption,
    JsonOption,
    KvmOption,
    PerfcoreOption,
    TakeOverOption,
    TimeoutOption,
    TlsOption,
    WaitOption,
)


@subcommand("record")
@command
def record_command(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENARIO]",
            autocompletion=scenario_names,
            show_default=False,
            help="A litmus file, or a scenario of the library. Default: --vcpus vCPUs that use the LBR.",
        ),
    ] = None,
    design: Annotated[
        list[str] | None,
        typer.Option(
            "--design", "-d", metavar="DESIGN", autocompletion=design_names, help="As for 'run'. Default: fenced."
        ),
    ] = None,
    duration: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=86400, help="How long the services run freely.")
    ] = 5.0,
    speed: Annotated[
        float, typer.Option(metavar="X", min=0.001, max=100, help="Seconds of virtual time in a second of wall time.")
    ] = 1.0,
    kvms: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="KVM services to start. Default: 1, or one for each --kvm.")
    ] = None,
    vcpus: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="vCPUs of all KVM services together. Default: 8.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="'drop p=0.01', also duplicate, corrupt, reorder; or 'delay by 2ms'."),
    ] = None,
    kill_every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.1, max=86400, help="Kill a service this often, and start it again."),
    ] = None,
    perfcore: PerfcoreOption = None,
    kvm: KvmOption = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="RUN", help="Path of the run file. Default: in lbrlab-runs/."),
    ] = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the services run freely, and record their schedule.

    Each vCPU uses the LBR, and host threads open pinned events on its CPU; or a scenario says what each thread does,
    and a 'repeat' at its end goes on until time is over. No one decides the order: messages
    arrive and timers run out on wall time. The run that is recorded is replayed on the simulated wire, where it must
    give the same records. Ctrl-C keeps the run up to that moment; a violation ends it.

    \b
    lbrlab record -d fenced --vcpus 64 --kvms 4 --duration 20 --speed 0.05
    lbrlab record -d merged -o live.json
    lbrlab record --fault 'drop p=0.01' --fault 'delay by 2ms' --kill-every 1
    """
    from client.cli.record import RecordRequest, record
    from client.cli.services import addresses, timeout_of

    request = RecordRequest(
        file,
        only("--design", design, "fenced"),
        duration,
        speed,
        kvms,
        vcpus,
        tuple(fault or ()),
        kill_every,
        addresses(perfcore, kvm, wait, take_over, tls, insecure),
        output,
        timeout_of(timeout, grpc=True),
    )
    record(request, as_json=as_json)
