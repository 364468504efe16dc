"""Trace records and stamps as they go over the wire."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from contract.trace import AnyRecord, Recorder
from contract.wire.errors import WireValueError
from lbrlab.v1 import trace_pb2

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyRecord)


def record_to_proto(record: AnyRecord) -> trace_pb2.TraceRecord:
    kind = str(type(record).__struct_config__.tag)
    return trace_pb2.TraceRecord(seq=record.seq, time_ns=record.time, kind=kind, json=_encoder.encode(record))


def record_from_proto(made: trace_pb2.TraceRecord) -> AnyRecord:
    """Raises WireValueError if the record is not one of ``contract.trace``."""
    try:
        record: AnyRecord = _decoder.decode(made.json)
    except msgspec.DecodeError as error:
        raise WireValueError(f"record {made.seq} ({made.kind}): {error}") from None
    return record


def stamp_of(run: int, log: Recorder, owner: str, lost: Iterable[str] = (), traceparent: str = "") -> trace_pb2.Stamp:
    return trace_pb2.Stamp(run=run, clock=log.clock, now_ns=log.now, owner=owner, lost=lost, traceparent=traceparent)


def since(records: list[AnyRecord], seq: int) -> list[AnyRecord]:
    """The records numbered above ``seq``; ``records`` are in order."""
    return records[bisect_right(records, seq, key=lambda r: r.seq) :]


class RecordBlock:
    """The records of one command in order: those of the own log, and those of another service."""

    __slots__ = ("_log", "_mark", "records")

    def __init__(self, log: Recorder) -> None:
        self._log = log
        self._mark = len(log.records)
        self.records: list[trace_pb2.TraceRecord] = []

    def flush(self) -> None:
        """Add the records that the own log has gained since the last call."""
        own = self._log.records
        self.records += map(record_to_proto, own[self._mark :])
        self._mark = len(own)

    def take(self, records: Iterable[trace_pb2.TraceRecord], stamp: trace_pb2.Stamp) -> None:
        """Add the records of another service. Call ``flush`` first."""
        self.records += records
        self._log.witness(stamp.clock, stamp.now_ns)
