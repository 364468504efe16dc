"""The checksum of a message (R25), and what a damaged message looks like."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from contract.messages import Envelope, Message

_encoder = msgspec.json.Encoder()


def checksum(envelope: Envelope) -> int:
    """CRC-32 of epoch, number, place and body as one JSON array."""
    return crc32(_encoder.encode((envelope.epoch, envelope.seq, envelope.order, envelope.body)))


def is_damaged(envelope: Envelope) -> bool:
    """Whether the message came with a checksum that it does not fit."""
    return envelope.checksum != 0 and envelope.checksum != checksum(envelope)


@lru_cache(maxsize=64)
def changeable(message: type[Message]) -> tuple[str, ...]:
    """The fields of a kind of message that a fault can change: numbers, texts and switches."""
    return tuple(field.name for field in msgspec.structs.fields(message) if field.type in (int, str, bool))


def damaged(envelope: Envelope, field: str = "") -> Envelope:
    """The message as it comes after damage on its way, with the checksum of what was sent.

    ``field``: this field of ``changeable`` has another value: a number one higher, a text one character longer, a
    switch turned over. "": one bit is flipped, the lowest of its last number; of its last text where it has no number;
    of the checksum where it has neither."""
    sent = envelope.checksum or checksum(envelope)
    if field:
        body = msgspec.structs.replace(envelope.body, **{field: _changed(getattr(envelope.body, field))})
        return msgspec.structs.replace(envelope, body=body, checksum=sent)
    values: dict[str, Any] = msgspec.structs.asdict(envelope.body)
    fields = [name for kind in (str, int) for name, value in values.items() if type(value) is kind]
    if not fields:
        return msgspec.structs.replace(envelope, checksum=sent ^ 1)
    body = msgspec.structs.replace(envelope.body, **{fields[-1]: _flip(values[fields[-1]])})
    return msgspec.structs.replace(envelope, body=body, checksum=sent)


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}?"


def _flip(value: Any) -> Any:
    if isinstance(value, int):
        return value ^ 1
    return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "\x01"
