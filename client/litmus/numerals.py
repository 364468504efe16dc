"""Numbers and times of litmus text."""

from __future__ import annotations

from lark import Token

from client.litmus.places import Places
from client.litmus.spelling import quote
from client.litmus.text import UNITS
from contract.x86 import MASK64

# More digits than any 64-bit number has in any base. Python refuses to convert very long numbers.
_MAX_DIGITS = 64


def numeral(token: Token, places: Places) -> int:
    digits = token.replace("_", "")
    base = 16 if digits[:2] in ("0x", "0X") else 10
    return _fitting(int(digits, base) if len(digits) <= _MAX_DIGITS else -1, token, places)


def duration(token: Token, places: Places) -> int:
    """A time in nanoseconds."""
    unit = next(u for u in sorted(UNITS, key=len, reverse=True) if token.endswith(u))
    digits = token[: -len(unit)].replace("_", "")
    return _fitting(int(digits) * UNITS[unit] if len(digits) <= _MAX_DIGITS else -1, token, places)


def cpu_number(token: Token, places: Places) -> int:
    digits = token[3:]
    return int(digits) if len(digits) <= 9 else places.fail(token, f"not a CPU: {quote(token)}")


def _fitting(value: int, token: Token, places: Places) -> int:
    if 0 <= value <= MASK64:
        return value
    places.fail(token, f"{quote(token)} does not fit 64 bits")
