"""The commands that describe the model and compute the contract, the claims and the costs, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.cli.application import subcommand
from client.cli.command import command, needs, refuse
from client.cli.completion import invariant_names, scenario_names
from client.cli.options import (
    KERNELS_HELP,
    BaselineOption,
    HtmlOption,
    InsecureOption,
    JsonOption,
    KvmOption,
    MarkdownOption,
    PerfcoreOption,
    TakeOverOption,
    TimeoutOption,
    TlsOption,
    WaitOption,
    WriteBaselineOption,
)


@subcommand("claims")
@command
def claims_command(
    claims: Annotated[list[str] | None, typer.Argument(metavar="CLAIM", help="C1 to C24. Default: all.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the run files. Default: lbrlab-runs/claims."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show each check with its run, even if designs agree.")
    ] = False,
    perfcore: PerfcoreOption = None,
    kvm: KvmOption = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the claims of the 2019 thread from traces. Each is an agreement or a finding.

    The exit code is 1 if there is a finding.

    \b
    lbrlab claims C4 C16
    lbrlab claims --verbose
    """
    from client.cli.claims import claims as run_claims
    from client.cli.ledger import Ledger
    from client.cli.services import addresses, timeout_of

    refuse("--verbose", {"--json, which has each check": as_json and verbose})
    ledger = Ledger(baseline, write_baseline)
    services = addresses(perfcore, kvm, wait, take_over, tls, insecure)
    seconds = timeout_of(timeout, grpc=bool(services))
    run_claims(tuple(claims or ()), output, services, seconds, ledger, as_json=as_json, verbose=verbose)


@subcommand("cost")
@command
def cost_command(
    file: Annotated[str, typer.Argument(metavar="SCENARIO", autocompletion=scenario_names, help="As for 'run'.")],
    designs: Annotated[
        str | None, typer.Option(metavar="D,D,...", help="Designs by name or file. Default: all of the library.")
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=V", help="Vary this let: NAME=1,2,4 or NAME=1..64. Default: the only let of the scenario."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw the curve (.png, .svg, .pdf), or write the tables as a page (.html).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count and price the operations of each design. The guest's work is the same for all; a number of the scenario
    varies.

    \b
    lbrlab cost c09-exits-per-switch
    lbrlab cost c09-exits-per-switch --vary exits=1..4
    """
    from client.cli.cost import cost

    cost(file, designs, vary, picture, as_json=as_json)


@subcommand("contract")
@command
def contract_command(
    runs: Annotated[
        bool, typer.Option("--runs/--no-runs", help="Also print the parts that need runs of the library.")
    ] = True,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, with the states as Mermaid diagrams.")
    ] = False,
    html: HtmlOption = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=256, help="Number of processes. 0: one for each core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the contract: its rules, messages and states. Then what each design keeps and breaks, under which kind of
    fault, and why fenced needs each of its rules.

    To show what designs break, it runs the whole library, once with every message delivered and once with the first
    Revoke lost, and some of its scenarios with the faults of each kind. To show why a rule is needed, it runs fenced
    without that rule. After Ctrl-C the tables have the runs so far.

    \b
    lbrlab contract --no-runs
    lbrlab contract --html contract.html
    """
    from client.cli.contract import contract

    if not runs:
        needs("--workers", workers, "runs")
    contract(runs=runs, markdown=markdown, html=html, as_json=as_json, workers=workers or 0)


@subcommand("designs")
@command
def designs_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DESIGN",
            help="Print this design as a file. Several with --axes, --json or --markdown.",
        ),
    ] = None,
    axes: Annotated[
        bool, typer.Option("--axes", help="List by axis: the meaning of each value, and the designs that have it.")
    ] = False,
    markdown: MarkdownOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the designs, or print one as a file that you can change.

    \b
    lbrlab designs fenced > mine.toml
    lbrlab run central-story -d ./mine.toml
    lbrlab run central-story -d v7+shut-out=no
    """
    from client.cli.lists import designs

    refuse("--axes", {"--markdown, which has each axis": markdown and axes})
    designs(tuple(names or ()), axes=axes, markdown=markdown, as_json=as_json)


@subcommand("faults")
@command
def faults_command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Show only this kind, selector or preset, and those that combine with it."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the kinds of faults, the selectors and the presets. A name shows one of them.

    \b
    lbrlab faults delay
    lbrlab run central-story -d revoke-gp --fault 'drop Revoke first 2'
    lbrlab run central-story -d fenced --faults all
    """
    from client.cli.faults import faults

    faults(name, as_json=as_json)


