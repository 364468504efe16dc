"""Every field of the state of cores, network and player is copied by clone() and is in key(), or the reason is here."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from enum import Enum
from functools import cache
from typing import Any

import msgspec

from client.designs import DESIGNS
from client.drive.play import Player
from client.drive.program import Program
from client.drive.state import PlayerState
from client.schedule.flight import Armed, InFlight
from client.schedule.strategies import DefaultStrategy
from contract.network import Network
from kvm_svc.core import CoreState
from kvm_svc.hypervisor.state import KvmState, Vcpu
from perfcore_svc.core import HostState
from perfcore_svc.machine.cpu import Silicon
from perfcore_svc.perf.branch_filter import BranchFilter
from perfcore_svc.perf.state import PerfState
from tests.client.drive.fork import Kept
from tests.fields import documented
from tests.library import library_scenario
from tests.perfcore_svc.hosts import picture

CONFIGURATION = {
    ("Cpu", "index"): "its place in the list",
    ("PerfCpu", "index"): "its place in the list",
    ("LbrRing", "model"): "the machine",
    ("PerfCpu", "reset_clears_select"): "the kernel",
    ("Reservations", "pt_coexists"): "the kernel",
    ("Session", "repaired"): "the design",
    ("Network", "capacity"): "the limit of the service",
    ("Outgoing", "most"): "the limit of the service",
    ("Flight", "owners"): "the machines",
    ("Outages", "hosts"): "the machines",
    ("Outages", "kvms"): "the machines",
    ("Outages", "vcpus"): "the machines",
    ("Program", "block"): "the scenario",
    ("Program", "scenario"): "the scenario",
    ("Program", "depth"): "the machine",
}
"""Fields that are the same in all states of one configuration, and are in no key."""
FRESH = {
    ("Silicon", "serial"): "the next serial is above all others",
    ("PerfState", "next_id"): "the next event is above all others",
    ("GrantState", "newest"): "the next grant is above all others",
    ("Outgoing", "n"): "the next message is above all others",
    ("KvmState", "requests"): "the next request is above all others",
    ("Flight", "now"): "all times are relative to it",
    ("Flight", "record"): "faults name moments by it, the services do not",
    ("Flight", "sent"): "faults name messages by it, the services do not",
    ("Flight", "messages"): "faults name messages by it, the services do not",
    ("Program", "executed"): "it only ends a run that never ends",
}
"""The last number given out."""
FOLDED = {
    **{("Cpu", name): "counts of events" for name in ("host_user", "host_kernel", "guest_user", "guest_kernel")},
    **{("Context", name): "times of its events" for name in ("time", "updated_at")},
    **{("SavedLbr", name): "the CPU that saved it last" for name in ("log_id",)},
    ("PerfState", "named"): "the events have their names",
    **{("Frame", name): "its place in the frame around it" for name in ("steps", "loop")},
    ("Program", "registers"): "the player has them",
    ("Program", "current"): "the statement at its position",
}
"""Fields that a key represents by a value that follows from them."""
OF_A_STEP = {("Program", "outcomes")}
"""Fields that are empty between two steps."""
BY_OWNER = {
    **{("PerfEvent", name): PerfState for name in ("enabled", "running", "stamp", "count", "counted_from")},
    **{("PerfEvent", name): PerfState for name in ("overflow_at", "leader", "siblings", "saved")},
    **{("Cpu", name): PerfState for name in ("host_user", "host_kernel", "guest_user", "guest_kernel")},
    ("Vmcs", "forced"): Silicon,
}
"""Whose key has it, where that is not the class itself."""
COPIES: dict[str, list[tuple[Any, str]]] = {
    "PerfState": [(PerfState, "copied")],
    "Vcpu": [(Vcpu, "clone"), (KvmState, "clone")],
    "Program": [(Program, "clone"), (PlayerState, "clone")],
}
"""Where a class is copied, where not in its clone() alone."""
OWNERS = {PerfState: ("_counts", "times", "copied"), Silicon: ()}
Whole = tuple[HostState, CoreState, Network, PlayerState]


VALUES = int | str | Enum | msgspec.Struct | BranchFilter | InFlight | Armed | type | None
"""Fields that never change, or are replaced as a whole."""


def objects(thing: Any, seen: dict[int, Any]) -> None:
    """Everything reachable that can change."""
    if isinstance(thing, dict):
        for each in thing.values():
            objects(each, seen)
    elif isinstance(thing, list | tuple | set):
        for each in thing:
            objects(each, seen)
    elif not isinstance(thing, VALUES) and id(thing) not in seen:
        seen[id(thing)] = thing
        for name in type(thing).__slots__:
            objects(getattr(thing, name), seen)


def keys(whole: Whole) -> tuple[Hashable, ...]:
    host, kvm, network, player = whole
    return host.key(5), kvm.key(), network.key(), player.key()


def copied(whole: Whole) -> Whole:
    host, kvm, network, player = whole
    return host.clone(), kvm.clone(), network.clone(), player.clone()


@cache
def wholes() -> list[Whole]:
    """In the middle of several runs, each before an input."""
    found: list[Whole] = []

    def keep(wire: Kept) -> None:
        # Not by clone(), which is to be tested.
        found.append(deepcopy((wire.host.state, wire.kvms["kvm0"].state, wire.network, player.state)))

    def see(wire: Kept) -> None:
        kvm = wire.kvms.get("kvm0")
        if kvm is None:
            return
        rare = (
            wire.host.state.grants.waits
            or player.state.flight.sleeping
            or any(vcpu.ioctl for vcpu in kvm.state.kvm.vcpus.values())
        )
        if rare or len(wire.inputs) % 9 == 0:
            keep(wire)

    for name, design in RUNS:
        wire = Kept(see)
        player = Player(wire, library_scenario(name), DESIGNS[design], DefaultStrategy())
        player.play()
        if wire.kvms:
            keep(wire)
    return found


RUNS = [
    ("central-story", "merged"),
    ("central-story", "revoke-ack"),
    ("central-story", "fenced"),
    ("central-story", "mediated"),
    ("central-story", "vmx-transition"),
    ("pmi-freezes-lbr", "merged"),
    ("perf-e13-call-stacks", "merged"),
    ("mech-get-msrs-from-another-thread", "merged"),
    ("mech-migrate-with-lbr", "fenced"),
    ("guest-lbr-unit-test", "merged"),
    ("mech-pmi-masks-lvtpc-v616", "merged"),
    ("mech-host-pmi-freezes-guest", "merged"),
]


def reachable(*roots: Any) -> list[Any]:
    seen: dict[int, Any] = {}
    objects(roots, seen)
    return list(seen.values())


@cache
def classes() -> list[Any]:
    found: set[Any] = {type(thing) for whole in wholes() for thing in reachable(*whole)}
    return sorted(found, key=lambda c: (c.__name__, c.__module__))


def attributes(*functions: Any) -> set[str]:
    """The attributes that functions name."""
    trees = [ast.parse(textwrap.dedent(inspect.getsource(function))) for function in functions]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


REACHED = """
Context CoreState Cpu EarlyRevokes EventNames Flight Frame GrantState GuestClaim GuestCounter GuestPmu Handling
HeldGrant HostState Incoming Ioctl KnownGrant KvmSavedLbr KvmSession KvmState LbrDesc LbrRing Network Outages Outgoing
OwnClock PerfCpu PerfEvent PerfState PlayerState Program Registers Reservations SavedLbr Session Sessions Silicon
Thread Vcpu Vm Vmcs Wait
"""


def test_the_runs_reach_every_state_class() -> None:
    assert [c.__name__ for c in classes()] == REACHED.split()


def test_a_field_is_in_clone_and_in_key() -> None:
    excused = {**CONFIGURATION, **FRESH, **FOLDED}
    not_copied, not_keyed = [], []
    for kind in classes():
        copied_fields = attributes(*[getattr(by, name) for by, name in COPIES.get(kind.__name__, [(kind, "clone")])])
        own = attributes(kind.key)
        for field in kind.__slots__:
            where = kind.__name__, field
            if where in OF_A_STEP:
                continue
            owner = BY_OWNER.get(where)
            keyed = own | attributes(*[getattr(owner, name) for name in ("key", *OWNERS[owner])]) if owner else own
            not_copied += [where] if field not in copied_fields else []
            not_keyed += [where] if (field in keyed) == (where in excused) else []
    assert not_copied == []
    assert not_keyed == [], "in key() and excused, or neither"


def test_a_copy_is_equal_and_apart() -> None:
    assert wholes()
    for whole in wholes():
        copies = copied(whole)
        assert picture(copies) == picture(whole)
        assert keys(copies) == keys(whole)
        assert not {id(thing) for thing in reachable(*whole)} & {id(thing) for thing in reachable(*copies)}


def other(value: Any) -> Any:
    """Another value of the same kind; None where there is no simple one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, Enum):
        return next(member for member in type(value) if member is not value)
    if isinstance(value, int):
        return value + 1
    return value + "'" if isinstance(value, str) else None


