"""The commands of ``lbrlab`` and their options."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from client.cli.frame import command, only, refuse
from contract.errors import ExitCode, InputError
from contract.kernels import KERNELS
from contract.messages import PROTOCOL_VERSION

app = typer.Typer(
    name="lbrlab",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""An executable model of the contract between host perf and KVM over the CPU's Last Branch Record.

A run is a scenario (a litmus file), a design (the agreement between the two sides), a tape (every decision that was
open) and a wire (sim: both cores in this process; grpc: two services). It gives a trace, and the trace is judged.

Exit codes: 0 everything held, 1 a violation, 2 bad input, 3 a service or its environment failed, 4 undecided,
130 interrupted, 141 the reader of the output has gone.""",
)


class Command(TyperCommand):
    """A command whose help names an argument, without its type in Python."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if isinstance(param, TyperArgument):
                vars(param)["display_type_rich"] = lambda ctx: None


subcommand = partial(app.command, cls=Command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lbrlab {version('lbrlab')}, contract protocol {PROTOCOL_VERSION}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(int(ExitCode.BAD_INPUT))


KERNELS_HELP = " ".join(f"{name}: {about}." for name, about in KERNELS.items())


class WireName(StrEnum):
    SIM = "sim"
    GRPC = "grpc"


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
MarkdownOption = Annotated[bool, typer.Option("--markdown", help="Print a page of Markdown instead.")]
PerfcoreOption = Annotated[
    list[str] | None,
    typer.Option("--perfcore", metavar="ADDR", help="Address of a running perfcore-svc. One for each host, in order."),
]
KvmOption = Annotated[
    list[str] | None,
    typer.Option("--kvm", metavar="ADDR", help="Address of a running kvm-svc. One for each KVM, kvm0 first."),
]
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help="Wait up to this long if another driver has the services.")
]
TakeOverOption = Annotated[
    bool, typer.Option("--take-over", help="End the run of another driver that has the services.")
]
FaultsOption = Annotated[
    str | None,
    typer.Option(
        "--faults",
        metavar="FILE|PRESET",
        help="A file of fault rules, or a preset by name; 'all seed=7' makes other draws.",
    ),
]
NoFileFaultsOption = Annotated[
    bool, typer.Option("--no-file-faults", help="Leave out the faults that the scenario's file names.")
]
ExpectOption = Annotated[
    list[str] | None,
    typer.Option("--expect", metavar="E", help="VERDICT INVARIANT,...: expect 'violated no-loss'. May be repeated."),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE", help="Known findings: only those that are new or have vanished count."),
]
WriteBaselineOption = Annotated[
    Path | None, typer.Option("--write-baseline", metavar="FILE", help="Write the findings as known ones.")
]
DaskOption = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Use the workers of this Dask scheduler: tcp://host:8786."),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.1, max=3600, help="How long a service may take to answer one call (grpc)."
    ),
]


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
    timeout: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Play the thread's central story under six designs and print who breaks what.

    A guest uses the LBR; a CPU-pinned host event arrives; the guest goes on; the host samples and leaves; the guest
    tries again. In the last two columns the Revoke message is lost. Ends with 1, because some designs break.
    """
    from client.cli.demo import demo
    from client.cli.services import addresses

    demo(wire.value, addresses(perfcore, kvm, wait, take_over), timeout, as_json=as_json)


