"""Options that several commands have in common."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from contract.kernels import KERNELS

TLS_VARIABLE = "LBRLAB_TLS"
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
TlsOption = Annotated[
    Path | None,
    typer.Option(
        "--tls",
        metavar="DIR",
        envvar=TLS_VARIABLE,
        help="Use mutual TLS on TCP, with tls.crt, tls.key and ca.crt of this folder; see 'lbrlab certs'.",
    ),
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Allow addresses of other hosts without TLS.")]
FaultsOption = Annotated[
    str | None,
    typer.Option(
        "--faults",
        metavar="FILE|PRESET",
        help="A file of fault rules, or a preset by name; 'all seed=7' draws with seed 7.",
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
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="A file of known findings. New findings and vanished ones decide the exit code.",
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write the tables as a page. Each cell leads to its run."),
]
WriteBaselineOption = Annotated[
    Path | None, typer.Option("--write-baseline", metavar="FILE", help="Write the findings as known ones.")
]
DaskOption = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Use the workers of this Dask scheduler: tcp://host:8786."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        max=3600,
        help="How long a service may take to answer one call (grpc). Default: 5.",
    ),
]
