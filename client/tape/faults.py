"""Faults on an otherwise default tape, as on the command line: ``drop:Revoke:1`` is fate, message, which one.

Which one counts the messages of that kind in the order they were sent, over all sessions, from 1.
``overtake:Revoke:1``: the next message on the same way overtakes the first Revoke.
"""

from __future__ import annotations

import msgspec

from contract.errors import InputError
from contract.inbox import Fate
from contract.messages import MESSAGE_KINDS

FATES = (Fate.DROP, Fate.DOUBLE, Fate.OVERTAKE)


class Fault(msgspec.Struct, frozen=True):
    fate: Fate
    message: str
    which: int

    def __str__(self) -> str:
        return f"{self.fate}:{self.message}:{self.which}"


def parse_fault(text: str) -> Fault:
    """Raises InputError that says which part is wrong."""
    parts = text.split(":")
    if len(parts) != 3:
        raise InputError("expected KIND:MESSAGE:N, for example drop:Revoke:1", f"--fault {text}")
    fate, message, which = parts
    if fate not in FATES:
        raise InputError(f"unknown kind {fate!r}, expected one of {', '.join(FATES)}", f"--fault {text}")
    if message not in MESSAGE_KINDS:
        raise InputError(f"unknown message {message!r}, expected one of {', '.join(MESSAGE_KINDS)}", f"--fault {text}")
    if not which.isascii() or not which.isdigit() or len(which) > 7 or not 1 <= int(which) <= 1_000_000:
        raise InputError(f"{which!r} is no message number, expected 1, 2, 3, ...", f"--fault {text}")
    return Fault(Fate(fate), message, int(which))
