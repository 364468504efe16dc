"""``lbrlab step FILE`` of a scenario: a walk by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.cli import prompt
from client.cli.command import finish
from client.cli.console import console, print_text
from client.cli.run_summary import print_run
from client.cli.runs import keep_run
from client.designs import design_named
from client.files import read_text, write_file
from client.report.documents import run_document
from client.report.json import print_json
from client.run.choose import find_scenario, read_tape, with_lets, without_faults
from client.run.file import check_output
from client.run.placed import PlacedRule, fitting
from client.schedule.decisions import HEADER, Decision, format_tape, parse_decision
from client.walk.documents import WalkDocument, walk_document
from client.walk.walk import Walk
from contract.errors import InputError

HELP = (
    ("N", "take decision N of the list"),
    ("n [K]", "take the first one, or K decisions of the default schedule; on a terminal Enter does, too"),
    ("DECISION", "take a decision as a tape has it: drop host>kvm0 6 Revoke, cut kvm0, crash kvm0, time 4000000"),
    ("u [K]", "undo the last move, or K moves"),
    ("f", "finish: let the default schedule go on to the end of the run, and judge it"),
    ("l", "show again where the walk stands"),
    ("t", "the tape so far"),
    ("s FILE", "save the tape, for lbrlab run --tape; FILE.json: save the run, with its records"),
    ("h", "this list"),
    ("q", "end; so does the end of the input"),
)
CHANGES_LIMIT = 16
"""The most records of one move that are shown."""
CHOICES_LIMIT = 24
"""The most open decisions that are shown; by number, each can be taken."""


@dataclass(slots=True)
class WalkRequest:
    """The options of ``step`` as given, for a scenario."""

    file: str
    design: str
    tape: Path | None
    faults: tuple[PlacedRule, ...]
    file_faults: bool
    lets: tuple[str, ...]
    output: Path | None


def walk(request: WalkRequest, *, as_json: bool) -> None:
    """Raises InputError where a command of a pipe is refused, with its line. The walk up to there is kept."""
    if request.file == "-":
        raise InputError("standard input has the commands; name a file", request.file)
    began = _begin(request)
    if request.output:
        _check_target(request.output, [Path(request.file), *([request.tape] if request.tape else [])])
    commands = Commands(began, None if as_json else console())
    try:
        commands.read()
    except KeyboardInterrupt:
        kept = _keep(began, request.output)
        raise KeyboardInterrupt(f"interrupted; the walk up to here is in {kept}" if kept else "") from None
    except InputError:
        _keep(began, request.output)
        raise
    document = walk_document(began)
    document.run = _keep(began, request.output)
    if as_json:
        print_json(document)
    elif document.run:
        print_text(console(), f"the walk is in {escape(document.run)}", hang=2)
    finish(document.exit_code)


def _begin(request: WalkRequest) -> Walk:
    scenario = with_lets(find_scenario(request.file), request.lets)
    fitting(request.faults, [scenario])
    scenario = scenario if request.file_faults else without_faults(scenario, "--no-file-faults")
    design = design_named(request.design, "--design")
    if request.tape is None:
        return Walk(scenario, design, [each.rule for each in request.faults])
    tape = read_tape(request.tape).tape
    assert tape is not None
    begun = Walk(without_faults(scenario), design)
    for number, decision in enumerate(tape.decisions):
        try:
            begun.take([decision])
        except InputError as error:
            line = f":{tape.lines[number]}" if tape.lines else f": decision {number + 1}"
            raise InputError(str(error), f"{tape.path}{line}") from None
    return begun


def _keep(walk: Walk, output: Path | None) -> str:
    """Save the walk where the command line says, or in the default folder; gives the path. A walk that has not moved is
    saved only where it was asked for. If that fails it is in the default folder."""
    if output is not None:
        try:
            save(walk, output)
        except InputError:
            _keep(walk, None)
            raise
        return str(output)
    if not walk.moves:
        return ""
    run = walk.run
    keep_run(run, None, "walk")
    return str(run.path or "")


def _check_target(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse a path whose file holds anything else than a run or a tape."""
    if path.suffix == ".json":
        check_output(path, list(inputs))
    elif path.is_file() and not read_text(path, 64 << 20).startswith(HEADER):
        raise InputError("exists and is not a tape; choose another name", str(path))


def save(walk: Walk, path: Path) -> None:
    """Write the tape, or for a name that ends with .json the run. Raises InputError naming the path."""
    _check_target(path)
    if path.suffix == ".json":
        keep_run(walk.run, path)
    else:
        write_file(path, format_tape(walk.tape).encode())


# Commands ------------------------------------------------------------------------------------------------


