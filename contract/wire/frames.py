"""Frames of the contract stream. They are many and small, so the rules of ``contract.proto`` that a frame can break are
looked at in plain code, and protovalidate has the word only where one seems broken or the frame is large."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from contract.wire.status import parse

NAME_LIMIT = 128
FRAME_LIMIT = 256
PLAIN_LIMIT = 4096
"""Bytes up to which a frame is looked at here."""


def parse_frame(message: type[Any], raw: bytes) -> Any:
    """A valid AttachRequest or AttachResponse, or CallError INVALID_ARGUMENT naming the field that breaks a rule."""
    try:
        frame = message.FromString(raw)
    except DecodeError:
        return parse(message, raw)
    return frame if len(raw) <= PLAIN_LIMIT and _sound(frame) else parse(message, raw)


def _sound(frame: Any) -> bool:
    if not 0 < len(frame.kvm) <= NAME_LIMIT or len(frame.envelopes) > FRAME_LIMIT:
        return False
    return all(e.seq and e.epoch and 0 < len(e.session) <= NAME_LIMIT and e.WhichOneof("body") for e in frame.envelopes)
