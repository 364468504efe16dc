"""A fault rule: a kind of fault, and the messages that it meets or at which it strikes. ``client.litmus.fault_rules``
parses its text."""

from __future__ import annotations

import msgspec

from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.text import duration_text
from contract.spec import NORMAL_RATE


class FaultRule(msgspec.Struct, frozen=True, kw_only=True):
    """A message has to fit all that is given. ``str`` gives the text of the rule in its one fixed form."""

    kind: str
    """A name of ``fault_kinds.KINDS``."""
    target: str = ""
    """The link, way, service, thread or VM that is struck: ``kvm0``, ``kvm0>host``, ``perfcore``, ``thread vm0/0``,
    ``vm vm0``. "": of the message at which it strikes, the link, the receiver, or the thread of its vCPU. ``>host`` and
    ``host>`` are ways of that link."""
    rate: int = 0
    """Of ``clock``: the rate in millionths; 0 for the other kinds."""
    messages: tuple[str, ...] = ()
    """Kinds of messages; all if empty."""
    session: str = ""
    """A KVM service; "" for all."""
    to_host: bool | None = None
    """Direction; None for both."""
    vcpu: str = ""
    """The vCPU that the message is about; "" for all."""
    event: int = 0
    """Number of the guest's event that the message is about; 0 for all."""
    first: int = 1
    """Of the messages that fit: number of the first that is met, from 1."""
    last: int = 0
    """Number of the last that is met; 0: no end."""
    field: str = ""
    """Of ``corrupt``: the field that is changed, which a message must have to fit; "": a bit is flipped."""
    amount: int = 0
    """The number after ``by``, as in ``FaultKind.amount``; 0: the usual value, or a time."""
    time: int = 0
    """The time after ``by``, nanoseconds; 0: none is given."""
    at_time: int = 0
    """Virtual nanosecond at which a fault of a link or a service strikes; 0: none is given."""
    at_record: int = 0
    """Number of the record behind which it strikes; 0: none is given."""
    after: int = 0
    """Virtual time of sending, nanoseconds, from which messages fit."""
    before: int = 0
    """Virtual time of sending, nanoseconds, from which they no longer fit; 0: no end."""
    after_record: int = 0
    """Number of the record of sending from which messages fit."""
    before_record: int = 0
    """Number of the record of sending from which they no longer fit; 0: no end."""
    each: bool = False
    """Of a fault of a link, a service, a clock or a thread: it strikes at each message, although nothing selects
    some."""
    chance: float = 1.0
    """Probability with which each of them is met, above 0 and up to 1."""
    seed: int = 0
    """Seed of these draws."""

    def __str__(self) -> str:
        parts = [self.kind, self.target, f"rate {self.rate / NORMAL_RATE:g}" if self.rate else "", self._at()]
        parts += [",".join(self.messages), self._route(), self.vcpu]
        parts += [f"event {self.event}" if self.event else "", self._count()]
        parts += [f"field {self.field}" if self.field else ""]
        parts += [f"by {duration_text(self.time) if self.time else self.amount}" if self.time or self.amount else ""]
        parts += [f"after {duration_text(self.after)}" if self.after else ""]
        parts += [f"before {duration_text(self.before)}" if self.before else ""]
        parts += [f"after record {self.after_record}" if self.after_record else ""]
        parts += [f"before record {self.before_record}" if self.before_record else ""]
        parts += [f"p={self.chance!r}" if self.chance < 1 else "", f"seed={self.seed}" if self.seed else ""]
        return " ".join(part for part in parts if part)

    @property
    def of_messages(self) -> bool:
        """Whether the rule selects messages: those that it meets, or those at which it strikes."""
        return self != FaultRule(
            kind=self.kind,
            target=self.target,
            rate=self.rate,
            at_time=self.at_time,
            at_record=self.at_record,
            amount=self.amount,
            time=self.time,
            seed=self.seed,
        )

    def _at(self) -> str:
        if self.at_time or self.at_record:
            return f"at {duration_text(self.at_time)}" if self.at_time else f"at record {self.at_record}"
        of_message = self.kind not in FAULT_KINDS or FAULT_KINDS[self.kind].strikes == "message"
        return "at" if self.of_messages and not of_message else ""

    def _route(self) -> str:
        if self.to_host is None:
            return f"session {self.session}" if self.session else ""
        return f"{self.session}>host" if self.to_host else f"host>{self.session}"

    def _count(self) -> str:
        if self.each:
            return "all"
        if self.last == 0:
            return f"from {self.first}" if self.first > 1 else ""
        return str(self.first) if self.first == self.last else f"first {self.last}"
