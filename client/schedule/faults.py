"""Faults on an otherwise default tape, as the command line takes them: ``drop:Revoke:1`` is kind, message, number.

The number counts from 1 the messages of that kind in the order in which they are sent, over all sessions and both
directions. ``overtaken:Revoke:1``: the first Revoke is held until the next message of the same session and direction
has overtaken it. In a tape, ``overtake`` names the other message of the two, the one that overtakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from client.schedule.flight import Flight
from contract.errors import InputError
from contract.messages import MESSAGE_KINDS
from contract.network import Fate
from contract.trace import AnyRecord, Delivery, Send


class FaultKind(StrEnum):
    DROP = "drop"
    DOUBLE = "double"
    OVERTAKEN = "overtaken"


class Fault(msgspec.Struct, frozen=True):
    kind: FaultKind
    message: str
    which: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.message}:{self.which}"


def parse_fault(text: str, place: str = "--fault") -> Fault:
    """Parse a fault. Raises InputError that says which part is wrong."""
    place = f"{place} {text}"
    parts = text.split(":")
    if len(parts) != 3:
        raise InputError("expected KIND:MESSAGE:N, for example drop:Revoke:1", place)
    kind, message, which = parts
    if kind == Fate.OVERTAKE:
        raise InputError("the message named is the one that is overtaken: expected overtaken:MESSAGE:N", place)
    if kind not in list(FaultKind):
        raise InputError(f"unknown kind {kind!r}, expected one of {', '.join(FaultKind)}", place)
    if message not in MESSAGE_KINDS:
        near = next((f"did you mean {known}?" for known in MESSAGE_KINDS if known.lower() == message.lower()), "")
        raise InputError(f"unknown message {message!r}, {near or 'expected one of ' + ', '.join(MESSAGE_KINDS)}", place)
    if not which.isascii() or not which.isdigit() or len(which) > 7 or not 1 <= int(which) <= 1_000_000:
        raise InputError(f"{which!r} is not a message number, expected 1, 2, 3, ...", place)
    return Fault(FaultKind(kind), message, int(which))


def faults_met(faults: Iterable[Fault], records: Sequence[AnyRecord]) -> set[Fault]:
    """The faults that a trace shows: their message met that fate, by whatever decision."""
    wanted = set(faults)
    if not wanted:
        return set()
    flight, met = Flight(), set()
    for record in records:
        if isinstance(record, Delivery) and record.how != Fate.TAKE:
            queue = flight.queues.get((record.session, record.to_host), [])
            overtaken = record.how == Fate.OVERTAKE
            message = next((m for m in queue if overtaken or m.n == record.n), None)
            if message is not None:
                kind = FaultKind.OVERTAKEN if overtaken else FaultKind(record.how)
                met.add(Fault(kind, message.message, message.which))
        if isinstance(record, Send | Delivery):
            flight.follow([record])
    return met & wanted


def unmet_text(fault: str) -> str:
    """Why a fault changes nothing: its message is never sent, or no later message can overtake it."""
    kind, message, which = fault.split(":")
    if kind == FaultKind.OVERTAKEN:
        return f"fault {fault} did not apply: no message overtook {message} {which}, or it was never sent"
    return f"fault {fault} matched no message"
