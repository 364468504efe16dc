"""The commands that read a run from its file, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.cli.application import subcommand
from client.cli.command import command, needs, only, refuse
from client.cli.completion import design_names, format_names, invariant_names, scenario_names
from client.cli.options import (
    BaselineOption,
    ExpectOption,
    FaultsOption,
    InsecureOption,
    JsonOption,
    KvmOption,
    NoFileFaultsOption,
    PerfcoreOption,
    TakeOverOption,
    TimeoutOption,
    TlsOption,
    WaitOption,
    WriteBaselineOption,
)
from contract.errors import InputError


@subcommand("check")
@command
def check_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    expect: ExpectOption = None,
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a run file again from its trace alone. Nothing is run.

    \b
    lbrlab check run.json
    lbrlab check run.json --expect 'violated one-owner'
    """
    from client.cli.ledger import Ledger
    from client.cli.run import check

    check(run, tuple(expect or ()), Ledger(baseline, write_baseline), as_json=as_json)


@subcommand("shrink")
@command
def shrink_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file that violates something, or failed.")],
    invariant: Annotated[
        str | None,
        typer.Option(
            "--invariant",
            "-i",
            metavar="NAME",
            autocompletion=invariant_names,
            help="The invariant that stays violated. Default: all that the run violates, or its condition.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Path of the shrunk run. Default: in lbrlab-runs/."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shrink a run that violates an invariant, or failed.

    The command removes faults, statements, threads, VMs, machines and unusual decisions as long as the violation stays,
    and the text of the first violation but for its numbers. The result is 1-minimal: no single part can be removed. The
    output has the faults that are necessary, the scenario that is left, and the nearest schedule that holds.

    It plays at most 5,000 runs with 500,000 decisions together, and says so at this limit. The exit code is 0, or 2
    where there is nothing to shrink.

    \b
    lbrlab shrink run.json -i one-owner -o small.json
    """
    from client.cli.shrink import shrink

    shrink(run, invariant, output, as_json=as_json)


@subcommand("confirm")
@command
def confirm_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    perfcore: PerfcoreOption = None,
    kvm: KvmOption = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a run on two real processes and compare the traces.

    The command starts the services if no addresses are given. The exit code is 0 if the traces are the same, 1 if they
    differ.

    \b
    lbrlab confirm run.json
    """
    from client.cli.services import addresses, timeout_of
    from client.cli.shrink import confirm

    confirm(
        run, addresses(perfcore, kvm, wait, take_over, tls, insecure), timeout_of(timeout, grpc=True), as_json=as_json
    )


@subcommand("show")
@command
def show_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    invariant: Annotated[
        str | None,
        typer.Option(
            "--invariant",
            "-i",
            metavar="NAME",
            autocompletion=invariant_names,
            help="Show only the records of this invariant's violations.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of a run, one line for each record. Each CPU has a lane; !! marks a violation.

    \b
    lbrlab show run.json
    lbrlab show run.json --invariant one-owner
    """
    from client.cli.show import show

    show(run, invariant, as_json=as_json)


@subcommand("step")
@command
def step_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            autocompletion=scenario_names,
            help="A litmus file or a scenario of the library, to walk by hand; or a run file, to look at.",
        ),
    ],
    design: Annotated[
        list[str] | None,
        typer.Option(
            "--design", "-d", metavar="DESIGN", autocompletion=design_names, help="As for 'run'. Default: merged."
        ),
    ] = None,
    tape: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Begin behind the decisions of this tape, or of a run file.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="As for 'run': the default schedule obeys it.")
    ] = None,
    faults: FaultsOption = None,
    no_file_faults: NoFileFaultsOption = False,
    let: Annotated[list[str] | None, typer.Option(metavar="NAME=N", help="As for 'run'.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Save the walk at its end: a tape, or NAME.json for a run file. Default: a run in lbrlab-runs/.",
        ),
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            "--at", metavar="N", min=1, help="Of a run file: begin with record N. Default: 1; with --json the last."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk a scenario by hand, or a run record by record.

    Each point shows what can happen next, the state of both sides, what each believes of the other, and what the last
    move changed. Commands come from a terminal or a pipe: a number takes a decision of the list, Enter the first one, u
    undoes, f finishes, s FILE saves the tape, h lists all. With --json the last point is one document.

    In a pipe a refused command ends the walk with 2. Otherwise the exit code is that of the verdict on the walk.

    
    lbrlab step central-story -d revoke-gp
    lbrlab step central-story -d revoke-gp --fault 'drop Revoke 1' --json
    lbrlab step run.json --at 52
    """
    from client.run.file import is_run_file

    if is_run_file(Path(file)):
        from client.cli.step import step

        given = {"--design": design, "--tape": tape, "--fault": fault, "--faults": faults is not None, "--let": let}
        refuse("a run file", {**given, "--no-file-faults": no_file_faults, "--output": output})
        step(Path(file), at, as_json=as_json)
        return
    from client.cli.choose import rules_given
    from client.cli.run import USUAL_DESIGN
    from client.cli.walk import WalkRequest, walk

    needs("--at", at, "a run file")
    if tape is not None:
        others = {"--fault": fault, "--faults": faults is not None, "--no-file-faults": no_file_faults}
        refuse("--tape", others, "a tape already decides the fate of every message")
    rules = rules_given(fault, faults)
    request = WalkRequest(
        file, only("--design", design, USUAL_DESIGN), tape, rules, not no_file_faults, tuple(let or ()), output
    )
    walk(request, as_json=as_json)


@subcommand("export")
@command
def export_command(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run file.")] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", "-t", metavar="FORMAT", autocompletion=format_names, help="The format; --list names them."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write. Default: standard output.")
    ] = None,
    formats: Annotated[bool, typer.Option("--list", help="List the formats.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a run for another tool: diagram, mail, trace, test.

    \b
    lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1' -o run.json
    lbrlab export run.json --to markdown
    lbrlab export run.json --to perfetto -o run.pftrace
    lbrlab export run.json --to pytest -o test_revoke_lost.py
    """
    from client.cli.export import export_run, list_formats

    if formats:
        refuse("--list", {"a run file": run, "--to": to, "--output": output})
        list_formats(as_json=as_json)
        return
    if run is None:
        raise InputError("expected a run file, or --list", "RUN")
    export_run(run, only("--to", to, "markdown"), output, as_json=as_json)


@subcommand("report")
@command
def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run files.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page. Default: report.html.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write runs as one HTML page that needs no network. It has lanes, messages, owners of the LBR, beliefs and
    invariants.

    \b
    lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1' -o lost.json
    lbrlab run central-story -d revoke-gp -o good.json
    lbrlab report lost.json good.json -o report.html
    """
    from client.cli.report import report

    report(runs, output, as_json=as_json)


@subcommand("web")
@command
def web_command(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port. 0: any free port.")
    ] = 8019,
    as_json: JsonOption = False,
) -> None:
    """Serve a page on this machine that plays runs. Choose or edit a scenario, flip an axis, drop a message by a click.

    "Step by hand" is 'lbrlab step' on the page: choose each decision from a list and undo it. The link, the saved tape
    and the saved run repeat the walk. It listens on 127.0.0.1 only. Ctrl-C ends it.

    \b
    lbrlab web
    lbrlab web --port 8080
    """
    from client.cli.web import web

    web(port, as_json=as_json)


@subcommand("certs")
@command
def certs_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the CA and of the identities.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="A name or address of a host of a service. May be repeated."),
    ] = None,
    kvm: Annotated[
        list[str] | None, typer.Option("--kvm", metavar="NAME", help="A KVM. May be repeated. Default: kvm0.")
    ] = None,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=3650, help="How long the certificates are valid.")
    ] = 90,
    as_json: JsonOption = False,
) -> None:
    """Make certificates for mutual TLS, for development. There is an identity for each service, for drivers and for
    viewers.

    The identities are folders to give to --tls. A CA that is there already signs new identities; running services take
    them for new connections.

    \b
    lbrlab certs certs --host 10.0.0.1 --host 10.0.0.2 --kvm kvm0 --kvm kvm1
    """
    from client.cli.certs import certs

    certs(folder, host or (), kvm or (), days, as_json=as_json)


@subcommand("tape")
@command
def tape_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    as_json: JsonOption = False,
) -> None:
    """Print the tape of a run file as text. Edit it and replay it with 'lbrlab run --tape'.

    \b
    lbrlab tape run.json > edited.tape
    lbrlab run central-story -d revoke-gp --tape edited.tape
    """
    from client.cli.show import tape

    tape(run, as_json=as_json)
