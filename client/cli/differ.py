"""``lbrlab differ``: tell two designs apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.cli.choose import chosen_scenarios, on_kernel
from client.cli.command import finish
from client.cli.console import console, print_columns, print_text
from client.cli.runs import RUNS, short_name
from client.designs import design_named
from client.files import make_folder
from client.litmus import format_scenario
from client.report.json import print_json
from client.report.plain import counted
from client.report.search_documents import DifferDocument, differ_document
from client.run.file import keep
from client.search.differ import differ as search
from contract.errors import ExitCode, InputError


@dataclass(slots=True)
class DifferRequest:
    """The options of ``differ`` as given. ``kinds``: the kinds of faults that sampled runs draw from."""

    one: str
    other: str
    kernel: str | None
    scenarios: str | None
    kinds: tuple[str, ...]
    runs: int
    seed: int
    folder: Path | None


def differ(request: DifferRequest, *, as_json: bool) -> None:
    one, other = design_named(request.one, "A"), design_named(request.other, "B")
    if one.axes() == other.axes():
        raise InputError(f"{one.name} and {other.name} have the same value on each axis", "B")
    scenarios = [on_kernel(s, request.kernel) for s in chosen_scenarios(request.scenarios)]
    with console(stderr=True).status("searching") as status:
        apart = search(
            one,
            other,
            scenarios,
            request.kinds,
            request.runs,
            request.seed,
            lambda tried: status.update(f"{tried} runs"),
        )
    if apart is None:
        tried = len(scenarios) + request.runs
        document = DifferDocument(differs=False, exit_code=0, one=one.name, other=other.name, played=tried)
    else:
        folder = request.folder or RUNS / short_name(f"differ-{one.name}-{other.name}")
        make_folder(folder)
        for run, side in ((apart.one, "A"), (apart.other, "B")):
            keep(run, folder / f"{side}.json")
        document = differ_document(apart, format_scenario(apart.one.scenario))
    if as_json:
        print_json(document)
    else:
        _print(console(), document)
    finish(int(ExitCode.VIOLATED) if document.differs else 0)


def _print(out: Console, told: DifferDocument) -> None:
    if not told.differs:
        out.print(f"No difference in the outcomes of {counted(told.played, 'run')}.")
        return
    out.print(told.text.rstrip(), markup=False)
    if not told.usual:
        out.print()
        out.print("[bold]tape[/]")
        for line in told.tape:
            out.print(f"  {line}", markup=False)
    out.print()
    rows = [[escape(name), *map(escape, pair)] for name, pair in told.outcome.items()]
    print_columns(out, ["outcome", escape(told.one), escape(told.other)], rows)
    if (first := told.difference) is not None:
        out.print()
        print_text(out, f"[bold]the first record that differs is {first.record}[/]")
        for name, record in ((told.one, first.one), (told.other, first.other)):
            print_text(out, f"[bold]{escape(name)}[/]: {escape((record or 'the trace has ended').strip())}", hang=4)
    out.print()
    print_text(out, f"found after {counted(told.played, 'run')}; both runs: {escape(' '.join(told.runs))}", hang=2)