@subcommand("run")
@command
def run_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A litmus file, - for standard input, a scenario of the library, or a run file to replay.",
        ),
    ],
    design: Annotated[
        list[str] | None,
        typer.Option(
            "--design",
            "-d",
            metavar="DESIGN",
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
    tape: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Replay this tape, or that of a run file. Stop at the first divergence."),
    ] = None,
    then_default: Annotated[
        bool, typer.Option("--then-default", help="Go on with the default tape where the given tape ends.")
    ] = False,
    lenient: Annotated[
        bool,
        typer.Option("--lenient", help="Skip what the tape asks for and is not possible, and go on to the run's end."),
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
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The seed of --schedules.")] = 0,
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
    timeout: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Run one scenario under one design and judge it.

    \b
    lbrlab run central-story --design v8
    lbrlab run central-story -d revoke-gp --wire grpc --fault drop:Revoke:1
    lbrlab run central-story -d revoke-gp -o run.json
    lbrlab run run.json --wire grpc
    lbrlab run central-story --tape edited.tape --then-default
    lbrlab run r12-fence -d revoke-gp --schedules 1000 --seed 7
    """
    from client.cli.outcomes import OutcomesRequest, run_schedules
    from client.cli.run import USUAL_DESIGN, RunRequest, run
    from client.cli.services import addresses
    from client.run.presets import rules_of

    chosen = (*(fault or ()), *(map(str, rules_of(faults)) if faults else ()))
    if schedules is not None:
        refuse("--schedules", {"--wire grpc": wire is WireName.GRPC, "--perfcore": perfcore, "--kvm": kvm})
        refuse("--schedules", {"--tape": tape, "--then-default": then_default, "--lenient": lenient})
        refuse("--schedules", {"--baseline": baseline, "--write-baseline": write_baseline})
        name = only("--design", design) or USUAL_DESIGN
        lets, expects = tuple(let or ()), tuple(expect or ())
        request = OutcomesRequest(file, name, schedules, seed, chosen, lets, expects, output, not no_file_faults)
        run_schedules(request, as_json=as_json)
    run(
        RunRequest(
            file,
            only("--design", design),
            wire.value if wire else None,
            addresses(perfcore, kvm, wait, take_over),
            tape,
            then_default,
            lenient,
            chosen,
            not no_file_faults,
            tuple(let or ()),
            tuple(expect or ()),
            output,
            timeout,
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
    dask: DaskOption = None,
    runs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With '--faults all': runs of each cell. Default: 50.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="With '--faults all': the seed.")] = 0,
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    timeout: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Run every design against every scenario and print who holds what.

    The first table has the verdict of each run. The second has the worst verdict of each invariant under each design.
    Each run is kept in a run file that replays it. If services are given, they play all runs.

    With '--faults all' the table has a column for each kind of fault: of the sampled runs that met it, how many broke
    the design. Each cell with a violation has a shrunk witness.

    \b
    lbrlab matrix --designs v7,fenced --scenarios 'c0*'
    lbrlab matrix --faults all --runs 100
    """
    from client.cli.matrix import MatrixRequest, matrix
    from client.cli.robust import USUAL_RUNS, RobustRequest, robust
    from client.cli.services import addresses
    from client.run.presets import rules_of

    services = addresses(perfcore, kvm, wait, take_over)
    if faults == "all":
        refuse("--faults all", {"--fault": fault, "--perfcore": perfcore, "--kvm": kvm})
        refuse("--faults all", {"--baseline": baseline, "--write-baseline": write_baseline})
        robust(
            RobustRequest(designs, scenarios, kernel, runs or USUAL_RUNS, seed, output, workers, dask), as_json=as_json
        )
    refuse("--runs", {"a matrix without '--faults all'": runs})
    request = MatrixRequest(
        designs,
        scenarios,
        kernel,
        (*(fault or ()), *(map(str, rules_of(faults)) if faults else ())),
        not no_file_faults,
        output,
        workers,
        services,
        timeout,
        baseline,
        write_baseline,
        dask,
    )
    matrix(request, as_json=as_json)


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
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    timeout: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Compute each claim of the 2019 thread: who said it, what the traces show, agreement or finding.

    Ends with 1 if there is a finding.
    """
    from client.cli.claims import claims as run_claims
    from client.cli.ledger import Ledger
    from client.cli.services import addresses

    ledger = Ledger(baseline, write_baseline)
    services = addresses(perfcore, kvm, wait, take_over)
    run_claims(tuple(claims or ()), output, services, timeout, ledger, as_json=as_json, verbose=verbose)


@subcommand("cost")
@command
def cost_command(
    file: Annotated[str, typer.Argument(metavar="SCENARIO", help="As for 'run'.")],
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
        Path | None, typer.Option(metavar="FILE", help="Also draw the curve into this .png, .svg or .pdf file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count the operations of each design for the same guest work, price them, and vary a number of the scenario.

    \b
    lbrlab cost c09-exits-per-switch
    lbrlab cost c09-exits-per-switch --vary exits=1..40 --picture exits.svg
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
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, max=256, help="Number of processes. 0: one for each core.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print the contract: its rules, messages and states, what each design keeps and breaks, under which kind of fault,
    and why fenced needs each of its rules.

    To show what designs break, it runs the whole library, once with every message delivered and once with the first
    Revoke lost, and some of its scenarios with the faults of each kind. To show why a rule is needed, it runs fenced
    without that rule. After Ctrl-C the tables have what was played.
    """
    from client.cli.contract import contract

    contract(runs=runs, markdown=markdown, as_json=as_json, workers=workers)


@subcommand("check")
@command
def check_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    expect: ExpectOption = None,
    baseline: BaselineOption = None,
    write_baseline: WriteBaselineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a run file again from its trace alone. Nothing is run."""
    from client.cli.ledger import Ledger
    from client.cli.run import check

    check(run, tuple(expect or ()), Ledger(baseline, write_baseline), as_json=as_json)


@subcommand("shrink")
@command
def shrink_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file that violates something.")],
    invariant: Annotated[
        str | None,
        typer.Option(
            "--invariant",
            "-i",
            metavar="NAME",
            help="Keep this one violated. Default: all that the run violates, or its condition.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Path of the shrunk run. Default: in lbrlab-runs/."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shrink a run to the smallest one that still violates the same.

    Faults, statements, threads, VMs, machines and unusual decisions are taken away, as long as the violation stays. The
    result is 1-minimal: none of what is left can be taken away alone. Prints which faults are necessary, the scenario
    that is left, and the nearest schedule that holds.
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
    timeout: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Replay a run on two real processes and compare the traces, record by record.

    Starts the services if no addresses are given. Ends with 0 if the traces are the same, 1 if they differ.
    """
    from client.cli.services import addresses
    from client.cli.shrink import confirm

    confirm(run, addresses(perfcore, kvm, wait, take_over), timeout, as_json=as_json)


@subcommand("show")
@command
def show_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    invariant: Annotated[
        str | None,
        typer.Option("--invariant", "-i", metavar="NAME", help="Show only the records of this invariant's violations."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of a run: one line for each record, one lane for each CPU, violations marked with !!."""
    from client.cli.show import show

    show(run, invariant, as_json=as_json)


@subcommand("export")
@command
def export_command(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run file.")] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", "-t", metavar="FORMAT", help="The format; --list names them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write. Default: standard output.")
    ] = None,
    formats: Annotated[bool, typer.Option("--list", help="List the formats.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a run in the format of another tool: a diagram, a mail, a trace, a regression test.

    \b
    lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1' -o run.json
    lbrlab export run.json --to markdown
    lbrlab export run.json --to perfetto -o run.pftrace
    lbrlab export run.json --to pytest -o test_revoke_lost.py
    """
    from client.cli.export import export_run, list_formats

    if formats:
        list_formats(as_json=as_json)
        return
    if run is None:
        raise InputError("expected a run file, or --list", "RUN")
    export_run(run, only("--to", to) or "markdown", output, as_json=as_json)


@subcommand("report")
@command
def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run files.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page. Default: report.html.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write runs as one HTML page that needs no network: lanes, messages, owners of the LBR, beliefs, invariants.

    \b
    lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1' -o lost.json
    lbrlab run central-story -d revoke-gp -o good.json
    lbrlab report lost.json good.json -o report.html
    """
    from client.cli.report import report

    report(runs, output, as_json=as_json)


@subcommand("tape")
@command
def tape_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run file.")],
    as_json: JsonOption = False,
) -> None:
    """Print the tape of a run file as text. Edit it and replay it with 'lbrlab run --tape'."""
    from client.cli.show import tape

    tape(run, as_json=as_json)


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

    designs(tuple(names or ()), axes=axes, markdown=markdown, as_json=as_json)


@subcommand("faults")
@command
def faults_command(as_json: JsonOption = False) -> None:
    """List the kinds of faults, what selects messages, and the presets.

    \b
    lbrlab run central-story -d revoke-gp --fault 'drop Revoke first 2'
    lbrlab run central-story -d fenced --faults all
    """
    from client.cli.faults import faults

    faults(as_json=as_json)


@subcommand("invariants")
@command
def invariants_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Show the definition of this one.")] = "",
    markdown: MarkdownOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the invariants, or show the definition of one.

    A definition names what breaks the invariant, what a trace must contain before the invariant is held, the records
    that its monitor reads, and the limits of the monitor.
    """
    from client.cli.lists import invariants

    invariants(name, markdown=markdown, as_json=as_json)


@subcommand("scenarios")
@command
def scenarios_command(
    beginning: Annotated[
        str,
        typer.Argument(metavar="BEGINNING", help="List only names that begin so. A whole name prints its text."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the scenarios of the library. 'lbrlab run NAME' runs one.

    c01 to c24 are the claims of the thread. r09 to r20 each need a rule of the contract. perf-e and kvm-w are worked
    examples of how perf and KVM behave. Each mech- shows one mechanism. Each guest- is a test that a guest runs.
    """
    from client.cli.lists import scenarios

    scenarios(beginning, as_json=as_json)


@subcommand("lang")
@command
def language_command(markdown: MarkdownOption = False, as_json: JsonOption = False) -> None:
    """Show each statement of a scenario by an example."""
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
    """Show the PMU MSRs of a guest for each kernel: who may read and write them, reset values, the save list."""
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
    """Replay recorded cases of a real kernel's perf core in the model and compare states and shares of time.

    Ends with 1 if a case disagrees and is neither unstable nor sensitive.
    """
    from client.cli.oracle import oracle

    oracle(files, kernel, verbose=verbose, as_json=as_json)


# The commands of a module of their own take their options from here.
from client.cli import app_search  # noqa: E402, F401
