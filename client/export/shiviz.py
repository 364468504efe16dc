"""A log with vector clocks for ShiViz. The first line is the expression that its parser needs."""

from __future__ import annotations

import json

from client.run.run import Run
from client.timeline.timeline import Row, Timeline

EXPRESSION = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})"


def shiviz(run: Run, timeline: Timeline) -> str:
    """A host of the log is a host of the run or a KVM session. Taking a message joins the clock of its sending. A lost
    message is an event of the wire."""
    clocks: dict[str, dict[str, int]] = {}
    sent: dict[int, dict[str, int]] = {}
    sending = {message.sent for message in timeline.messages}
    arrivals = {arrival.seq: message.sent for message in timeline.messages for arrival in message.arrivals}
    lines = [EXPRESSION, ""]
    for row in timeline.rows:
        host = _host(run, timeline, row)
        clock = clocks.setdefault(host, {host: 0})
        for name, count in sent.get(arrivals.get(row.seq, 0), {}).items():
            clock[name] = max(clock.get(name, 0), count)
        clock[host] += 1
        if row.seq in sending:
            sent[row.seq] = dict(clock)
        mark = f" !! {', '.join(row.broken)}" if row.broken else ""
        lines += [f"{row.seq} {row.text}{mark}", f"{host} {json.dumps(clock)}"]
    return "\n".join([*lines, ""])


def _host(run: Run, timeline: Timeline, row: Row) -> str:
    if row.lane < 0:
        return "run"
    lane = timeline.lanes[row.lane]
    if lane.group == "vcpu":
        return run.scenario.home(lane.name.split("/")[0])
    if lane.group in ("kvm", "wire"):
        return lane.name.replace(" ", "-")
    return f"host{lane.host}" if lane.host else "host"
