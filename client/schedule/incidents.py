"""Decisions about a service, a thread, a link or a clock, and their text on a tape.

    crash kvm0 f5.1
    restart kvm0 f5.1
    end thread vm0/1 f6.1
    end vm vm0 f6.1
    cut kvm0 f1.1
    mend kvm0 f1.1
    cut kvm0>host f2.1
    stall perfcore f3.1
    continue perfcore f3.1
    shutdown kvm0 f5.1
    clock kvm0 1250000 f4.1

``crash`` ends the process of a KVM (``kvm0``) or of a host (``perfcore``), and ``restart`` begins a new one. ``end``
ends the thread of a vCPU, or of all vCPUs of a VM. ``cut`` loses all that is in flight, and all that is sent before
``mend``: of a link, so that both ends lose it at once, or of one way of it. The ends of a link that was cut in one way
find it broken when it is mended, and KVM resumes the session either way. A service that is stalled takes nothing, sends
nothing and fires no timer before it continues. A service that is told to stop (``shutdown``) ends its sessions in
order; then its process ends (``crash``). The number behind ``clock`` is the rate of a KVM's clock in millionths of the
host's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

import msgspec

from contract.messages import HOST
from contract.spec import NORMAL_RATE, RATES


class _Incident(msgspec.Struct, frozen=True, gc=False):
    """Each has a word, a target and ``fault``: the id of the fault that it belongs to, "" for none."""

    WORD: ClassVar[str]

    @property
    def target(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        fault: str = getattr(self, "fault", "")
        return f"{self.WORD} {self.target} {fault}".rstrip()


class _OfService(_Incident, frozen=True):
    """``service``: a KVM by its session, or a host: ``perfcore``, ``perfcore1`` and so on."""

    service: str
    fault: str = ""

    @property
    def target(self) -> str:
        return self.service


class Crash(_OfService, frozen=True):
    """The process of the service is gone."""

    WORD = "crash"


class Restart(_OfService, frozen=True):
    """A service that is gone begins a new life."""

    WORD = "restart"


class Stall(_OfService, frozen=True):
    """The service does nothing until it continues."""

    WORD = "stall"


class EndStall(_OfService, frozen=True):
    """The end of a Stall of the same service."""

    WORD = "continue"


class Shutdown(_OfService, frozen=True):
    """The service is told to stop, as by SIGTERM. A Crash of the same service ends its process."""

    WORD = "shutdown"


class Kill(_Incident, frozen=True):
    """``kind``: ``thread``, the thread of vCPU ``name`` ends; ``vm``, all threads of VM ``name`` do."""

    WORD = "end"
    kind: str
    name: str
    fault: str = ""

    @property
    def target(self) -> str:
        return f"{self.kind} {self.name}"


class _OfLink(_Incident, frozen=True):
    """``to_host``: one way of the link, None for both. A link that was lost between two real services has no
    ``fault``."""

    session: str
    to_host: bool | None
    fault: str = ""

    @property
    def target(self) -> str:
        return route(self.session, self.to_host)


class Cut(_OfLink, frozen=True):
    """The link, or one way of it, loses every message until it is mended."""

    WORD = "cut"


class Mend(_OfLink, frozen=True):
    """The end of a Cut of the same ``session`` and ``to_host``."""

    WORD = "mend"


class SetClock(_Incident, frozen=True):
    """``rate``: of the clock of the KVM ``service``, in millionths of virtual time."""

    WORD = "clock"
    service: str
    rate: int
    fault: str = ""

    @property
    def target(self) -> str:
        return f"{self.service} {self.rate}"


Outage = Cut | Mend | Stall | EndStall | SetClock
"""Incidents after which every process and every thread is still there."""
Incident = Crash | Restart | Shutdown | Kill | Outage
BREAKS = (Crash, Kill, Cut, Stall, Shutdown, SetClock)
"""The incidents that are faults. The others end one."""
FORMS = (
    "'crash SERVICE', 'restart SERVICE', 'end thread VM/N', 'end vm VM', 'cut KVM', 'mend KVM', 'stall SERVICE', "
    "'continue SERVICE', 'shutdown SERVICE', 'clock KVM RATE'"
)


def parse_incident(line: str) -> Incident | None:
    """The incident in a line of a tape; None if the line has another form. Raises ValueError with what was expected."""
    word, _, rest = line.partition(" ")
    form = _ROWS.get(word)
    match = form[0].fullmatch(rest) if form else None
    if form is None or match is None:
        return None
    *target, fault = match.groups()
    return form[1](word, target, fault or "")


def _of_service(word: str, target: list[str | None], fault: str) -> Incident:
    (service,) = target
    return _SERVICES[word](service or "", fault)


def _kill(word: str, target: list[str | None], fault: str) -> Incident:
    kind, name = target
    return Kill(kind or "", name or "", fault)


def _of_link(word: str, target: list[str | None], fault: str) -> Incident:
    kind = Cut if word == Cut.WORD else Mend
    sender, receiver = target
    assert receiver is not None
    if sender is not None:
        return kind(*way_of(sender, receiver), fault)
    if receiver == HOST:
        raise ValueError(f"expected the name of a KVM or a way such as kvm0>{HOST}")
    return kind(receiver, None, fault)


def _set_clock(word: str, target: list[str | None], fault: str) -> Incident:
    service, rate = target
    assert service is not None
    if service == HOST or int(rate or 0) not in RATES:
        raise ValueError(f"expected a KVM, and a rate from {RATES[0]} to {RATES[-1]}; {NORMAL_RATE} is the host's")
    return SetClock(service, int(rate or 0), fault)


_SERVICES = {kind.WORD: kind for kind in (Crash, Restart, Stall, EndStall, Shutdown)}
_FAULT = r"(?: (f[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}))?"
_ROWS: dict[str, tuple[re.Pattern[str], Callable[[str, list[str | None], str], Incident]]] = {
    **dict.fromkeys(_SERVICES, (re.compile(rf"([^\s>]+){_FAULT}"), _of_service)),
    Kill.WORD: (re.compile(rf"(thread|vm) ([^\s>]+){_FAULT}"), _kill),
    **dict.fromkeys((Cut.WORD, Mend.WORD), (re.compile(rf"(?:([^\s>]+)>)?([^\s>]+){_FAULT}"), _of_link)),
    SetClock.WORD: (re.compile(rf"([^\s>]+) ([1-9][0-9]{{0,8}}){_FAULT}"), _set_clock),
}
"""The first word of a line to the form of what follows it, and the incident of its parts."""


def way_of(sender: str, receiver: str) -> tuple[str, bool]:
    """The session, and whether messages go to the host. Raises ValueError."""
    if (sender == HOST) == (receiver == HOST):
        raise ValueError(f"one end of {sender}>{receiver} must be {HOST!r}")
    return (sender, True) if receiver == HOST else (receiver, False)


def route(session: str, to_host: bool | None) -> str:
    """The text of a way, or of a link."""
    if to_host is None:
        return session
    return f"{session}>{HOST}" if to_host else f"{HOST}>{session}"
