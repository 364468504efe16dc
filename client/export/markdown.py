"""Markdown for a mail or a changelog: purpose, the race in two columns within 72, verdict, all that repeats it."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator

from client.export.command import command_of
from client.export.repeat import repetition
from client.run.run import Run
from client.timeline.story import Part, StoryStep, label_of, left_out, story_of
from client.timeline.timeline import Timeline
from contract.design import Design
from contract.invariants import ABOUT, NOT_EXERCISED, VIOLATED

WIDTH = 72
INDENT = 4
TAPE_LIMIT = 300
"""The most decisions of a tape in a mail."""
SIDE = 27
"""Columns of each side."""
MIDDLE = WIDTH - 2 * SIDE - 2


def markdown(run: Run, timeline: Timeline) -> str:
    return "\n".join([
        f"### {run.scenario.name} under {run.design.name}: {run.verdict.verdict}",
        "",
        *_wrapped(run.scenario.purpose or "No purpose is stated."),
        "",
        *_wrapped(_design(run.design)),
        *_faults(run),
        "",
        *_set_in(folded_diagram(timeline)),
        "",
        *_wrapped(left_out(timeline)),
        "",
        *_verdict(run),
        "",
        *_repeat(run),
        "",
    ])  # fmt: skip


def _wrapped(text: str, hang: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False) or [text]


def _faults(run: Run) -> list[str]:
    if not run.faults:
        return []
    return ["", *_wrapped(f"Faults: {', '.join(f'`{fault}`' for fault in run.faults)}.")]


def _verdict(run: Run) -> list[str]:
    lines = []
    for finding in run.verdict.findings:
        if finding.verdict == VIOLATED and finding.violations:
            first, more = finding.violations[0], len(finding.violations) - 1
            text = f"- **{finding.invariant} violated** ({ABOUT[finding.invariant]}): record {first.seq}, {first.text}"
            lines += _wrapped(f"{text}{f'; {more} more' if more else ''}.", "  ")
    others = [f"{f.invariant} {f.verdict}" for f in run.verdict.findings if f.verdict not in (VIOLATED, NOT_EXERCISED)]
    lines += _wrapped(f"- {', '.join(others)}.", "  ") if others else []
    return lines or _wrapped(f"- {run.verdict.reason}.", "  ")


def _design(design: Design) -> str:
    """The text of a proposal often begins with its name."""
    about = re.sub(rf"^{re.escape(design.name)}\s*:\s*", "", design.about, flags=re.IGNORECASE).rstrip(" .")
    return f"Design {design.name}: {about}."


def _repeat(run: Run) -> list[str]:
    again = repetition(run, WIDTH - INDENT)
    command = again.command
    lines = []
    if again.decisions > TAPE_LIMIT:
        length = f"Its schedule has {again.decisions:,} decisions, too many for a mail."
        if not (command := command_of(run)):
            return _wrapped(f"{length} The formats pytest and litmus hold all that repeats it.")
        lines += [*_wrapped(f"{length} Send the run file with it."), ""]
    elif again.files:
        lines += [*_wrapped("Save each of these blocks as a file of the name above it."), ""]
        for name, content in again.files.items():
            lines += [f"{name}:", "", *_set_in(content.splitlines()), ""]
    return [*lines, "To repeat it:", "", *_set_in(folded(command, WIDTH - INDENT))]


def _set_in(lines: Iterable[str]) -> list[str]:
    return [f"{' ' * INDENT}{line}".rstrip() for line in lines]


def folded(command: str, width: int) -> list[str]:
    """A shell command on lines that end with a backslash. A line ends between two words of the shell."""
    lines = [""]
    for word in map(shlex.quote, shlex.split(command)):
        if lines[-1] and len(f"{lines[-1]} {word} \\") > width:
            lines.append(" ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def folded_diagram(timeline: Timeline) -> Iterator[str]:
    """The diagram in lines of 68 columns, so that it fits a mail when it is set in by 4."""
    return diagram(timeline, SIDE - 2, MIDDLE)


def diagram(timeline: Timeline, side: int, middle: int) -> Iterator[str]:
    """The story in two columns, with the wire between them. Violations, and steps that are left out, stand on lines of
    their own. A message that is not delivered at once has half an arrow where it is sent and half an arrow where it
    arrives."""
    yield _row("host perf", "wire", "KVM and guest", side, middle)
    yield _row("-" * side, "-" * middle, "-" * side, side, middle)
    steps = story_of(timeline)
    for step in steps:
        if step.gap is not None:
            yield f"... {step.gap} ..."
        if step.message is not None:
            yield from _arrow(step, steps[-1].seq, side, middle)
        else:
            for line in textwrap.wrap(step.text, side, subsequent_indent="  "):
                yield _row(line, "", "", side, middle) if step.side == "host" else _row("", "", line, side, middle)
        for name in step.broken:
            yield f"!! {name} violated, record {step.seq}"


def _arrow(step: StoryStep, end: int, side: int, middle: int) -> Iterator[str]:
    assert step.message is not None
    for line in textwrap.wrap(label_of(step, end), middle):
        yield _row("", line, "", side, middle)
    yield _row("", _shaft(step, middle), "", side, middle)


def _shaft(step: StoryStep, middle: int) -> str:
    """The arrow: the half next to the sender is full at the sending, the other one at the arrival."""
    assert step.message is not None
    whole, dotted = "-" * middle, "- " * middle
    half = middle // 2
    shaft = {
        Part.ALL: whole,
        Part.SENDING: whole[:half] + dotted[: middle - half],
        Part.ARRIVAL: dotted[:half] + whole[half:],
    }[step.part]
    if step.part != Part.SENDING:
        shaft = shaft[:-2] + "-x" if step.lost else shaft[:-1] + ">"
    return shaft[::-1].replace(">", "<") if step.message.to_host else shaft


def _row(left: str, centre: str, right: str, side: int, middle: int) -> str:
    return f"{left[:side]:<{side}} {centre[:middle]:^{middle}} {right[:side]}".rstrip()