def changes(thing: Any) -> dict[str, Any]:
    """Each field with a plain value to another value."""
    found = {field: other(getattr(thing, field)) for field in type(thing).__slots__}
    return {field: value for field, value in found.items() if value is not None}


@contextmanager
def changed(thing: Any, values: dict[str, Any]) -> Iterator[None]:
    before = {field: getattr(thing, field) for field in values}
    try:
        for field, value in values.items():
            setattr(thing, field, value)
        yield
    finally:
        for field, value in before.items():
            setattr(thing, field, value)


def test_a_copy_has_what_is_changed() -> None:
    """Every field with a plain value of one object is changed at once; where such a state has no copy, one after the
    other. The number of an event is the one value that must lead somewhere."""
    without_a_copy: set[tuple[str, str]] = set()
    for whole in wholes():
        for place, thing in enumerate(reachable(*whole)):
            every = changes(thing)
            if every and not taken_over(whole, place, thing, every):
                alone = [field for field, value in every.items() if not taken_over(whole, place, thing, {field: value})]
                without_a_copy |= {(type(thing).__name__, field) for field in alone}
    assert without_a_copy == {("PerfEvent", "id")}


def taken_over(whole: Whole, place: int, thing: Any, values: dict[str, Any]) -> bool:
    """Whether the state has a copy with these values; the copy then has them."""
    with changed(thing, values):
        try:
            copy = reachable(*copied(whole))[place]
        except (KeyError, IndexError):
            return False
    assert {field: getattr(copy, field) for field in values} == values, type(thing).__name__
    return True


def test_the_key_of_some_state_has_what_is_changed() -> None:
    shown: set[tuple[str, str]] = set()
    met: set[tuple[str, str]] = set()
    for whole in wholes():
        before = keys(whole)
        for thing in reachable(*whole):
            for field, value in changes(thing).items():
                where = type(thing).__name__, field
                met.add(where)
                if where in shown:
                    continue
                with changed(thing, {field: value}):
                    try:
                        if keys(whole) != before:
                            shown.add(where)
                    except (KeyError, IndexError):
                        # A number or a name that leads nowhere: the key was about to follow it.
                        shown.add(where)
    assert met - shown == CONFIGURATION.keys() & met | FRESH.keys() & met


def test_each_field_has_a_docstring_of_its_own() -> None:
    bare = {kind.__name__: set(kind.__slots__) - documented(kind) for kind in classes()}
    assert not {name: fields for name, fields in bare.items() if fields}
