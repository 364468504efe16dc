"""Where a branch record truly comes from, carried by the record itself.

Every branch that retires in the model sits at an address of its own: the address says who executed it, in which mode,
of what kind, and its serial number. So the origin travels with the value through the ring, saves, snapshots, restores
and guest reads. No separate table is needed, which could get out of date. The address also stands for the instruction
found there, which is what perf's software filter decodes. Cores may ask ``branch_at`` for kind and privilege only; who
executed it is for checkers and reports.

Layout of FROM, low to high: 1 bit zero, 28 bits serial, 3 bits kind, 1 bit guest, 12 bits actor, then the sign
extension from bit 47 which is the privilege (kernel addresses are negative). TO is FROM with bit 0 set.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from contract.x86 import BRANCH_KINDS

SERIAL_BITS = 28
SERIAL_LIMIT = 1 << SERIAL_BITS
ACTOR_LIMIT = 1 << 12

_KINDS = tuple(BRANCH_KINDS)
_KIND_CODE = {kind: code + 1 for code, kind in enumerate(_KINDS)}
_KIND_SHIFT = 1 + SERIAL_BITS
CODE_MASK = 7 << _KIND_SHIFT
"""A branch address has at least one of these bits."""
_GUEST_SHIFT = _KIND_SHIFT + 3
_ACTOR_SHIFT = _GUEST_SHIFT + 1
_KERNEL = 0x1FFFF << 47
_USER_BITS = (1 << 47) - 1
_SIGN = 1 << 47


class Origin(msgspec.Struct, frozen=True):
    """The executor of a branch: ``actor`` indexes the run's actor names, ``guest`` is its CPU mode."""

    actor: int
    guest: bool
    kind: str
    privilege: str
    serial: int


def branch_base(actor: int, guest: bool, kind: str, privilege: str) -> int:
    """FROM of serial 0 of such a branch; serial n lies 2*n higher."""
    base = _KIND_CODE[kind] << _KIND_SHIFT | int(guest) << _GUEST_SHIFT | actor << _ACTOR_SHIFT
    return base | _KERNEL if privilege == "kernel" else base


@lru_cache(maxsize=4096)
def origin_of(value: int) -> Origin | None:
    """The origin of a FROM or TO value; None if the value cannot be the address of a branch. Flags above bit 47 are
    ignored."""
    bits = value & _USER_BITS
    code = bits >> _KIND_SHIFT & 7
    if not code:
        return None
    return Origin(
        actor=bits >> _ACTOR_SHIFT,
        guest=bool(bits >> _GUEST_SHIFT & 1),
        kind=_KINDS[code - 1],
        privilege="kernel" if value & _SIGN else "user",
        serial=bits >> 1 & (SERIAL_LIMIT - 1),
    )


def executed_by(value: int) -> tuple[bool, int] | None:
    """Guest mode and actor of ``origin_of``."""
    bits = value & _USER_BITS
    if not bits >> _KIND_SHIFT & 7:
        return None
    return bool(bits >> _GUEST_SHIFT & 1), bits >> _ACTOR_SHIFT


def branch_at(value: int) -> tuple[str, str] | None:
    """Kind and privilege of the branch instruction at this address; None if there is none."""
    origin = origin_of(value)
    return None if origin is None else (origin.kind, origin.privilege)


def sign_extended(value: int) -> int:
    """The address part of a FROM value whose upper bits hold flags: bit 47 copied upwards."""
    return value | _KERNEL if value & _SIGN else value & _USER_BITS
