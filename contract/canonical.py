"""Canonical keys: states that behave in the same way have equal keys, even if they have used different numbers.

A state class has a method ``key()``. It returns a nested tuple of plain hashable values. A value that only names
something, or that counts from an arbitrary beginning, is marked::

    def key(self) -> tuple[Hashable, ...]:
        return self.name, Event(self.event), Grant(self.grant), At(self.expires)

``canonical(parts, now)`` takes the keys of everything that makes up one state, renames the marked values and returns
one hashable value. Give it all parts in one call, so that two parts that name one event still do so in the result::

    state = canonical((Scoped("host0", "", host.key()), Scoped("host0", "kvm0", kvm.key()), monitors.key()), now)

How the marks are renamed:

- ``Serial``, ``Event``, ``Grant``, ``Request``, ``Message``: by rank among all values of that kind. Equal numbers stay
  equal and greater ones greater; distances are lost. 0 is "none" and stays 0.
- ``EventName``: the number of the open in it, by rank among those of the same register.
- ``Place``: by distance from the lowest place of its direction, because a receiver asks for the next place.
- ``At``: nanoseconds relative to ``now``. 0 and -1 are "no time" and stay.
- ``Missing``: a message that a receiver would still take. It is left out if no such ``Message`` is in flight.

A number that is only the last one given out (the highest event number, say) needs no place in a key: the next number is
above all others in either state.

``marked`` gives the key of a message, a record or any other struct of ``contract``, by the names of its fields.
Limits: a literal value that software writes into an LBR register and that has the form of a branch address is taken for
that branch. The end of the serial numbers, of event numbers and of time are not in a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

import msgspec

from contract.messages import Received
from contract.provenance import CODE_MASK, SERIAL_LIMIT
from contract.x86 import (
    MSR_ARCH_LBR_FROM,
    MSR_ARCH_LBR_TO,
    MSR_CORE_LBR_FROM,
    MSR_CORE_LBR_TO,
    MSR_LBR_FROM,
    MSR_LBR_TO,
)


class Mark(NamedTuple):
    """A value to be renamed: number ``n`` of a ``kind``. ``owner`` separates numbers that different parties give
    out."""

    kind: str
    owner: Hashable
    n: int


class BranchValues(NamedTuple):
    """Values of FROM or TO registers. Their serials are renamed."""

    values: tuple[int, ...]


class Scoped(NamedTuple):
    """``part`` of the state of one ``host`` and one ``kvm`` ("" if it belongs to none). Each host numbers its grants
    from 1, and each KVM its requests, so equal numbers of two hosts or KVMs mean different things. Each host has its
    own range of event and branch numbers."""

    host: str
    kvm: str
    part: Hashable


def Serial(n: int) -> Mark:
    """The serial number of a branch (``contract.provenance``)."""
    return Mark("serial", "", n)


def Event(n: int) -> Hashable:
    """The number of a perf event; 0: none."""
    return Mark("event", "", n) if n else 0


def EventName(name: str) -> Hashable:
    """The name of a host event. From the second open of a register on it ends in the number of the open: ``h0#2``."""
    base, _, n = name.partition("#")
    return Mark("name", base, int(n or 1)) if n.isdecimal() or not n else name


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
    """The value of a FROM or TO register. In a branch address the serial is marked; any other value stays as it is."""
    return BranchValues((value,)) if value & CODE_MASK else value


def addresses(values: Iterable[int]) -> tuple[Hashable, ...]:
    """The values of FROM or TO registers, each by itself."""
    return tuple([address(value) for value in values])


def bank(values: Iterable[int]) -> Hashable:
    """The values of a whole bank of FROM or TO registers, in order."""
    return BranchValues(tuple(values))


_BANKS = MSR_LBR_FROM, MSR_LBR_TO, MSR_CORE_LBR_FROM, MSR_CORE_LBR_TO, MSR_ARCH_LBR_FROM, MSR_ARCH_LBR_TO
_BANK = 32
"""Registers in the largest bank of FROM or TO registers."""


def register(msr: int, value: int) -> Hashable:
    """The value of ``msr``: marked as an address if this is a FROM or TO register of some LBR."""
    return address(value) if any(base <= msr < base + _BANK for base in _BANKS) else value


def outcome(value: int | str | dict[str, int | str]) -> Hashable:
    """The value of a register of a scenario: a number can be the address of a branch."""
    return tuple(value.items()) if isinstance(value, dict) else address(value) if isinstance(value, int) else value


# Renaming --------------------------------------------------------------------------------------------------

Kind = tuple[str, Hashable]
"""A kind of numbers, and the party that assigns them."""
Numbers = dict[Kind, set[int]]
Names = dict[Kind, dict[int, int]]


def canonical(parts: Hashable, now: int) -> Hashable:
    """The state made up of ``parts``, with every mark renamed. ``now``: the virtual time, nanoseconds."""
    found: Numbers = {}
    whole = (parts,)
    _collect(whole, "", "", found)
    names: Names = {}
    for kind, numbers in found.items():
        if kind[0] == "place":
            lowest = min(numbers)
            names[kind] = {n: n - lowest for n in numbers}
        else:
            names[kind] = {n: rank for rank, n in enumerate(sorted(numbers), 1)}
    return _renamed(whole, "", "", names, now)[0]


def _kind(mark: Mark, host: str, kvm: str) -> Kind:
    kind = mark.kind
    if kind == "grant":
        return kind, host
    return kind, kvm if kind == "request" else mark.owner


