"""All state of the player of a run."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from client.drive.commands import EventNames
from client.drive.program import Program
from client.drive.registers import Registers
from client.litmus.ast import LitmusStep
from client.schedule.flight import Flight
from contract.canonical import At
from contract.trace import Outcome


@dataclass(slots=True)
class Thread:
    program: Program
    """Its position in the block."""
    running: bool = False
    """The current statement has begun and is not done."""
    done_at: int = 0
    """The time at which it is done, nanoseconds, if it waits for time alone; else 0."""

    def clone(self, registers: Registers) -> Thread:
        """With the copy of the registers."""
        return Thread(self.program.clone(registers), self.running, self.done_at)

    def key(self) -> tuple[Hashable, ...]:
        return self.program.key(), self.running, At(self.done_at)

    @property
    def current(self) -> LitmusStep | None:
        return self.program.current

    def done(self) -> list[Outcome]:
        """The statement is done. Sets the registers of the program statements after it."""
        self.running, self.done_at = False, 0
        return self.program.advance()


@dataclass(slots=True)
class PlayerState:
    registers: Registers
    """The values of the actors' registers."""
    flight: Flight = field(default_factory=Flight)
    """The player's knowledge of the services."""
    names: EventNames = field(default_factory=EventNames)
    """The names of host events."""
    threads: dict[str, Thread] = field(default_factory=dict)
    """The blocks of the scenario, by name."""
    places: dict[str, str] = field(default_factory=dict)
    """vCPU to the KVM that it is at."""

    def clone(self) -> PlayerState:
        registers = self.registers.clone()
        threads = {name: thread.clone(registers) for name, thread in self.threads.items()}
        return PlayerState(registers, self.flight.clone(), self.names.clone(), threads, self.places.copy())

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        threads = tuple([(name, thread.key()) for name, thread in self.threads.items()])
        places = frozenset(self.places.items())
        return self.registers.key(), self.flight.key(), self.names.key(), threads, places
