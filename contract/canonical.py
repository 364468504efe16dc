"""Canonical keys: states that behave alike have equal keys, whatever numbers they have used up.

A state class has a method ``key()``. It returns a nested tuple of plain hashable values. A value that only names
something, or that counts from an arbitrary beginning, is marked::

    def key(self) -> tuple[Hashable, ...]:
        return self.name, Event(self.event), Grant(self.grant), At(self.until)

``canonical(parts, now)`` takes the keys of everything that makes up one state, renames the marked values and returns
one hashable value. Give it all parts in one call: two parts that name the same event must still do so afterwards::

    state = canonical((Scoped("host0", "", host.key()), Scoped("host0", "kvm0", kvm.key()), monitors.key()), now)

How the marks are renamed:

- ``Serial``, ``Event``, ``Grant``, ``Request``, ``Message``: by rank among all values of that kind. Equal numbers stay
  equal and greater ones greater; distances are lost. 0 is "none" and stays 0.
- ``Place``: by distance from the lowest place of its direction, because a receiver asks for the next place.
- ``At``: nanoseconds relative to ``now``. 0 and -1 are "no time" and stay.
- ``Missing``: a message that a receiver would still take. It vanishes where no such ``Message`` is in flight.

A number that is only the last one given out (the highest event number, say) needs no place in a key: the next number is
above all others in either state.

``marked`` gives the key of a message, a record or any other struct of ``contract``, by the names of its fields.
Limits: a literal value that software writes into an LBR register and that has the form of a branch address is taken for
that branch. The end of the serial numbers, of event numbers and of time are not in a key.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import msgspec

from contract.provenance import SERIAL_LIMIT, origin_of
from contract.x86 import MSR_CORE_LBR_FROM, MSR_CORE_LBR_TO, MSR_LBR_FROM, MSR_LBR_TO


class Mark(NamedTuple):
    """A value to be renamed: number ``n`` of a ``kind``. ``owner`` separates numbers that different parties give
    out."""

    kind: str
    owner: Hashable
    n: int


class Scoped(NamedTuple):
    """``part`` of the state of one ``host`` and one ``kvm`` ("" where it belongs to none). Each host gives out events,
    grants and serials, each KVM gives out requests: equal numbers of two of them have nothing in common."""

    host: str
    kvm: str
    part: Hashable


_OF_HOST = ("serial", "event", "grant")


def Serial(n: int) -> Mark:
    """The serial number of a branch (``contract.provenance``)."""
    return Mark("serial", "", n)


def Event(n: int) -> Hashable:
    """The number of a perf event; 0: none."""
    return Mark("event", "", n) if n else 0


def Grant(n: int) -> Hashable:
    """The number of a grant; 0: none."""
    return Mark("grant", "", n) if n else 0


def Request(n: int) -> Hashable:
    """The number of a KVM's request; 0: none."""
    return Mark("request", "", n) if n else 0


def Message(session: str, to_host: bool, n: int) -> Mark:
    """Message ``n`` of one direction of a session; 0: before the first."""
    return Mark("message", (session, to_host), n)


def Missing(session: str, to_host: bool, n: int) -> Mark:
    """Message ``n``, which did not come before a later one; a member of a frozenset."""
    return Mark("missing", (session, to_host), n)


def Place(session: str, to_host: bool, n: int) -> Mark:
    """A place in the order of one direction of a session whose stream is repaired."""
    return Mark("place", (session, to_host), n)


def At(ns: int) -> Hashable:
    """A point of virtual time in nanoseconds; 0 and -1: none."""
    return Mark("at", "", ns) if ns > 0 else ns


def address(value: int) -> Hashable:
    """The value of a FROM or TO register: a branch address has its serial marked, anything else is itself."""
    origin = origin_of(value) if value else None
    if origin is None:
        return value
    return value & ~((SERIAL_LIMIT - 1) << 1), Serial(origin.serial)


def addresses(values: Iterable[int]) -> tuple[Hashable, ...]:
    return tuple([address(value) if value else 0 for value in values])


_BANKS = MSR_LBR_FROM, MSR_LBR_TO, MSR_CORE_LBR_FROM, MSR_CORE_LBR_TO
_BANK = 32
"""Registers in the largest bank of FROM or TO registers."""


def register(msr: int, value: int) -> Hashable:
    """The value of ``msr``: an address where this is a FROM or TO register of some LBR."""
    return address(value) if any(base <= msr < base + _BANK for base in _BANKS) else value


