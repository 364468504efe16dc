"""A picture of the story as SVG, in light or dark as its page is: lanes, messages, owners of the LBR, its entries."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from client.export.xml import folded_tags
from client.run.run import Run
from client.timeline.messages import DEAD, MessageArrow
from client.timeline.story import label, left_out, story_of
from client.timeline.timeline import Timeline

ROW, LANE, STRIP, TOP, LEFT = 20, 34, 96, 66, 44
TEXT = 560
"""Width of the column of texts."""
_STYLE = """
text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1b1f24}
.b{fill:#b3001b;font-weight:600}.m{fill:#57606a}.back{fill:#fff}
.line{stroke:#d0d7de}.dot{fill:#1b1f24}
.host{fill:#0b63b8}.guest,.own{fill:#d1580a}
.active{fill:#6f42c1}.grant{fill:#0e7490}.down{fill:#c8102e;fill-opacity:.6}
.both{fill:#c8102e;fill-opacity:.25;stroke:#c8102e;stroke-width:2}
.passthrough{fill:#57606a}
.arrow{stroke:#1b1f24;stroke-width:1.5}.head{fill:#1b1f24}
.lost{stroke:#c8102e;stroke-width:2;fill:none}.bad{fill:#c8102e}
@media(prefers-color-scheme:dark){text,.dot,.head{fill:#e6edf3}.b{fill:#ff8f9c}
.m{fill:#9aa5b1}.back{fill:#0d1117}.line{stroke:#30363d}.arrow{stroke:#e6edf3}
.host{fill:#58a6ff}}
"""


def svg(run: Run, timeline: Timeline) -> str:
    return folded_tags("\n".join(_Picture(run, timeline).lines())) + "\n"


class _Picture:
    def __init__(self, run: Run, timeline: Timeline) -> None:
        self.run, self.timeline = run, timeline
        steps = story_of(timeline)
        self.broken = {step.seq: step.broken for step in steps}
        self.messages = list({id(step.message): step.message for step in steps if step.message is not None}.values())
        shown = {step.seq for step in steps} | {arrival.seq for m in self.messages for arrival in m.arrivals}
        self.gaps = {step.seq - 0.5: str(step.gap) for step in steps if step.gap is not None}
        self.shown = sorted([*shown, *self.gaps])
        """The numbers of the records that have a row. A gap has its row half a number before the step after it."""
        self.lanes = {lane.name: number for number, lane in enumerate(timeline.lanes)}
        self.strip = LEFT + len(self.lanes) * LANE + 6
        self.text = self.strip + STRIP + 10
        self.width, self.height = self.text + TEXT, TOP + (len(self.shown) + 2) * ROW

        self.bottom = self.height - ROW * 3 // 2

    def lines(self) -> Iterator[str]:
        title = f"{self.run.scenario.name} under {self.run.design.name}: {self.run.verdict.verdict}"
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}">'
        )
        yield f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        yield f'<rect class="back" width="{self.width}" height="{self.height}"/>'
        yield f'<text x="8" y="16" font-weight="600">{escape(title)}</text>'
        for name, number in self.lanes.items():
            x = self._x(number)
            yield f'<text x="{x}" y="{TOP - 8}" transform="rotate(-40 {x} {TOP - 8})">{escape(name)}</text>'
            yield f'<line class="line" x1="{x}" x2="{x}" y1="{TOP}" y2="{self.bottom}"/>'
        yield f'<text class="m" x="{self.strip}" y="{TOP - 8}">LBR of cpu0</text>'
        yield from self._bars()
        for seq in self.shown:
            if seq in self.gaps:
                yield f'<text class="m" x="{self.text}" y="{self._y(seq) + 4}">\u2026 {self.gaps[seq]}</text>'
            else:
                yield from self._row(int(seq))
        for message in self.messages:
            yield from self._arrow(message)
        yield f'<text class="m" x="8" y="{self.height - ROW // 2}">{left_out(self.timeline)}</text>'
        yield "</svg>"

    def _x(self, lane: int) -> int:
        return LEFT + lane * LANE + LANE // 2

    def _y(self, seq: float) -> float:
        """The middle of the row of this record, or of the next one that is shown."""
        place = next((number for number, shown in enumerate(self.shown) if shown >= seq), len(self.shown))
        return TOP + place * ROW + ROW / 2

    def _bars(self) -> Iterator[str]:
        shift = {"host": -9, "guest": 4, "own": 4, "active": -3, "passthrough": -8, "grant": 2, "down": -6}
        for bar in self.timeline.bars:
            top, bottom = self._y(bar.first), self._y(bar.last) if bar.last else self.bottom
            if bottom > top:
                x = self._x(self.lanes[bar.lane]) + shift[bar.kind]
                yield f'<rect class="{bar.kind}" x="{x}" y="{top}" width="5" height="{bottom - top}"/>'
        for both in self.timeline.overlaps:
            top, bottom = self._y(both.first), self._y(both.last)
            x = self._x(self.lanes[f"cpu{both.cpu}"]) - 11
            yield f'<rect class="both" x="{x}" y="{top}" width="22" height="{max(bottom - top, 3)}"/>'

    def _row(self, seq: int) -> Iterator[str]:
        row, y = self.timeline.rows[seq - 1], self._y(seq)
        broken = self.broken.get(seq, [])
        yield f'<text class="m" x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{seq}</text>'
        if row.lane >= 0:
            kind = "bad" if row.broken else "dot"
            yield f'<circle class="{kind}" cx="{self._x(row.lane)}" cy="{y}" r="{5 if row.broken else 3}"/>'
        yield from self._ring(seq, y)
        text = f"!! {', '.join(broken)}: {row.text}" if broken else row.text
        limit = TEXT // 7 - 2
        shown = text if len(text) <= limit else f"{text[: limit - 1]}\u2026"
        whole = "" if shown == text else f"<title>{escape(text)}</title>"
        style = "b" if broken else "t"
        yield f'<text class="{style}" x="{self.text}" y="{y + 4}">{escape(shown)}{whole}</text>'

    def _ring(self, seq: int, y: float) -> Iterator[str]:
        runs = next(runs for at, runs in reversed(self.timeline.rings[0].changes) if at <= seq)
        cell = STRIP / max(sum(count for _, count in runs), 1)
        at = float(self.strip)
        yield f'<rect class="line" fill="none" x="{self.strip}" y="{y - 6}" width="{STRIP}" height="12"/>'
        for who, count in runs:
            if who:
                kind = who.split(" ")[0] if who != "?" else "passthrough"
                yield f'<rect class="{kind}" x="{at:.1f}" y="{y - 6}" width="{count * cell:.1f}" height="12"/>'
            at += count * cell

    def _arrow(self, message: MessageArrow) -> Iterator[str]:
        host = next(lane.host for lane in self.timeline.lanes if lane.name == message.session)
        perf = self._x(self.lanes[f"perf{host}" if host else "perf"])
        ends = perf, self._x(self.lanes[message.session])
        x1, x2 = ends[::-1] if message.to_host else ends
        y1 = self._y(message.sent)
        way = 1 if x2 > x1 else -1
        if message.fate in DEAD or not message.taken:
            x = (x1 + x2) // 2
            y2 = self._y(message.ended or (message.arrivals[-1].seq if message.arrivals else message.sent))
            yield f'<path class="lost" stroke-dasharray="4 3" d="M{x1} {y1}L{x} {y2}"/>'
            yield f'<path class="lost" d="M{x - 5} {y2 - 5}l10 10m0 -10l-10 10"/>'
            yield f'<text class="b" x="{x + 8}" y="{y2 + 4}">{escape(label(message).split(" ", 1)[-1])}</text>'
            return
        for arrival in message.arrivals:
            if arrival.fate in ("take", "overtake", "duplicate", "corrupt"):
                y2 = self._y(arrival.seq)
                yield f'<line class="arrow" x1="{x1}" y1="{y1}" x2="{x2 - way * 6}" y2="{y2}"/>'
                yield f'<path class="head" d="M{x2} {y2}l{-way * 8} -4v8z"/>'
