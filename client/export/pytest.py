"""A test for pytest that fails as the run did. It needs lbrlab and no other file."""

from __future__ import annotations

import re
from string import Template

from client.designs.toml import format_design
from client.export.command import is_named
from client.export.litmus import asking, folded
from client.litmus import format_scenario
from client.run.choose import without_faults
from client.run.run import Run
from client.schedule.decisions import format_tape
from client.timeline.timeline import Timeline

_PAGE = Template('''"""$scenario under $design: $verdict.

Written by lbrlab export.
"""

from pathlib import Path

from client import api

BROKEN = $broken

SCENARIO = $text

DESIGN = $toml

TAPE = $tape


def test_$name(tmp_path: Path) -> None:
    """It replays the schedule of the run.

    It fails as long as an invariant of BROKEN is violated.
    """
    files = {"mine.litmus": SCENARIO, "mine.toml": DESIGN, "mine.tape": TAPE}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    story, tape = api.load(tmp_path / "mine.litmus"), tmp_path / "mine.tape"
    design = $chosen
    run = api.run(story, design, tape=tape, lenient=True$wire)
    verdict = run.verdict
    broken = [f for f in verdict.findings if f.invariant in BROKEN]
    assert [f.violations[0] for f in broken if f.violations] == []
    assert verdict.verdict not in ("violated", "failed"), verdict.reason
''')


def pytest(run: Run, timeline: Timeline) -> str:
    """The test names the design if its name is enough: it then tests the design as it is by that time."""
    scenario = without_faults(asking(run.scenario, run.broken(), run.design))
    named = is_named(run.design)
    return _PAGE.substitute(
        scenario=_plain(scenario.name),
        design=_plain(run.design.name),
        verdict=run.verdict.verdict,
        broken="\n".join(["[", *(f'    "{name}",' for name in run.broken()), "]"]) if run.broken() else "[]",
        text=literal(folded(format_scenario(scenario))),
        toml=literal(run.design.name if named else format_design(run.design)),
        chosen="DESIGN" if named else 'str(tmp_path / "mine.toml")',
        tape=literal(format_tape(run.tape)),
        wire=', wire="grpc"' if run.wire == "grpc" else "",
        name=re.sub(r"\W+", "_", f"{scenario.name}_under_{run.design.name}", flags=re.ASCII),
    )


def _plain(text: str) -> str:
    """A name inside a docstring."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def literal(text: str) -> str:
    """A Python literal of the text. One of several lines keeps its lines."""
    body = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text.replace("\\", "\\\\"))
    body = body.replace('"', '\\"') if '"""' in body or "\n" not in body else body
    return f'"""\\\n{body}"""' if "\n" in body else f'"{body}"'
