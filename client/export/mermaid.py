"""A Mermaid sequence diagram of the story. GitHub and GitLab draw it in a page of Markdown."""

from __future__ import annotations

import re
import textwrap

from client.run.run import Run
from client.timeline.lanes import Lane
from client.timeline.story import Part, StoryStep, label_of, left_out, story_of
from client.timeline.timeline import Timeline

WIDTH = 56
"""Characters of a drawn line. A statement of Mermaid cannot be folded in its source."""
_OWN = re.compile(r"[;#<&\"`{}\[\]\\%]|[^\x20-\x7e]")
_NAMES = {"perf": "host perf", "kvm": "KVM", "vcpu": "guest", "cpu": "CPU", "program": "host program", "wire": "wire"}


def mermaid(run: Run, timeline: Timeline) -> str:
    steps = story_of(timeline)
    ids = {lane.name: f"L{number}" for number, lane in enumerate(timeline.lanes)}
    first = next(iter(ids))
    used = {first} | {step.lane for step in steps} | _ends(timeline, steps)
    lines = ["sequenceDiagram"]
    lines += [
        f"    participant {ids[lane.name]} as {_text(_title(lane))}" for lane in timeline.lanes if lane.name in used
    ]
    for step in steps:
        at = ids.get(step.lane, ids[first])
        if step.gap is not None:
            lines.append(f"    Note over {at}: {_text(str(step.gap))}")
        if step.message is not None:
            told = _text(label_of(step, steps[-1].seq))
            if step.part == Part.SENDING:
                lines.append(f"    Note over {at}: {told}")
            else:
                lines.append(f"    {at}{'-x' if step.lost else '->>'}{ids[_receiver(timeline, step)]}: {told}")
        else:
            lines.append(f"    Note over {at}: {_text(step.text)}")
        if step.broken:
            lines.append("    rect rgb(255, 200, 200)")
            lines.append(f"    Note over {at}: {_text(', '.join(step.broken))} VIOLATED, record {step.seq}")
            lines.append("    end")
    lines.append(f"    Note over {ids[first]}: {_text(left_out(timeline))}")
    verdict = _text(f"{run.scenario.name} under {run.design.name}: {run.verdict.verdict}")
    return "\n".join([lines[0], f"    %% {verdict}", *lines[1:], ""])


def _title(lane: Lane) -> str:
    return lane.name if lane.group in ("cpu", "wire") else f"{lane.name} ({_NAMES[lane.group]})"


def _receiver(timeline: Timeline, step: StoryStep) -> str:
    """The lane of the other end."""
    message = step.message
    assert message is not None
    if not message.to_host:
        return message.session
    host = next(lane.host for lane in timeline.lanes if lane.name == message.session and lane.group == "kvm")
    return next(lane.name for lane in timeline.lanes if lane.group == "perf" and lane.host == host)


def _ends(timeline: Timeline, steps: list[StoryStep]) -> set[str]:
    return {_receiver(timeline, step) for step in steps if step.message is not None}


def _text(text: str) -> str:
    """Text that Mermaid takes for text: it reads ``;``, ``#``, HTML and links as its own language. A long text is drawn
    in several lines."""
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "<br/>".join(_OWN.sub(lambda found: f"#{ord(found[0])};", line) for line in lines)
