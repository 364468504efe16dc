"""Records of the sessions: messages, their fates, timers."""

from __future__ import annotations

from typing import ClassVar

from contract.messages import AnyMessage
from contract.trace.record import Record


class LinkRecord(Record):
    source: ClassVar[str] = "wire"


class Send(LinkRecord):
    """``clock``: the logical clock, which is this record's number. ``order``: as in Envelope; a message that is sent
    again keeps it."""

    session: str
    to_host: bool
    epoch: int
    n: int
    clock: int
    body: AnyMessage
    order: int = 0


class Delivery(LinkRecord):
    """The receiver's inbox: message ``n`` was taken (``take``, ``overtake``: before older ones, ``double``: and stays)
    or lost (``drop``)."""

    how: str
    session: str
    to_host: bool
    n: int
    message: str


class Discard(LinkRecord):
    """The receiver took message ``n`` and threw it away by contract rule ``rule``."""

    session: str
    to_host: bool
    n: int
    message: str
    rule: str
    why: str


class Timer(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) wants to act at ``due`` nanoseconds; -1: no more.

    ``what``: ``resend`` (messages not acknowledged yet), ``renew`` (leases), ``lease`` (the host's wait for an Ack is
    over). ``awaited``: somebody waits for it, so that it fires even where nothing else would happen."""

    session: str
    to_host: bool
    what: str
    due: int
    awaited: bool


class SessionChange(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) is now ``new`` and was ``old`` before: phases of
    ``contract.session``. Greeting and opening are not here, the messages that do it are on record."""

    session: str
    to_host: bool
    epoch: int
    old: str
    new: str
    why: str


class WindowChange(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) pauses, since as many messages as the window has room
    for are not acknowledged; or it goes on (``paused`` is false)."""

    session: str
    to_host: bool
    epoch: int
    paused: bool


AnyLinkRecord = Send | Delivery | Discard | Timer | SessionChange | WindowChange
