"""Records of the driver: the setup, each statement, each value, the end."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from contract.results import KvmView, PerfView
from contract.trace.record import Record


class DriverRecord(Record):
    source: ClassVar[str] = "driver"


class Setup(DriverRecord):
    """The setup of the run. ``axes``: the design's point on each axis. ``actors`` resolves the actor number inside
    branch addresses (``contract.provenance``). ``cpus``: number of CPUs of all hosts together. ``hosts``: number of
    CPUs of each host, in order (empty: one host has all). ``kvms``: KVM session to the number of its host."""

    scenario: str
    design: str
    axes: dict[str, str]
    lbr: str
    depth: int
    cpus: int
    actors: list[str]
    vcpus: list[str]
    hosts: list[int] = msgspec.field(default_factory=list)
    kvms: dict[str, int] = msgspec.field(default_factory=lambda: {"kvm0": 0})


class Statement(DriverRecord):
    """Thread ``thread`` of the schedule begins this statement of ``actor``. ``line``: its line in the scenario text of
    the run file (0: it has none)."""

    thread: str
    actor: str
    text: str
    line: int


class LinkCut(DriverRecord):
    """The link of a session is cut, or one way of it (``to_host``: from KVM to the host; None: both). ``fault``: the
    fault that this belongs to, as in a tape; absent where a link was lost by itself."""

    session: str
    to_host: bool | None
    fault: str | UnsetType = UNSET


class LinkMended(DriverRecord):
    """The link of a session, or the way of it that was cut, is up again."""

    session: str
    to_host: bool | None
    fault: str | UnsetType = UNSET


class Stalled(DriverRecord):
    """A service (a KVM, or ``perfcore``, ``perfcore1``...) takes and sends nothing from now on."""

    service: str
    fault: str | UnsetType = UNSET


class Continued(DriverRecord):
    """A service that was stalled goes on."""

    service: str
    fault: str | UnsetType = UNSET


class ShuttingDown(DriverRecord):
    """``service`` is told to stop, as by SIGTERM. It ends its sessions in order (R24); then its process ends (Crash).
    ``sessions``, ``vcpus``: as in Crash."""

    service: str
    sessions: list[str]
    vcpus: list[str]
    fault: str | UnsetType = UNSET


class ClockSet(DriverRecord):
    """The clock of a KVM runs at ``rate`` millionths of the host's from now on."""

    service: str
    rate: int
    fault: str | UnsetType = UNSET


AnyIncidentRecord = LinkCut | LinkMended | Stalled | Continued | ClockSet
"""Records of faults that are not of messages, and of their ends."""


class Outcome(DriverRecord):
    """A register got its value: a number, a word such as ``#GP``, or a small table of fields."""

    actor: str
    register: str
    value: int | str | dict[str, int | str]


class Crash(DriverRecord):
    """The process of ``service`` is gone, with its state: a KVM by its session, or a host, ``perfcore`` or
    ``perfcore1``, which is then without power. ``host``: number of that host, -1 for a KVM. ``sessions``: those whose
    link ends with it, and with the link the messages on it. ``vcpus``: the vCPUs of these sessions. ``fault``: as in
    Delivery. ``orderly``: it was told to stop before (ShuttingDown); absent: it was not."""

    service: str
    host: int
    sessions: list[str]
    vcpus: list[str]
    fault: str | UnsetType = UNSET
    orderly: bool | UnsetType = UNSET


class Restart(DriverRecord):
    """A new process of ``service`` begins, with nothing of the old one. ``life``: the number of its life, from 1; for a
    KVM this is the epoch (R5). ``fault``: as in Delivery."""

    service: str
    life: int
    fault: str | UnsetType = UNSET


class Killed(DriverRecord):
    """The threads of ``vcpus`` end now, and each vCPU with its thread. ``scope``: thread or vm. ``fault``: as in
    Delivery."""

    scope: str
    vcpus: list[str]
    fault: str | UnsetType = UNSET


class End(DriverRecord):
    """Nothing more can happen. ``unfinished``: threads that still had statements, and what each waits for."""

    unfinished: dict[str, str]


class Rest(DriverRecord):
    """All views when nothing is in flight: of the hosts (``others``: all but the first), and of the KVMs in the order
    of ``Setup.kvms``."""

    host: PerfView
    kvm: list[KvmView]
    others: list[PerfView] = msgspec.field(default_factory=list)

    @property
    def hosts(self) -> list[PerfView]:
        return [self.host, *self.others]


AnyDriverRecord = Setup | Statement | AnyIncidentRecord | Outcome | ShuttingDown | Crash | Restart | Killed | End | Rest
