"""The data of the page: a pure function of runs. The script of the page draws them and computes nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from client.export.command import command_of
from client.page.align import Alignment, align
from client.run.file import installed_version
from client.run.run import Run
from client.timeline.timeline import Timeline, timeline_of
from contract import trace as t
from contract.invariants import ABOUT

LIMIT = 20_000
"""The most records of a run that the page shows."""
FORMAT = 1


class LaneModel(msgspec.Struct, array_like=True):
    name: str
    group: str
    vm: str


class RowModel(msgspec.Struct, array_like=True):
    """``kind``, ``source``: places in the lists of the run. ``vm``: the VM that it is about, "" for none. ``broken``:
    places of invariants. ``causes``: numbers of records."""

    time: int
    lane: int
    kind: int
    source: int
    text: str
    vm: str
    broken: list[int]
    causes: list[int]


class ArrivalModel(msgspec.Struct, array_like=True):
    seq: int
    fate: str
    fault: str
    reason: str


class MessageModel(msgspec.Struct, array_like=True):
    """``sender``, ``receiver``, ``wire``: lanes. ``rule``: the fault that drops it in a run with these faults."""

    name: str
    kind: str
    sent: int
    fate: str
    sender: int
    receiver: int
    wire: int
    arrivals: list[ArrivalModel]
    rule: str


class BarModel(msgspec.Struct, array_like=True):
    """``last`` 0: to the end. ``kind`` ``overlap``: host and guest use the LBR at once."""

    lane: int
    kind: str
    text: str
    first: int
    last: int


class FactModel(msgspec.Struct, array_like=True):
    side: str
    name: str
    changes: list[tuple[int, str]]


class InvariantModel(msgspec.Struct, array_like=True):
    name: str
    about: str
    verdict: str
    changes: list[tuple[int, str]]


class ViolationModel(msgspec.Struct, array_like=True):
    invariant: int
    seq: int
    text: str
    because: list[int]


class RunModel(msgspec.Struct, kw_only=True):
    """One run. Record n is ``rows[n - 1]``. ``rings``: for each CPU its LBR after a record, as places in ``owners`` and
    numbers of entries in turn, newest first. ``total``: number of records of the run; the page has the first
    ``LIMIT``."""

    scenario: str
    design: str
    wire: str
    purpose: str
    about: str
    verdict: str
    reason: str
    command: str
    faults: list[tuple[str, bool]]
    total: int
    depth: int
    lanes: list[LaneModel]
    kinds: list[str]
    sources: list[str]
    rows: list[RowModel]
    messages: list[MessageModel]
    bars: list[BarModel]
    owners: list[str]
    rings: list[list[tuple[int, list[int]]]]
    facts: list[FactModel]
    invariants: list[InvariantModel]
    violations: list[ViolationModel]


class PageModel(msgspec.Struct, kw_only=True):
    """``alignments``: of each run but the first with the first."""

    format: int
    lbrlab: str
    runs: list[RunModel]
    alignments: list[Alignment]


def page_model(runs: Sequence[Run], limit: int = LIMIT) -> PageModel:
    """The data of a page for these runs. Raises InputError if one has no valid trace."""
    first = runs[0].records[:limit]
    return PageModel(
        format=FORMAT,
        lbrlab=installed_version(),
        runs=[run_model(run, timeline_of(run), limit) for run in runs],
        alignments=[align(first, run.records[:limit]) for run in runs[1:]],
    )


def run_model(run: Run, timeline: Timeline, limit: int) -> RunModel:
    setup = run.records[0]
    assert isinstance(setup, t.Setup)
    verdict = run.verdict
    names = {finding.invariant: number for number, finding in enumerate(verdict.findings)}
    kinds = sorted({row.kind for row in timeline.rows})
    sources = [s for s in ("driver", "wire", "silicon", "perf", "kvm") if any(r.source == s for r in timeline.rows)]
    owners = list(dict.fromkeys(["", *(who for ring in timeline.rings for _, runs in ring.changes for who, _ in runs)]))
    about = _About()
    vms = [about.vm_of(record) for record in run.records[:limit]]
    return RunModel(
        scenario=run.scenario.name,
        design=run.design.name,
        wire=run.wire,
        purpose=run.scenario.purpose,
        about=run.design.about,
        verdict=verdict.verdict,
        reason=verdict.reason,
        command=command_of(run),
        faults=[(str(rule), applied) for rule, applied in zip(run.faults, run.applied, strict=True)],
        total=len(run.records),
        depth=setup.depth,
        lanes=[LaneModel(lane.name, lane.group, _vm(lane.name, lane.group)) for lane in timeline.lanes],
        kinds=kinds,
        sources=sources,
        rows=[
            RowModel(
                row.time,
                row.lane,
                kinds.index(row.kind),
                sources.index(row.source),
                row.text,
                vm,
                [names[name] for name in row.broken],
                row.causes,
            )
            for row, vm in zip(timeline.rows[:limit], vms, strict=True)
        ],
        messages=_messages(timeline, limit),
        bars=_bars(timeline, limit),
        owners=owners,
        rings=[
            [
                (seq, [n for who, count in runs for n in (owners.index(who), count)])
                for seq, runs in ring.changes
                if seq <= limit
            ]
            for ring in timeline.rings
        ],
        facts=[FactModel(f.side, f.name, [c for c in f.changes if c[0] <= limit]) for f in timeline.facts],
        invariants=[
            InvariantModel(f.invariant, ABOUT[f.invariant], f.verdict, [c for c in strip.changes if c[0] <= limit])
            for f, strip in zip(verdict.findings, timeline.strips, strict=True)
        ],
        violations=[
            ViolationModel(number, v.seq, v.text, v.because)
            for number, f in enumerate(verdict.findings)
            for v in f.violations
            if v.seq <= limit
        ],
    )


def _messages(timeline: Timeline, limit: int) -> list[MessageModel]:
    places = {lane.name: number for number, lane in enumerate(timeline.lanes)}
    host_of = {lane.name: lane.host for lane in timeline.lanes if lane.group == "kvm"}
    found = []
    count: Counter[tuple[str, str]] = Counter()
    for m in timeline.messages:
        if m.sent > limit:
            break
        host = host_of[m.session]
        ends = places[f"perf{host}" if host else "perf"], places[m.session]
        sender, receiver = ends if not m.to_host else ends[::-1]
        way = f"{m.session}>host" if m.to_host else f"host>{m.session}"
        count[m.kind, way] += 1
        rule = f"drop {m.kind} {way} {count[m.kind, way]}"
        wire = places.get("wire", places.get(f"wire {m.session}", receiver))
        arrivals = [ArrivalModel(a.seq, a.fate, a.fault, a.reason) for a in m.arrivals if a.seq <= limit]
        found.append(MessageModel(f"{way} #{m.n}", m.kind, m.sent, m.fate, sender, receiver, wire, arrivals, rule))
    return found


def _bars(timeline: Timeline, limit: int) -> list[BarModel]:
    places = {lane.name: number for number, lane in enumerate(timeline.lanes)}
    bars = [BarModel(places[bar.lane], bar.kind, bar.text, bar.first, bar.last) for bar in timeline.bars]
    for both in timeline.overlaps:
        text = f"the host and {both.vcpu} use the LBR of cpu{both.cpu} at once"
        bars.append(BarModel(places[f"cpu{both.cpu}"], "overlap", text, both.first, both.last))
    return [bar for bar in bars if bar.first <= limit]


def _vm(name: str, group: str) -> str:
    return name.split("/")[0] if group == "vcpu" else ""


class _About:
    """The VM that each record is about: its own, that of its message, or that of its event."""

    def __init__(self) -> None:
        self._events: dict[int, str] = {}
        self._sent: dict[tuple[str, bool, int], str] = {}

    def vm_of(self, r: t.AnyRecord) -> str:
        if isinstance(r, t.EventOpen) and r.guest:
            self._events[r.event] = r.guest
        if isinstance(r, t.Send):
            vcpu = getattr(r.body, "vcpu", "") or self._events.get(getattr(r.body, "event", 0), "")
            self._sent[r.session, r.to_host, r.n] = vcpu
        elif isinstance(r, t.Delivery | t.Discard):
            vcpu = self._sent.get((r.session, r.to_host, r.n), "")
        elif isinstance(r, t.Statement | t.Outcome):
            vcpu = r.actor if "/" in r.actor else ""
        else:
            vcpu = self._vcpu_of(r)
        return vcpu.split("/")[0]

    def _vcpu_of(self, r: object) -> str:
        vcpu: str = getattr(r, "vcpu", "")
        return vcpu or self._events.get(getattr(r, "event", 0), "")
