"""The commands of ``lbrlab`` that search many runs, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.cli.application import subcommand
from client.cli.command import command
from client.cli.options import (
    KERNELS_HELP,
    DaskOption,
    InsecureOption,
    JsonOption,
    TakeOverOption,
    TlsOption,
    WaitOption,
    WriteBaselineOption,
)

WorkersOption = Annotated[int, typer.Option(metavar="N", min=0, max=256, help="Processes. 0: one for each core.")]


RunsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Sampled runs, at most.")]
SeedOption = Annotated[int, typer.Option(metavar="S", min=0, help="The seed of all that is drawn.")]


@subcommand("coverage")
@command
def coverage_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run files, or folders of run files.")],
    as_json: JsonOption = False,
) -> None:
    """Sum up what some runs exercise of the model, gaps first.

    The items are rules, messages, transitions of each state table, invariants exercised and violated, values of axes
    and kinds of faults.

    \b
    lbrlab matrix -o all
    lbrlab coverage all
    """
    from client.cli.coverage import coverage

    coverage(runs, as_json=as_json)


@subcommand("differ")
@command
def differ_command(
    one: Annotated[str, typer.Argument(metavar="A", help="A design, as for 'run'.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another design.")],
    kernel: Annotated[
        str | None, typer.Option(metavar="K", help=f"Use the rules of this kernel in every scenario. {KERNELS_HELP}")
    ] = None,
    scenarios: Annotated[str | None, typer.Option(metavar="S,S,...", help="As for 'matrix'. Default: all.")] = None,
    faults: Annotated[str, typer.Option(metavar="K,K,...", help="Kinds of faults of sampled runs.")] = "none",
    runs: RunsOption = 500,
    seed: SeedOption = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the two runs: A.json, B.json.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the smallest scenario that tells two designs apart.

    The outcome is the registers, the invariants that are violated, and the threads that never finish. The exit code
    is 1 if the designs differ, 0 if no difference was found.

    \b
    lbrlab differ merged merged-2023
    lbrlab differ revoke-gp revoke-ack --faults drop,delay
    """
    from client.cli.choose import chosen_kinds
    from client.cli.differ import DifferRequest, differ

    kinds = chosen_kinds(faults)
    differ(DifferRequest(one, other, kernel, scenarios, kinds, runs, seed, output), as_json=as_json)


@subcommand("scoreboard")
@command
def scoreboard_command(
    registry: Annotated[
        str, typer.Argument(metavar="MODULE", help="A Python module with planted bugs: MUTANTS and CONTROLS.")
    ],
    runs: RunsOption = 1000,
    control_runs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs of each design in which nothing is planted.")
    ] = 1000,
    seed: SeedOption = 0,
    workers: WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Search for the bugs that a module plants.

    The search is that of 'campaign' and knows nothing of the bugs. The exit code is 0 if it
    finds all bugs, and nothing in the controls (designs without a bug). Otherwise it is 1.

    \b
    lbrlab scoreboard tests.quality.mutants
    """
    from client.cli.scoreboard import scoreboard

    scoreboard(registry, runs, control_runs, seed, workers, as_json=as_json)


@subcommand("campaign")
@command
def campaign_command(
    scenarios: Annotated[
        str | None,
        typer.Option(metavar="S,S,...", help="As for 'matrix', or none: only random scenarios. Default: all."),
    ] = None,
    designs: Annotated[
        str | None, typer.Option(metavar="D,D,...", help="Designs by name or file. Default: fenced.")
    ] = None,
    faults: Annotated[str, typer.Option(metavar="K,K,...", help="Kinds of faults, or all, or none.")] = "all",
    runs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Runs of the whole campaign. Default: 1000, without --time.")
    ] = None,
    time: Annotated[str | None, typer.Option(metavar="T", help="Play for this time: 30s, 10m, 2h.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The seed of all that is drawn.")] = 0,
    stories: Annotated[
        bool, typer.Option("--stories/--no-stories", help="Play a random scenario in each second chunk.")
    ] = True,
    workers: WorkersOption = 0,
    dask: DaskOption = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR,ADDR", help="Play on a running perfcore-svc and its kvm-svc. May be repeated."),
    ] = None,
    wait: WaitOption = 0.0,
    take_over: TakeOverOption = False,
    tls: TlsOption = None,
    insecure: InsecureOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the campaign. A campaign in it is continued."),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run files that are replayed first. Default: in the campaign's folder."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a JUnit report, too.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file of known findings. Only new ones decide the exit code.")
    ] = None,
    write_baseline: WriteBaselineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search many runs for those that break a design.

    Each run draws its schedule and its faults. Each violation that counts against a design is shrunk and grouped. A
    canary, a design that must break, shows that the search can find something.

    The exit code is 0 if all designs held and the canary was caught, 1 if a design broke, 3 if the canary was not
    caught.

    \b
    lbrlab campaign --designs fenced --runs 2000
    lbrlab campaign --designs revoke-gp,fenced --faults drop,delay --time 10m
    lbrlab campaign --dask tcp://head:8786 --time 8h -o night
    lbrlab campaign --pair 10.0.0.1:7401,10.0.0.2:7402 --tls certs/driver
    """
    from client.cli.campaign import CampaignRequest, campaign, pairs_of

    request = CampaignRequest(
        scenarios,
        designs,
        faults,
        runs,
        time,
        seed,
        stories,
        workers,
        dask,
        pairs_of(pair or (), tls, insecure, wait, take_over),
        output,
        corpus,
        junit,
        baseline,
        write_baseline,
    )
    campaign(request, as_json=as_json)
