"""Each automaton has all its state in clone() and in key()."""

from __future__ import annotations

from typing import Any

from client.check.automaton import Automaton
from client.check.judge import MONITORS, Checker
from client.check.monitor import Monitor
from client.check.no_loss import Reference
from client.check.traced import TracedCpu, TracedEvent
from client.check.way import TracedWay
from client.check.world import World
from contract.lbr_ring import LbrRing
from tests.cases import cases
from tests.client.check.keys import NOT_STATE, checked, parts, records_of, slots, state
from tests.designs import FENCED
from tests.fields import documented

STATE_CLASSES = {Checker, World, TracedCpu, TracedEvent, TracedWay, Reference, LbrRing, *MONITORS}


def examples() -> dict[type, Any]:
    """One object of each class, from the middle of a run."""
    checker = checked(records_of("central-story", FENCED)[:120])
    return {type(part): part for part in parts(checker)}


def names_read(part: Any, method: str, *args: object) -> set[str]:
    """The attributes of this object that a method of it reads."""
    kind, read = type(part), set()

    class Spy(kind):  # type: ignore[misc, valid-type]
        __slots__ = ()

        def __getattribute__(self, name: str) -> object:
            if self is part:
                read.add(name)
            return super().__getattribute__(name)

    part.__class__ = Spy
    getattr(part, method)(*args)
    part.__class__ = kind
    return read


def arguments(part: Any) -> list[World]:
    """Those of its clone()."""
    return [part.world] if isinstance(part, Monitor) else []


def test_every_class_of_state_is_known() -> None:
    assert set(examples()) == STATE_CLASSES
    assert issubclass(World, Automaton)
    assert all(issubclass(kind, Automaton) for kind in MONITORS)


@cases("kind", sorted(STATE_CLASSES, key=str), ids=lambda kind: kind.__name__)
def test_the_key_has_all_its_state(kind: type) -> None:
    assert state(kind) <= names_read(examples()[kind], "key")


@cases("kind", sorted(STATE_CLASSES, key=str), ids=lambda kind: kind.__name__)
def test_the_clone_has_all_its_state(kind: type) -> None:
    part = examples()[kind]
    assert state(kind) <= names_read(part, "clone", *arguments(part))
    twin = part.clone(*arguments(part))
    assert twin.key() == part.key()
    assert type(twin) is kind
    for name in slots(kind):
        original, copied = getattr(part, name), getattr(twin, name)
        assert not isinstance(original, dict | list | set) or name not in state(kind) or copied is not original


@cases("kind", sorted(STATE_CLASSES, key=str), ids=lambda kind: kind.__name__)
def test_what_is_no_state_is_a_slot_and_has_a_reason(kind: type) -> None:
    reasons = getattr(kind, "CONFIGURATION", NOT_STATE.get(kind, {}))
    assert set(reasons) <= slots(kind)
    assert all(reasons.values())
    assert not hasattr(examples()[kind], "__dict__")


@cases("kind", sorted({Automaton, Monitor} | STATE_CLASSES, key=str), ids=lambda kind: kind.__name__)
def test_each_field_has_a_docstring_of_its_own(kind: Any) -> None:
    assert set(kind.__slots__) <= documented(kind)
