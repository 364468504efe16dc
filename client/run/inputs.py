"""All inputs of a run. The same inputs give the same trace, to the byte, on either wire."""

from __future__ import annotations

from dataclasses import dataclass, field

from client.drive.wire import Wire
from client.litmus import Scenario
from client.schedule.schedule import Schedule
from contract.design import Design


@dataclass(frozen=True, slots=True)
class Inputs:
    scenario: Scenario
    """The statements of host, guests and user space, with the final condition."""
    design: Design
    """The design that host and KVM use."""
    schedule: Schedule = field(default_factory=Schedule)
    """How the open decisions are taken: which thread steps, which message arrives."""
    wire: Wire | None = None
    """The connection to the two services. None: a simulated wire of its own, with both cores in this process."""
