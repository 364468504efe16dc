"""Records of the host perf core: events, samples, the LBR of the host."""

from __future__ import annotations

from typing import ClassVar

from contract.trace.record import Record


class PerfRecord(Record):
    source: ClassVar[str] = "perf"


class EventOpen(PerfRecord):
    """``guest``: the vCPU that a guest's event stands for, else "". ``select``: the LBR_SELECT value it programs; -1:
    no branch stack. ``counter``: it needs a counter. ``exclusive``: it or its leader is exclusive. ``counts_for``: the
    vCPU whose counter it counts for, else ""."""

    event: int
    name: str
    guest: str
    cpu: int
    task: str
    pinned: bool
    state: str
    select: int
    branch: list[str]
    privilege: list[str]
    leader: str
    counter: bool = False
    exclusive: bool = False
    counts_for: str = ""


class EventFailed(PerfRecord):
    """An open gave an errno. ``holder``: the owner in whose favour it was refused, "" if there is none. ``lbr``: it
    asked for branches. The other fields are as in EventOpen."""

    name: str
    errno: str
    cpu: int = -1
    task: str = ""
    pinned: bool = False
    lbr: bool = False
    guest: str = ""
    holder: str = ""


class HostWait(PerfRecord):
    """The task that opened or enabled ``name`` sleeps until KVM has acknowledged the end of ``grants``."""

    name: str
    grants: list[int]


class HostWake(PerfRecord):
    """The task wakes. ``reason``: acknowledged, or the lease is over."""

    name: str
    reason: str


class EventChange(PerfRecord):
    """An event changed state. ``reason``: the resource that a pinned event did not get when it went to ERROR, ""
    otherwise."""

    event: int
    name: str
    old: str
    new: str
    cpu: int
    reason: str = ""


class EventWaits(PerfRecord):
    """Perf tried again to put the group of leader ``event``, which asks for the LBR, on a CPU, and failed for another
    reason than before. ``reason`` is the reason, "" for none. The state of the event has not changed."""

    event: int
    name: str
    reason: str


class EventClose(PerfRecord):
    event: int
    name: str


class HostLbr(PerfRecord):
    """Perf turned the LBR on or off for the host's events on this CPU (``intel_pmu_lbr_enable_all`` /
    ``disable_all``)."""

    cpu: int
    enabled: bool
    debugctl: int
    select: int


class SampleTaken(PerfRecord):
    """The branch stack of a sample, newest first. ``shut_out``: perf did not read the LBR; the entries are those of its
    last read."""

    event: int
    name: str
    cpu: int
    from_ip: list[int]
    to_ip: list[int]
    shut_out: bool
    overflow: bool = False


class LbrReset(PerfRecord):
    """FROM, TO and INFO are now zero; with ``select``, LBR_SELECT too."""

    cpu: int
    reason: str
    select: bool


AnyPerfRecord = (
    EventOpen
    | EventFailed
    | HostWait
    | HostWake
    | EventChange
    | EventWaits
    | EventClose
    | HostLbr
    | SampleTaken
    | LbrReset
)
