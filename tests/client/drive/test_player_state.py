"""The parts of its state that the player's keys leave out."""

from __future__ import annotations

from client.drive.registers import Registers
from client.schedule.flight import Flight
from contract.trace import EventClose, EventOpen, Switch


def flight(*records: Switch | EventOpen | EventClose) -> Flight:
    made = Flight()
    made.follow(records)
    return made


def test_which_cpu_has_gone_idle_last_is_nothing_to_remember() -> None:
    on = Switch(0, "", "a"), Switch(1, "", "b")
    off = Switch(0, "a", ""), Switch(1, "b", "")
    assert flight(*on, *off).key() == flight(*on, *reversed(off)).key() == Flight().key()


def test_a_guests_event_that_has_gone_is_nothing_to_remember() -> None:
    opened = EventOpen(7, "vlbr:v", "v", -1, "v", False, "ACTIVE", 0, [], [], "", False, False, "")
    assert flight(opened).key() != Flight().key()
    assert flight(opened, EventClose(7, "vlbr:v")).key() == Flight().key()


def test_to_ask_for_a_register_changes_nothing() -> None:
    asked, other = Registers({"limit": 3}), Registers({"limit": 3})
    assert asked.of("host")["limit"] == 3
    assert asked.key() == other.key()
    asked.put("host", "n", 1)
    assert asked.key() != other.key()
