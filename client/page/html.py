"""The page as one HTML text: template, style, script and data, and a table of the records for readers without a script.

Data stand in the page as JSON in which ``<`` is escaped, and as escaped HTML. A content policy allows this one script
and this one style by their digests, and no network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template

import msgspec

from client.files import make_folder
from client.page.model import PageModel, RunModel
from contract.errors import InputError

GENERATOR = '<meta name="generator" content="lbrlab'
"""By this a page is known."""
ASSETS = Path(__file__).parent / "assets"
TABLE_LIMIT = 2_000
"""The most records of a run in the table of the page."""


def page(model: PageModel) -> str:
    """The whole page."""
    style, script = asset("report.css"), asset("report.js")
    policy = f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; base-uri 'none'"
    return Template(asset("report.html")).substitute(
        policy=policy,
        title=escape(" and ".join(dict.fromkeys(title_of(run) for run in model.runs))),
        style=style,
        script=script,
        model=embedded(model),
        tables="\n".join(_table(number, run) for number, run in enumerate(model.runs)),
        version=escape(model.lbrlab),
    )


def check_target(target: Path) -> None:
    """Raises InputError if a file is there that is not a page of lbrlab: only such a page may be replaced. Creates the
    folder."""
    make_folder(target.parent)
    if target.is_file():
        with target.open("rb") as file:
            start = file.read(4096)
        if start and GENERATOR.encode() not in start:
            raise InputError("exists and is not a report; choose another name", str(target))


def title_of(run: RunModel) -> str:
    return f"{run.scenario} under {run.design}"


def asset(name: str) -> str:
    """The text of a file of ``ASSETS``."""
    return (ASSETS / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The name of a style or script in a content policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def embedded(model: PageModel) -> str:
    """JSON that can stand in a script element: no text in it ends the element or begins a comment."""
    text = msgspec.json.encode(model).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _table(number: int, run: RunModel) -> str:
    shown = run.rows[:TABLE_LIMIT]
    left = run.total - len(shown)
    note = f" The table has the first {len(shown):,} of {run.total:,} records." if left else ""
    verdicts = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(verdict)}</td><td>{escape(about)}</td></tr>"
        for name, about, verdict in ((i.name, i.about, i.verdict) for i in run.invariants)
    )
    heading = escape(title_of(run))
    return "\n".join([
        f'<section class="twin" id="twin-{number}">',
        f"<h2>{heading}: {escape(run.verdict)}</h2>",
        f"<p>{escape(run.purpose)}</p>",
        f"<p><code>{escape(run.command)}</code></p>",
        f"<table><caption>Invariants of {heading}</caption>",
        "<thead><tr><th scope=col>invariant</th><th scope=col>verdict</th><th scope=col>it says</th></tr></thead>",
        f"<tbody>{verdicts}</tbody></table>",
        f"<table><caption>Records of {heading}.{note}</caption>",
        "<thead><tr><th scope=col>step</th><th scope=col>time, ns</th><th scope=col>lane</th>"
        "<th scope=col>record</th><th scope=col>violated</th></tr></thead><tbody>",
        *_rows(run),
        "</tbody></table></section>",
    ])  # fmt: skip


def _rows(run: RunModel) -> Iterator[str]:
    for seq, row in enumerate(run.rows[:TABLE_LIMIT], 1):
        lane = run.lanes[row.lane].name if row.lane >= 0 else ""
        broken = ", ".join(run.invariants[number].name for number in row.broken)
        mark = ' class="broken"' if broken else ""
        yield (
            f"<tr{mark}><th scope=row>{seq}</th><td>{row.time}</td><td>{escape(lane)}</td>"
            f"<td>{escape(row.text)}</td><td>{escape(broken)}</td></tr>"
        )
