"""A perf event, here always the single leader of its group."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from perfcore_svc.perf.branch_filter import BranchFilter


class State(IntEnum):
    """``enum perf_event_state``; at OFF or below an event is not considered by sched-in."""

    EXIT = -3
    ERROR = -2
    OFF = -1
    INACTIVE = 0
    ACTIVE = 1


@dataclass(slots=True)
class PerfEvent:
    """``cpu`` -1 follows ``task``; an empty ``task`` is a CPU event. ``oncpu`` is -1 unless ACTIVE.

    What it takes to be on: ``filter`` and ``slot`` (its value in the LBR shared register; None takes none),
    ``counter``, ``pseudo`` (the one fake counter, 58). ``guest`` names the vCPU of a guest's event: such an event
    never turns the LBR on in the host. ``ran``: it has accumulated running time. ``grant`` numbers the current
    ACTIVE spell towards KVM; ``lost_on`` is the CPU on which a guest's event went to ERROR."""

    id: int
    name: str
    cpu: int
    task: str
    pinned: bool
    state: State
    filter: BranchFilter | None = None
    slot: int | None = None
    counter: bool = True
    pseudo: bool = False
    guest: str = ""
    task_data: bool = False
    oncpu: int = -1
    ran: bool = False
    count: int = 0
    counted_from: int = 0
    grant: int = 0
    lost_on: int = -1
    traced: tuple[State, int] = (State.OFF, -1)