@subcommand("invariants")
@command
def invariants_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=invariant_names, help="Show the definition of this one.")
    ] = "",
    markdown: MarkdownOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the invariants, or show the definition of one.

    A definition names what breaks the invariant, what a trace must contain before the invariant is held, the records
    that its monitor reads, and the limits of the monitor.

    \b
    lbrlab invariants
    lbrlab invariants one-owner
    """
    from client.cli.lists import invariants

    invariants(name, markdown=markdown, as_json=as_json)


@subcommand("scenarios")
@command
def scenarios_command(
    beginning: Annotated[
        str,
        typer.Argument(
            metavar="BEGINNING",
            autocompletion=scenario_names,
            help="List only names that begin so. A whole name prints its text.",
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the scenarios of the library. 'lbrlab run NAME' runs one.

    c01 to c24 are the claims of the thread. r09 to r20 each need a rule of the contract. perf-e and kvm-w are worked
    examples of how perf and KVM behave. Each mech- shows one mechanism. Each guest- is a test that a guest runs.

    \b
    lbrlab scenarios c04
    lbrlab scenarios central-story
    """
    from client.cli.lists import scenarios

    scenarios(beginning, as_json=as_json)


@subcommand("lang")
@command
def language_command(markdown: MarkdownOption = False, as_json: JsonOption = False) -> None:
    """Show each statement of a scenario by an example.

    \b
    lbrlab lang
    """
    from client.cli.lists import language

    language(markdown=markdown, as_json=as_json)


@subcommand("msrs")
@command
def msrs_command(
    kernel: Annotated[str | None, typer.Option(metavar="K", help=f"Show only this kernel. {KERNELS_HELP}")] = None,
    pmu: Annotated[int, typer.Option(metavar="N", min=0, max=5, help="PMU version in the guest's CPUID.")] = 2,
    counters: Annotated[int, typer.Option(metavar="N", help="General counters of the host.")] = 4,
    fixed: Annotated[int, typer.Option(metavar="N", help="Fixed counters of the host.")] = 3,
    markdown: MarkdownOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the PMU MSRs of a guest under each kernel. Each line says who may read and write it, its reset value, and
    whether it is on the save list.

    \b
    lbrlab msrs --kernel v6.16
    lbrlab msrs --kernel v5.12 --pmu 4 --counters 8
    """
    from client.cli.lists import msrs
    from contract.control import MachineSpec

    msrs(kernel, MachineSpec(counters=counters, fixed=fixed), pmu, markdown=markdown, as_json=as_json)


@subcommand("oracle")
@command
def oracle_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Files of recorded cases: JSON lines, plain or .xz.")
    ],
    kernel: Annotated[
        str | None,
        typer.Option(metavar="K", help=f"Use this kernel's rules, not those of the recorded kernel. {KERNELS_HELP}"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list the cases that agree.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the model with recorded cases of a real kernel. It replays what the perf core did, and compares states
    and shares of time.

    The exit code is 1 if a case disagrees and is neither unstable nor sensitive.

    \b
    lbrlab oracle tests/oracle/cases.jsonl.xz
    """
    from client.cli.oracle import oracle

    refuse("--verbose", {"--json, which has each case": as_json and verbose})
    oracle(files, kernel, verbose=verbose, as_json=as_json)
