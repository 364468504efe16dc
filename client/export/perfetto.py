"""A Perfetto trace of TrackEvent protobufs.

A process for host perf and one for each KVM, a track for each lane. Slices are the owners of the LBR and the time
between load and put of a vCPU; flows are messages; instants are records, faults and violations. Most records of a run
share one virtual time, so each record gets ``STEP`` nanoseconds more than the one before it; ``virtual_time_ns`` and
``seq`` are annotations of each event.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket, TrackDescriptor, TrackEvent
from perfetto.trace_builder.proto_builder import TraceProtoBuilder

from client.export.repeat import repetition
from client.run.run import Run
from client.timeline.lanes import Lane
from client.timeline.messages import DEAD
from client.timeline.timeline import Bar, Row, Timeline
from contract.network import UNMOVED

WIDTH = 80
STEP = 1000
"""Nanoseconds between two records of the same virtual time."""
_SEQUENCE = 1
_COUNTER = 1 << 20
_TRACK = 1 << 10


def perfetto(run: Run, timeline: Timeline) -> bytes:
    return _Writer(run, timeline).write()


class _Writer:
    def __init__(self, run: Run, timeline: Timeline) -> None:
        self.run, self.timeline, self.again = run, timeline, repetition(run, WIDTH)
        self.builder = TraceProtoBuilder()
        self.times = [row.time + row.seq * STEP for row in timeline.rows]
        self.places = {lane.name: number for number, lane in enumerate(timeline.lanes)}
        self.first = True

    def write(self) -> bytes:
        self._tracks()
        events = [(row.seq, 1, partial(self._instant, row)) for row in self.timeline.rows]
        last = len(self.timeline.rows)
        for bar in self.timeline.bars:
            events.append((bar.first, 2, partial(self._begin, bar)))
            events.append(((bar.last or last), 0, partial(self._end, bar)))
        events.sort(key=lambda event: event[:2])
        for _, _, act in events:
            act()
        self._counters()
        return self.builder.serialize()

    def _tracks(self) -> None:
        processes: dict[int, Lane] = {}
        for lane in self.timeline.lanes:
            processes.setdefault(self._process(lane), lane)
        for uuid, lane in processes.items():
            track = self._descriptor(uuid)
            track.process.pid = uuid
            track.process.process_name = lane.name if lane.group in ("kvm", "vcpu") else _host(lane)
            if uuid == min(processes):
                title = f"{self.run.scenario.name} under {self.run.design.name}"
                track.description = f"{title}: {self.again.command}"
        for number, lane in enumerate(self.timeline.lanes):
            track = self._descriptor(_TRACK + number * 8)
            track.name, track.parent_uuid, track.sibling_order_rank = lane.name, self._process(lane), number
            for kind, offset in _OFFSETS.items():
                if any(bar.lane == lane.name and bar.kind == kind for bar in self.timeline.bars):
                    track = self._descriptor(_TRACK + number * 8 + offset)
                    track.name, track.parent_uuid = f"{lane.name}: {kind}", _TRACK + number * 8
        track = self._descriptor(_COUNTER)
        track.name, track.parent_uuid = "messages in flight", min(processes)
        track.counter.unit_name = "messages"

    def _process(self, lane: Lane) -> int:
        """The uuid of the process of a lane: that of its host, or that of its KVM."""
        if lane.group in ("kvm", "vcpu"):
            names = [other.name for other in self.timeline.lanes if other.group == "kvm"]
            of_host = [other.name for other in self.timeline.lanes if other.group == "kvm" and other.host == lane.host]
            return 100 + names.index(lane.name if lane.group == "kvm" else of_host[0])
        return 1 + lane.host

    def _descriptor(self, uuid: int) -> TrackDescriptor:
        descriptor = self.builder.add_packet().track_descriptor
        descriptor.uuid = uuid
        return descriptor

    def _event(self, seq: int, track: int, kind: int) -> TrackEvent:
        packet = self.builder.add_packet()
        packet.timestamp = self.times[seq - 1]
        packet.trusted_packet_sequence_id = _SEQUENCE
        if self.first:
            packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
            self.first = False
        packet.track_event.type, packet.track_event.track_uuid = kind, track
        return packet.track_event

    def _instant(self, row: Row) -> None:
        track = _TRACK + max(row.lane, 0) * 8
        event = self._event(row.seq, track, TrackEvent.TYPE_INSTANT)
        event.name = row.text
        event.categories.append(row.source)
        _note(event, "seq", row.seq)
        _note(event, "virtual_time_ns", row.time)
        _note(event, "kind", row.kind)
        for name, text in self.again.files.items() if row.seq == 1 else ():
            _note(event, name, text)
        for number, message in enumerate(self.timeline.messages, 1):
            if message.sent == row.seq:
                event.flow_ids.append(number)
                _note(event, "fate", message.fate)
            for arrival in message.arrivals:
                if arrival.seq == row.seq:
                    last = arrival is message.arrivals[-1] and message.fate not in DEAD
                    (event.terminating_flow_ids if last else event.flow_ids).append(number)
                    if arrival.fault:
                        event.categories.append("fault")
                        _note(event, "fault", arrival.fault)
        for invariant in row.broken:
            broken = self._event(row.seq, track, TrackEvent.TYPE_INSTANT)
            broken.name = f"VIOLATED {invariant}"
            broken.categories.append("violation")
            _note(broken, "seq", row.seq)
            _note(broken, "repeat", self.again.command)

    def _begin(self, bar: Bar) -> None:
        event = self._event(bar.first, self._slice(bar), TrackEvent.TYPE_SLICE_BEGIN)
        event.name = bar.text
        event.categories.append("owner")

    def _end(self, bar: Bar) -> None:
        self._event(bar.last or len(self.timeline.rows), self._slice(bar), TrackEvent.TYPE_SLICE_END)

    def _slice(self, bar: Bar) -> int:
        return _TRACK + self.places[bar.lane] * 8 + _OFFSETS[bar.kind]

    def _counters(self) -> None:
        changes: dict[int, int] = {}
        for message in self.timeline.messages:
            changes[message.sent] = changes.get(message.sent, 0) + 1
            gone = [a.seq for a in message.arrivals if a.fate not in UNMOVED and a.fate != "discard"]
            for seq in gone[:1]:
                changes[seq] = changes.get(seq, 0) - 1
        value = 0
        for seq in sorted(changes):
            value += changes[seq]
            self._event(seq, _COUNTER, TrackEvent.TYPE_COUNTER).counter_value = value


_OFFSETS = {"host": 1, "guest": 2, "own": 3, "active": 4, "passthrough": 5, "grant": 6, "down": 7}


def _host(lane: Lane) -> str:
    return f"host{lane.host}" if lane.host else "host"


def _note(event: TrackEvent, name: str, value: str | int) -> None:
    annotation: Any = event.debug_annotations.add()
    annotation.name = name
    if isinstance(value, int):
        annotation.int_value = value
    else:
        annotation.string_value = value