# Renaming --------------------------------------------------------------------------------------------------


def canonical(parts: Hashable, now: int) -> Hashable:
    """The state made up of ``parts``, with every mark renamed. ``now``: the virtual time, nanoseconds."""
    found: dict[tuple[str, Hashable], set[int]] = {}
    _collect(parts, ("", ""), found)
    names = {
        kind: _distances(numbers) if kind[0] == "place" else {n: i + 1 for i, n in enumerate(sorted(numbers))}
        for kind, numbers in found.items()
    }
    return _renamed(parts, ("", ""), names, now)


def _distances(numbers: set[int]) -> dict[int, int]:
    lowest = min(numbers)
    return {n: n - lowest for n in numbers}


def _kind(mark: Mark, scope: tuple[str, str]) -> tuple[str, Hashable]:
    """What a mark is numbered within."""
    if mark.kind in _OF_HOST:
        return mark.kind, scope[0]
    return mark.kind, scope[1] if mark.kind == "request" else mark.owner


def _collect(part: Hashable, scope: tuple[str, str], found: dict[tuple[str, Hashable], set[int]]) -> None:
    kind = type(part)
    if kind is Mark:
        assert isinstance(part, Mark)
        if part.kind not in ("at", "missing"):
            found.setdefault(_kind(part, scope), set()).add(part.n)
    elif kind is Scoped:
        assert isinstance(part, Scoped)
        _collect(part.part, (part.host, part.kvm), found)
    elif isinstance(part, tuple | frozenset):
        for each in part:
            _collect(each, scope, found)


def _renamed(
    part: Hashable, scope: tuple[str, str], names: dict[tuple[str, Hashable], dict[int, int]], now: int
) -> Hashable:
    kind = type(part)
    if kind is Mark:
        assert isinstance(part, Mark)
        if part.kind == "at":
            return "at", part.n - now
        if part.kind == "missing":
            return "missing", names.get(("message", part.owner), {}).get(part.n, 0)
        return part.kind, names[_kind(part, scope)][part.n]
    if kind is Scoped:
        assert isinstance(part, Scoped)
        return part.host, part.kvm, _renamed(part.part, (part.host, part.kvm), names, now)
    if isinstance(part, frozenset):
        members = {_renamed(each, scope, names, now) for each in part}
        return frozenset(members - {("missing", 0)})
    if isinstance(part, tuple):
        return tuple([_renamed(each, scope, names, now) for each in part])
    return part


# Structs of the contract -----------------------------------------------------------------------------------

_MARKS = {"event": Event, "grant": Grant, "ending": Grant, "request": Request, "until": At, "due": At, "time": At}
_ADDRESSES = ("from_ip", "to_ip")
_LEFT_OUT = ("seq", "clock")
"""Numbers of records, and the logical clock."""


def marked(value: Any) -> Hashable:
    """The key of a message, a record, a guest op or a plain value, with what its fields name marked. Numbers of records
    and clocks are left out; so are the numbers in the text of a Discard."""
    if isinstance(value, msgspec.Struct):
        return type(value).__name__, *_fields(value)
    if isinstance(value, list | tuple):
        return tuple([marked(each) for each in value])
    if isinstance(value, dict):
        return tuple([(marked(key), marked(each)) for key, each in value.items()])
    return value if isinstance(value, Hashable) else repr(value)


def _fields(struct: msgspec.Struct) -> Iterable[Hashable]:
    kind = type(struct).__name__
    session, to_host = getattr(struct, "session", ""), getattr(struct, "to_host", False)
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if name in _MARKS and isinstance(value, int):
            yield _MARKS[name](value)
        elif kind == "Envelope" and name == "seq":
            yield Message(session, to_host, value)
        elif name in _LEFT_OUT or (kind, name) == ("Discard", "why"):
            continue
        elif name in _ADDRESSES:
            yield addresses(value)
        elif name == "grants":
            yield tuple([Grant(n) for n in value])
        elif (kind, name) in (("Retired", "first"), ("Pmi", "first")):
            yield Serial(value)
        elif name == "n" and session:
            yield Message(session, to_host, value)
        elif name == "order":
            yield Place(session, to_host, value) if value else 0
        elif name in ("value", "asked") and hasattr(struct, "msr"):
            yield register(struct.msr, value)
        elif name == "body" and type(value).__name__ == "Received":
            # A receipt goes against the direction that it tells of.
            yield "Received", Place(session, not to_host, value.upto)
        else:
            yield marked(value)
