"""Records of the sessions: messages, their fates, timers."""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET, UnsetType

from contract.messages import AnyMessage, Envelope
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

    @property
    def envelope(self) -> Envelope:
        """The message as it travels."""
        return Envelope(self.session, self.to_host, self.epoch, self.n, self.body, self.order)


class Delivery(LinkRecord):
    """The receiver's inbox: message ``n`` was taken (``take``, ``overtake``: before older ones, ``duplicate``: and
    stays, ``corrupt``: damaged) or lost (``drop``; ``lose``: with its way, which is cut), or its direction delivers
    nothing from it on (``hold``) until the ``release``. ``fault``: the fault that this belongs to, as in a tape; absent
    where there is none. ``field``: the field that was changed; absent where none was."""

    fate: str
    session: str
    to_host: bool
    n: int
    message: str
    fault: str | UnsetType = UNSET
    field: str | UnsetType = UNSET


class Discard(LinkRecord):
    """The receiver took message ``n`` and threw it away by contract rule ``rule``."""

    session: str
    to_host: bool
    n: int
    message: str
    rule: str
    reason: str


class Timer(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) has a timer that runs out at ``due`` nanoseconds; -1:
    it is stopped.

    ``timer``: ``resend`` (messages not acknowledged yet), ``renew`` (leases), ``lease`` (the host's wait for an Ack is
    over). ``awaited``: a thread waits for it, so it fires even if nothing else would happen."""

    session: str
    to_host: bool
    timer: str
    due: int
    awaited: bool


class SessionChange(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) is now ``new`` and was ``old`` before: phases of
    ``contract.session``. Greeting and opening have no such record: the messages that cause them are recorded."""

    session: str
    to_host: bool
    epoch: int
    old: str
    new: str
    reason: str


class WindowChange(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) pauses because its window is full of unacknowledged
    messages, or continues (``paused`` is false)."""

    session: str
    to_host: bool
    epoch: int
    paused: bool


class PeerSilent(LinkRecord):
    """An end of a session (``to_host``: KVM's, else the host's) has repeated its messages for 310 ms without an answer.
    It still repeats them."""

    session: str
    to_host: bool
    epoch: int


AnyLinkRecord = Send | Delivery | Discard | Timer | SessionChange | WindowChange | PeerSilent
