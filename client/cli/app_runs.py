"""The commands that play runs, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.cli.application import subcommand
from client.cli.command import command, needs, only, refuse
from client.cli.completion import design_names, scenario_names
from client.cli.options import (
    KERNELS_HELP,
    BaselineOption,
    DaskOption,
    ExpectOption,
    FaultsOption,
    HtmlOption,
    InsecureOption,
    JsonOption,
    KvmOption,
    NoFileFaultsOption,
    PerfcoreOption,
    TakeOverOption,
    TimeoutOption,
    TlsOption,
    WaitOption,
    WireName,
    WriteBaselineOption,
)


@subcommand("demo")
@command
def demo_command(
    wire: Annotated[
        WireName, typer.Option(metavar="WIRE", help="sim or grpc. grpc starts two services if no addresses are given.")
    ] = WireName.GRPC,
    perfcore: PerfcoreOption = None,
    kvm: KvmOption = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play the thread's central story under six designs.

    It prints which invariants each design breaks. A guest uses the LBR; a CPU-pinned host event arrives; the guest
    continues; the host samples and leaves; the guest tries again. In the last two columns the Revoke message is lost.
    The exit code is 1, because some designs break invariants.

    \b
    lbrlab demo
    lbrlab demo --wire sim
    """
    from client.cli.demo import demo
    from client.cli.services import addresses, timeout_of

    services = addresses(perfcore, kvm, wait, take_over, tls, insecure)
    demo(wire.value, services, timeout_of(timeout, grpc=wire is WireName.GRPC), as_json=as_json)