def _collect(parts: Iterable[Hashable], host: str, kvm: str, found: Numbers) -> None:
    for part in parts:
        kind = type(part)
        if kind is tuple or kind is frozenset:
            _collect(part, host, kvm, found)  # type: ignore[arg-type]
        elif kind is Mark:
            if part.kind != "at" and part.kind != "missing":  # type: ignore[attr-defined]
                found.setdefault(_kind(part, host, kvm), set()).add(part.n)  # type: ignore[arg-type, attr-defined]
        elif kind is BranchValues:
            values = part.values  # type: ignore[attr-defined]
            serials = [value >> 1 & _SERIAL for value in values if value & CODE_MASK]
            if serials:
                found.setdefault(("serial", ""), set()).update(serials)
        elif kind is Scoped:
            _collect((part.part,), part.host, part.kvm, found)  # type: ignore[attr-defined]


def _renamed(parts: Iterable[Hashable], host: str, kvm: str, names: Names, now: int) -> tuple[Hashable, ...]:
    made: list[Hashable] = []
    for part in parts:
        kind = type(part)
        if kind is tuple:
            part = _renamed(part, host, kvm, names, now)  # type: ignore[arg-type]
        elif kind is Mark:
            part = _name(part, host, kvm, names, now)  # type: ignore[arg-type]
        elif kind is BranchValues:
            ranks = names.get(("serial", ""), {})
            values = part.values  # type: ignore[attr-defined]
            part = tuple([v & _BUT_SERIAL | ranks[v >> 1 & _SERIAL] << 1 if v & CODE_MASK else v for v in values])
        elif kind is frozenset:
            part = frozenset(_renamed(part, host, kvm, names, now)) - _GONE  # type: ignore[arg-type]
        elif kind is Scoped:
            inner = _renamed((part.part,), part.host, part.kvm, names, now)  # type: ignore[attr-defined]
            part = part.host, part.kvm, inner  # type: ignore[attr-defined]
        made.append(part)
    return tuple(made)


_SERIAL = SERIAL_LIMIT - 1
_BUT_SERIAL = ~(_SERIAL << 1)
_GONE = frozenset({("missing", 0)})


def _name(mark: Mark, host: str, kvm: str, names: Names, now: int) -> Hashable:
    kind = mark.kind
    if kind == "at":
        return kind, mark.n - now
    if kind == "missing":
        return kind, names.get(("message", mark.owner), {}).get(mark.n, 0)
    if kind == "name":
        return kind, mark.owner, names[kind, mark.owner][mark.n]
    return kind, names[_kind(mark, host, kvm)][mark.n]


# Structs of the contract -----------------------------------------------------------------------------------

Part = Callable[[msgspec.Struct], Hashable]


def marked(value: Any) -> Hashable:
    """The key of a message, a record, a guest op or a plain value. The names of its fields decide which values are
    marked. Numbers of records and clocks are left out; so are the numbers of grants and opens in texts, and the text of
    a Discard."""
    kind = type(value)
    if kind is int or kind is str or value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    if isinstance(value, msgspec.Struct):
        return kind.__name__, *[part(value) for part in _plan(cast("Hashable", kind))]
    if isinstance(value, list | tuple):
        return tuple([marked(each) for each in value])
    if isinstance(value, dict):
        return tuple([(marked(key), marked(each)) for key, each in value.items()])
    return value if isinstance(value, Hashable) else repr(value)


def _time(ns: int) -> Hashable:
    """The time of a record: 0 is a time like any other."""
    return Mark("at", "", ns)


_NUMBER = re.compile(r"(?<=grant )[0-9]+|#[0-9]+")
"""The number of a grant, or of an open, within a text."""
_MARKS = {"event": Event, "grant": Grant, "ending": Grant, "request": Request, "expires": At, "due": At, "time": _time}


@cache
def _plan(kind: Any) -> list[Part]:
    """How each field of a struct enters its key; computed once for each type."""
    return [part for name in kind.__struct_fields__ if (part := _part(kind, name)) is not None]


def _part(kind: type[msgspec.Struct], name: str) -> Part | None:
    get = attrgetter(name)
    of = kind.__name__
    if name in _MARKS:
        mark = _MARKS[name]
        return lambda struct: mark(get(struct))
    if (of, name) in (("Envelope", "seq"), ("Send", "n"), ("Delivery", "n"), ("Discard", "n")):
        return lambda struct: Message(*_direction(struct), get(struct))
    if name in ("seq", "clock", "checksum") or (of, name) == ("Discard", "reason"):
        return None
    if name == "reason":
        return lambda struct: _NUMBER.sub("", get(struct))
    if name in ("name", "leader", "holder"):
        return lambda struct: EventName(get(struct))
    if name in ("from_ip", "to_ip"):
        return lambda struct: bank(get(struct))
    if name == "host_events":
        return lambda struct: frozenset([(EventName(event), state) for event, state in get(struct).items()])
    if name == "grants":
        return lambda struct: tuple([Grant(n) for n in get(struct)])
    if (of, name) in (("Retired", "first"), ("Pmi", "first")):
        return lambda struct: Serial(get(struct))
    if name == "order":
        return lambda struct: Place(*_direction(struct), get(struct)) if get(struct) else 0
    if (of, name) == ("Outcome", "value"):
        return lambda struct: outcome(get(struct))
    if name in ("value", "written") and "msr" in kind.__struct_fields__:
        return lambda struct: register(struct.msr, get(struct))  # type: ignore[attr-defined]
    if name == "body":
        return lambda struct: _body(struct, get(struct))
    return lambda struct: marked(get(struct))


def _direction(struct: Any) -> tuple[str, bool]:
    return struct.session, struct.to_host


def _body(struct: Any, body: msgspec.Struct) -> Hashable:
    """A receipt (Received) is about messages of the opposite direction."""
    if isinstance(body, Received):
        return "Received", Place(struct.session, not struct.to_host, body.acknowledged)
    return marked(body)
