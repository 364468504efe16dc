"""Decisions about a link, a service or a clock, and their text on a tape.

    cut kvm0 f1.1
    mend kvm0 f1.1
    cut kvm0>host f2.1
    stall perfcore f3.1
    continue perfcore f3.1
    clock kvm0 1250000 f4.1

``cut`` loses all that is in flight, and all that is sent before ``mend``: of a link, so that both ends lose it at once,
or of one way of it. The ends of a link that was cut in one way find it broken when it is mended, and KVM resumes the
session either way. A service that is stalled takes nothing, sends nothing and fires no timer before it continues. The
number behind ``clock`` is the rate of a KVM's clock in millionths of the host's.
"""

from __future__ import annotations

import re

import msgspec

from contract.messages import HOST
from contract.spec import NORMAL_RATE, RATES


class Cut(msgspec.Struct, frozen=True):
    """``to_host``: the way that is cut, None for both. ``fault``: as in Deliver; a link that was lost between two real
    services has none."""

    session: str
    to_host: bool | None
    fault: str = ""

    def __str__(self) -> str:
        return f"cut {route(self.session, self.to_host)} {self.fault}".rstrip()


class Mend(msgspec.Struct, frozen=True):
    """The end of a Cut of the same ``session`` and ``to_host``."""

    session: str
    to_host: bool | None
    fault: str = ""

    def __str__(self) -> str:
        return f"mend {route(self.session, self.to_host)} {self.fault}".rstrip()


class Stall(msgspec.Struct, frozen=True):
    """``service``: the name of a KVM, or ``perfcore``, ``perfcore1`` and so on."""

    service: str
    fault: str = ""

    def __str__(self) -> str:
        return f"stall {self.service} {self.fault}".rstrip()


class Continue(msgspec.Struct, frozen=True):
    """The end of a Stall of the same ``service``."""

    service: str
    fault: str = ""

    def __str__(self) -> str:
        return f"continue {self.service} {self.fault}".rstrip()


class SetClock(msgspec.Struct, frozen=True):
    """``rate``: of the clock of the KVM ``service``, in millionths of virtual time."""

    service: str
    rate: int
    fault: str = ""

    def __str__(self) -> str:
        return f"clock {self.service} {self.rate} {self.fault}".rstrip()


Incident = Cut | Mend | Stall | Continue | SetClock
BREAKS = (Cut, Stall, SetClock)
"""The incidents that are faults. The others end one."""

_FAULT = r"(?: (f[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}))?"
_LINK = re.compile(rf"(cut|mend) (?:([^\s>]+)>)?([^\s>]+){_FAULT}")
_SERVICE = re.compile(rf"(stall|continue) ([^\s>]+){_FAULT}")
_CLOCK = re.compile(rf"clock ([^\s>]+) ([1-9][0-9]{{0,8}}){_FAULT}")
FORMS = "'cut KVM', 'mend KVM', 'stall SERVICE', 'continue SERVICE', 'clock KVM RATE'"


def parse_incident(line: str) -> Incident | None:
    """The incident in a line of a tape; None if the line has another form. Raises ValueError with what was expected."""
    if match := _LINK.fullmatch(line):
        what, sender, receiver, fault = match.groups()
        kind = Cut if what == "cut" else Mend
        if sender is None:
            if receiver == HOST:
                raise ValueError(f"expected the name of a KVM or a way such as kvm0>{HOST}")
            return kind(receiver, None, fault or "")
        return kind(*way_of(sender, receiver), fault or "")
    if match := _SERVICE.fullmatch(line):
        what, service, fault = match.groups()
        return (Stall if what == "stall" else Continue)(service, fault or "")
    if match := _CLOCK.fullmatch(line):
        service, rate, fault = match.groups()
        if service == HOST or int(rate) not in RATES:
            raise ValueError(f"expected a KVM, and a rate from {RATES[0]} to {RATES[-1]}; {NORMAL_RATE} is the host's")
        return SetClock(service, int(rate), fault or "")
    return None


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