@subcommand("run")
@command
def run_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            autocompletion=scenario_names,
            help="A litmus file, - for standard input, a scenario of the library, or a run file to replay.",
        ),
    ],
    design: Annotated[
        list[str] | None,
        typer.Option(
            "--design",
            "-d",
            metavar="DESIGN",
            autocompletion=design_names,
            help="A name (see 'lbrlab designs'), a file, or NAME+AXIS=VALUE+... Default: merged, or the run file's.",
        ),
    ] = None,
    wire: Annotated[
        WireName | None,
        typer.Option(metavar="WIRE", help="sim or grpc. Default: grpc if addresses are given, else sim."),
    ] = None,
    perfcore: PerfcoreOption = None,
    kvm: KvmOption = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    tape: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Replay this tape, or that of a run file. Stop at the first divergence."),
    ] = None,
    then_default: Annotated[
        bool, typer.Option("--then-default", help="Continue with the default tape at the end of the given tape.")
    ] = False,
    lenient: Annotated[
        bool,
        typer.Option("--lenient", help="Skip decisions of the tape that are not possible, and play to the run's end."),
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="A fault: 'drop Revoke 1', or drop:Revoke:1. May be repeated."),
    ] = None,
    faults: FaultsOption = None,
    no_file_faults: NoFileFaultsOption = False,
    let: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="Set a 'let' of the scenario to another number. May be repeated."),
    ] = None,
    expect: ExpectOption = None,
    schedules: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Play N sampled schedules, and count the outcomes and their witnesses."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="S", min=0, help="The seed of --schedules. Default: 0.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN",
            help="Path of the run file, or of the folder of witnesses. Default: in lbrlab-runs/.",
        ),
    ] = None,
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one scenario under one design and judge it.

    \b
    lbrlab run central-story --design v8
    lbrlab run central-story -d revoke-gp --wire grpc --fault drop:Revoke:1
    lbrlab run central-story -d revoke-gp --fault drop:Revoke:1 -o run.json
    lbrlab run run.json --wire grpc
    lbrlab tape run.json > edited.tape
    lbrlab run central-story -d revoke-gp --tape edited.tape --then-default
    lbrlab run r12-fence -d revoke-gp --schedules 100 --seed 7
    """
    from client.cli.choose import rules_given
    from client.cli.outcomes import OutcomesRequest, run_schedules
    from client.cli.run import USUAL_DESIGN, RunRequest, run
    from client.cli.services import addresses, timeout_of

    chosen = rules_given(fault, faults)
    if schedules is not None:
        refuse("--schedules", {"--wire grpc": wire is WireName.GRPC, "--perfcore": perfcore, "--kvm": kvm})
        refuse("--schedules", {"--tape": tape, "--then-default": then_default, "--lenient": lenient})
        refuse("--schedules", {"--baseline": baseline, "--write-baseline": write_baseline, "--timeout": timeout})
        name = only("--design", design, USUAL_DESIGN)
        lets, expects = tuple(let or ()), tuple(expect or ())
        request = OutcomesRequest(file, name, schedules, seed or 0, chosen, lets, expects, output, not no_file_faults)
        run_schedules(request, as_json=as_json)
    needs("--seed", seed, "--schedules")
    services = addresses(perfcore, kvm, wait, take_over, tls, insecure)
    run(
        RunRequest(
            file,
            only("--design", design, None),
            wire.value if wire else None,
            services,
            tape,
            then_default,
            lenient,
            chosen,
            not no_file_faults,
            tuple(let or ()),
            tuple(expect or ()),
            output,
            timeout_of(timeout, grpc=bool(services) or wire is WireName.GRPC),
            baseline,
            write_baseline,
        ),
        as_json=as_json,
    )


@subcommand("matrix")
@command
def matrix_command(
    designs: Annotated[
        str | None, typer.Option(metavar="D,D,...", help="Designs by name or file. Default: all of the library.")
    ] = None,
    scenarios: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,...", help="Scenarios by name, by beginning of the name ('c0*') or by file. Default: all."
        ),
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(metavar="K", help=f"Use the rules of this kernel in every scenario. {KERNELS_HELP}")
    ] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="RULE", help="As for 'run', applied to every run.")] = None,
    faults: FaultsOption = None,
    no_file_faults: NoFileFaultsOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the run files. Default: lbrlab-runs/matrix."),
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, max=256, help="Number of processes. 0: one for each core.")
    ] = 0,
    perfcore: PerfcoreOption = None,
    kvm: KvmOption = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    dask: DaskOption = None,
    runs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With '--faults all': runs of each cell. Default: 50.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", min=0, help="With '--faults all': the seed. Default: 0.")
    ] = None,
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    timeout: TimeoutOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every design against every scenario, and judge each run.

    The first table has the verdict of each run. The second has the worst verdict of each invariant under each design.
    Each run is kept in a run file that replays it. If services are given, they play all runs.

    With '--faults all' the table has a column for each kind of fault: of the sampled runs that met it, how many broke
    the design. Each cell with a violation has a shrunk witness.

    \b
    lbrlab matrix --designs v7,fenced --scenarios 'c0*'
    lbrlab matrix --faults all --runs 100
    """
    from client.cli.choose import rules_given
    from client.cli.matrix import MatrixRequest, matrix
    from client.cli.robust import USUAL_RUNS, RobustRequest, robust
    from client.cli.services import addresses, timeout_of

    services = addresses(perfcore, kvm, wait, take_over, tls, insecure)
    seconds = timeout_of(timeout, grpc=bool(services))
    if faults == "all":
        refuse("--faults all", {"--fault": fault, "--perfcore": perfcore, "--kvm": kvm})
        refuse("--faults all", {"--baseline": baseline, "--write-baseline": write_baseline})
        robust(
            RobustRequest(
                designs,
                scenarios,
                kernel,
                runs or USUAL_RUNS,
                seed or 0,
                output,
                workers,
                dask,
                not no_file_faults,
                html,
            ),
            as_json=as_json,
        )
    needs("--runs", runs, "--faults all")
    needs("--seed", seed, "--faults all")
    request = MatrixRequest(
        designs,
        scenarios,
        kernel,
        rules_given(fault, faults),
        not no_file_faults,
        output,
        workers,
        services,
        seconds,
        baseline,
        write_baseline,
        dask,
        html,
    )
    matrix(request, as_json=as_json)