@dataclass
class Commands:
    """Carries out the commands of the input. ``out``: None where nothing is shown."""

    walk: Walk
    out: Console | None
    line: int = field(default=0, init=False)

    def read(self) -> None:
        """Raises InputError where a command that does not come from a terminal is refused."""
        self._show()
        while (line := self._next()) is not None and line not in ("q", "quit"):
            self.line += 1
            try:
                shown = self._carry_out(line)
            except InputError as error:
                if self.out is None or not prompt.is_terminal():
                    raise InputError(str(error), f"<stdin>:{self.line}") from None
                print_text(self.out, Text(str(error)), hang=2)
                continue
            if shown:
                self._show()

    def _next(self) -> str | None:
        if self.out is None:
            line = "" if prompt.is_terminal() else prompt.next_line()
            return line.strip() if line else None
        return prompt.read_line(f"{len(self.walk.tape)}> ")

    def _carry_out(self, line: str) -> bool:
        """Whether the walk stands elsewhere, or has to be shown."""
        if line.startswith("#") or (not line and not prompt.is_terminal()):
            return False
        word, _, rest = line.partition(" ")
        if line.isdecimal():
            choices = self.walk.choices
            if not 1 <= int(line) <= len(choices):
                raise InputError(f"expected a decision from 1 to {len(choices)}, found {line}")
            self.walk.take([choices[int(line) - 1]])
            return True
        if word not in _COMMANDS:
            self.walk.take([_decision(line)])
            return True
        return _COMMANDS[word](self, rest.strip())

    def _go_on(self, rest: str) -> bool:
        if not self.walk.go_on(_count(rest)):
            raise InputError("the default schedule is at its end; f ends the run and judges it")
        return True

    def _undo(self, rest: str) -> bool:
        self.walk.undo(_count(rest))
        return True

    def _finish(self, rest: str) -> bool:
        _nothing(rest)
        with console(stderr=True).status("finishing"):
            self.walk.finish()
        return True

    def _list(self, rest: str) -> bool:
        _nothing(rest)
        return True

    def _tape(self, rest: str) -> bool:
        _nothing(rest)
        if self.out is not None:
            self.out.print(Text(format_tape(self.walk.tape).rstrip()), soft_wrap=True)
        return False

    def _save(self, rest: str) -> bool:
        if not rest:
            raise InputError("expected the name of a file: s walk.tape")
        save(self.walk, Path(rest))
        if self.out is not None:
            print_text(self.out, f"saved in {escape(rest)}", hang=2)
        return False

    def _help(self, rest: str) -> bool:
        _nothing(rest)
        if self.out is not None:
            for command, about in HELP:
                print_text(self.out, Text(f"{command:<9} {about}"), hang=10)
        return False

    def _show(self) -> None:
        if self.out is not None:
            show(self.out, walk_document(self.walk))
            if self.walk.over:
                print_run(self.out, run_document(self.walk.run))
                print_text(self.out, "[dim]u undo, s FILE save, q end[/]")
            elif not self.line:
                print_text(
                    self.out, "[dim]N take a decision, Enter the first, u undo, f finish, s FILE save, h help[/]"
                )


_COMMANDS: dict[str, Callable[[Commands, str], bool]] = {
    name: act
    for names, act in (
        (("", "n", "next"), Commands._go_on),
        (("u", "undo"), Commands._undo),
        (("f", "finish"), Commands._finish),
        (("l", "list"), Commands._list),
        (("t", "tape"), Commands._tape),
        (("s", "save"), Commands._save),
        (("h", "help", "?"), Commands._help),
    )
    for name in names
}


def _count(rest: str) -> int:
    if rest and (not rest.isdecimal() or int(rest) < 1):
        raise InputError(f"expected a number from 1, found {rest!r}")
    return int(rest or 1)


def _nothing(rest: str) -> None:
    if rest:
        raise InputError(f"expected nothing behind this command, found {rest!r}")


def _decision(line: str) -> Decision:
    try:
        return parse_decision(line)
    except ValueError as error:
        raise InputError(f"{line!r}: expected a number of the list, a command of h, or a decision: {error}") from None


# Output -------------------------------------------------------------------------------------------


def show(out: Console, told: WalkDocument) -> None:
    print_text(
        out,
        f"[bold]decision {told.decisions}[/], record {told.records}, {told.time:,} ns: {escape(told.scenario)} under "
        f"{escape(told.design)}",
        hang=4,
    )
    hidden = max(len(told.changes) - CHANGES_LIMIT, 0)
    if hidden:
        print_text(out, f"[dim]{hidden} records before these[/]", indent=2)
    for change in told.changes[hidden:]:
        broken = f"   [bold red]!! {', '.join(change.broken)}[/]" if change.broken else ""
        lane = f"{change.lane}: " if change.lane and not change.text.startswith(f"{change.lane}: ") else ""
        print_text(out, f"{change.seq:>4} {escape(lane + change.text)}{broken}", indent=2, hang=7)
    prompt.print_facts(out, told.facts)
    if told.choices:
        print_text(out, "[dim]possible[/]", indent=2)
    for choice in told.choices[:CHOICES_LIMIT]:
        mark = ">" if choice.number == 1 and told.usual else " "
        text = Text(f"{mark}{choice.number:>3} {choice.text}")
        print_text(out, text, indent=2, hang=5)
    if more := len(told.choices[CHOICES_LIMIT:]):
        print_text(out, f"[dim]and {more} more, up to {len(told.choices)}[/]", indent=2)
    waits = [f"{thread}: {why}" for thread, why in told.blocked.items() if why != "finished"]
    if waits and not told.over:
        print_text(out, "[dim]cannot step[/]", indent=2)
        print_text(out, Text("; ".join(waits)), indent=6)
    if not told.usual and not told.over:
        print_text(out, "nothing is left to do: f ends the run and judges it", indent=2)
    out.print()
