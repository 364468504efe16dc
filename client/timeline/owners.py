"""The use of the LBR over time: by host perf, by guests, and by both at once.

``host`` is perf's LBR turned on for host events. ``guest`` is a guest in guest mode with DEBUGCTL.LBR set. The other
bars show rights, not use: a guest's event that is ACTIVE in perf, and passthrough and grants in KVM.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import msgspec

from client.timeline.lanes import Lanes
from contract import trace as t
from contract.x86 import DEBUGCTL_LBR


class Bar(msgspec.Struct):
    """From record ``first`` until record ``last``; 0: to the end. ``kind``: host, guest, own, active, passthrough,
    grant, or down: a service that is crashed or stalled, or a link that is cut."""

    lane: str
    kind: str
    text: str
    first: int
    last: int = 0


class Overlap(msgspec.Struct):
    """Host and guest use the LBR of one CPU at once."""

    cpu: int
    vcpu: str
    first: int
    last: int


class Owners:
    """Takes records in order. ``lanes`` must have taken the record already."""

    def __init__(self, lanes: Lanes) -> None:
        self.bars: list[Bar] = []
        self._open: dict[tuple[str, Hashable], Bar] = {}
        self._lanes = lanes
        self._guest_of: dict[int, str] = {}

    def _begin(self, key: tuple[str, Hashable], bar: Bar) -> None:
        self._end(key, bar.first)
        self._open[key] = bar
        self.bars.append(bar)

    def _end(self, key: tuple[str, Hashable], seq: int) -> None:
        if (bar := self._open.pop(key, None)) is not None:
            bar.last = seq

    def take(self, r: t.AnyRecord) -> None:
        if isinstance(r, t.HostLbr):
            if not r.enabled:
                self._end(("host", r.cpu), r.seq)
            elif ("host", r.cpu) not in self._open:
                self._begin(("host", r.cpu), Bar(f"cpu{r.cpu}", "host", "host LBR on", r.seq))
        elif isinstance(r, t.VmEntry):
            self._end(("guest", r.cpu), r.seq)
            if r.debugctl & DEBUGCTL_LBR:
                own = " (an LBR of its own)" if r.switched else ""
                kind = "own" if r.switched else "guest"
                self._begin(("guest", r.cpu), Bar(f"cpu{r.cpu}", kind, f"{r.vcpu} with its LBR on{own}", r.seq))
        elif isinstance(r, t.VmExit):
            self._end(("guest", r.cpu), r.seq)
        elif isinstance(r, t.EventOpen):
            if r.guest:
                self._guest_of[r.event] = r.guest
        elif isinstance(r, t.EventChange):
            self._active(r)
        elif isinstance(r, t.EventClose):
            self._end(("active", r.event), r.seq)
        elif isinstance(r, t.Crash | t.Killed):
            self._crash(r)
        elif isinstance(r, t.PassthroughSet):
            self._right(
                ("passthrough", r.vcpu), r.enabled, r.vcpu, "passthrough", f"{r.vcpu}: LBR passed through", r.seq
            )
        elif isinstance(r, t.Granted):
            text = f"{r.vcpu} holds grant {r.grant}"
            self._right(("grant", r.vcpu), bool(r.grant), r.vcpu, "grant", text, r.seq)
        self._outage(r)

    def _outage(self, r: t.AnyRecord) -> None:
        """A service or a link that is down, and up again."""
        if isinstance(r, t.Crash | t.Stalled):
            text = f"{r.service} is {'stalled' if isinstance(r, t.Stalled) else 'down'}"
            self._begin(("down", r.service), Bar(self._lanes.of_service(r.service), "down", text, r.seq))
        elif isinstance(r, t.Restart | t.Continued):
            self._end(("down", r.service), r.seq)
        elif isinstance(r, t.LinkCut):
            bar = Bar(self._lanes.wire_of(r.session), "down", f"the link of {r.session} is cut", r.seq)
            self._begin(("cut", (r.session, r.to_host)), bar)
        elif isinstance(r, t.LinkMended):
            for key in [key for key in self._open if key[0] == "cut" and _same_link(key[1], r)]:
                self._end(key, r.seq)

    def _crash(self, r: t.Crash | t.Killed) -> None:
        """The bars of a service, or of threads, that end with it."""
        host = r.host if isinstance(r, t.Crash) else -1
        for (kind, holder), bar in list(self._open.items()):
            if host >= 0:
                gone = kind in ("host", "guest", "active") and self._lanes.host_of(bar.lane) == host
            else:
                gone = holder in r.vcpus or (kind == "guest" and bar.text.split(" ")[0] in r.vcpus)
            if gone:
                self._end((kind, holder), r.seq)

    def _active(self, r: t.EventChange) -> None:
        self._end(("active", r.event), r.seq)
        guest = self._guest_of.get(r.event)
        if guest is not None and r.new == "ACTIVE":
            lane = self._lanes.name_of(r)
            self._begin(("active", r.event), Bar(lane, "active", f"event of {guest} ACTIVE", r.seq))

    def _right(self, key: tuple[str, Hashable], on: bool, vcpu: str, kind: str, text: str, seq: int) -> None:
        self._end(key, seq)
        if on:
            self._begin(key, Bar(self._lanes.session_of(vcpu), kind, text, seq))


def _same_link(cut: Hashable, r: t.LinkMended) -> bool:
    """Whether this ends the cut of (session, way): the same way, or both."""
    return isinstance(cut, tuple) and cut[0] == r.session and (r.to_host is None or cut[1] == r.to_host)


def overlaps(bars: Iterable[Bar], end: int) -> list[Overlap]:
    """The times at which a ``host`` and a ``guest`` bar of one CPU are both there. ``end``: number of the last
    record."""
    used = [bar for bar in bars if bar.kind in ("host", "guest")]
    found = []
    for host in (bar for bar in used if bar.kind == "host"):
        for guest in (bar for bar in used if bar.kind == "guest" and bar.lane == host.lane):
            first, last = max(host.first, guest.first), min(host.last or end, guest.last or end)
            if first < last:
                found.append(Overlap(int(host.lane[3:]), guest.text.split(" ")[0], first, last))
    return sorted(found, key=lambda overlap: overlap.first)
