"""Decisions and their text: one line each, the same in a tape file and in a run file.

    lbrlab-tape 1
    take kvm0>host 1 Hello
    step host+vm0/0
    drop host>kvm0 6 Revoke f1.2
    timer kvm0>host resend
    time 4000000

``step THREAD`` lets a thread take one step. ``FATE SENDER>RECEIVER N MESSAGE`` decides the fate of message N: take,
drop, duplicate (it is taken, and stays to be taken again), overtake (it is taken before older ones), corrupt (it is
taken with a flipped bit; with another value of a field in ``corrupt host>kvm0 6 Revoke.grant``), hold (it and all
behind it stay) or release. An id such as ``f1.2`` behind it names the fault that it belongs to. ``timer SENDER>RECEIVER
TIMER`` lets that timer of the sender run out; virtual time first advances to its due time if that is later. ``time NS``
advances virtual time to NS nanoseconds. ``client.schedule.incidents`` has the decisions about services, threads, links
and clocks.
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from client.litmus.spelling import unknown
from client.schedule.incidents import BREAKS, FORMS, Incident, parse_incident, way_of
from contract.checksum import changeable
from contract.errors import InputError
from contract.messages import HOST, MESSAGE_KINDS, MESSAGES
from contract.network import Fate

HEADER = "lbrlab-tape 1"
LINES_LIMIT = 1_000_000


class Step(msgspec.Struct, frozen=True, gc=False):
    thread: str

    def __str__(self) -> str:
        return f"step {self.thread}"


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """``message`` is the kind of message ``n``. It helps the reader, and is checked. ``fault``: the id of the fault
    that this belongs to, "" for none; it goes into the record. ``field``: the field that is changed (corrupt), "" for
    a flipped bit."""

    fate: Fate
    session: str
    to_host: bool
    n: int
    message: str
    fault: str = ""
    field: str = ""

    @property
    def receiver(self) -> str:
        return HOST if self.to_host else self.session

    def __str__(self) -> str:
        route = f"{self.session}>{HOST}" if self.to_host else f"{HOST}>{self.session}"
        message = f"{self.message}.{self.field}" if self.field else self.message
        return f"{self.fate} {route} {self.n} {message} {self.fault}".rstrip()


class Fire(msgspec.Struct, frozen=True, gc=False):
    """``to_host``: the timer is KVM's; else it is the host's."""

    session: str
    to_host: bool
    timer: str

    def __str__(self) -> str:
        return f"timer {f'{self.session}>{HOST}' if self.to_host else f'{HOST}>{self.session}'} {self.timer}"


class Pass(msgspec.Struct, frozen=True, gc=False):
    """Virtual time advances to ``time``, nanoseconds."""

    time: int

    def __str__(self) -> str:
        return f"time {self.time}"


Decision = Step | Deliver | Fire | Pass | Incident


def is_fault(decision: Decision) -> bool:
    """Whether the decision breaks something that works without it. A tape without such decisions is only an order."""
    if isinstance(decision, Deliver):
        return decision.fate not in (Fate.TAKE, Fate.RELEASE)
    return isinstance(decision, BREAKS)


def without_fault(decision: Decision) -> list[Decision]:
    """The decisions that replace a fault which is taken away: its message is taken as if there were no fault."""
    return [replace(decision, fate=Fate.TAKE, fault="", field="")] if isinstance(decision, Deliver) else []


_FATES = "|".join(fate for fate in Fate if fate is not Fate.LOSE)
_DELIVER = re.compile(
    rf"({_FATES}) ([^\s>]+)>([^\s>]+) ([1-9][0-9]{{0,8}}) "
    r"([A-Za-z]+)(?:\.([a-z_]+))?(?: (f[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}))?"
)
_STEP = re.compile(r"step (\S+)")
_PASS = re.compile(r"time ([1-9][0-9]{0,17})")
_FORMS = f"'step THREAD', '{_FATES} SENDER>RECEIVER N MESSAGE', 'timer SENDER>RECEIVER TIMER', 'time NS', {FORMS}"
_FIRE = re.compile(r"timer ([^\s>]+)>([^\s>]+) ([a-z]+)")


def parse_decision(line: str) -> Decision:
    """Parse one line of a tape. Raises ValueError with what was expected."""
    if match := _STEP.fullmatch(line):
        return Step(match[1])
    if match := _FIRE.fullmatch(line):
        sender, receiver, timer = match.groups()
        return Fire(*way_of(sender, receiver), timer)
    if match := _PASS.fullmatch(line):
        return Pass(int(match[1]))
    if (incident := parse_incident(line)) is not None:
        return incident
    match = _DELIVER.fullmatch(line)
    if not match:
        raise ValueError(f"expected {_FORMS}")
    fate, sender, receiver, n, message, field, fault = match.groups()
    session, to_host = way_of(sender, receiver)
    if message not in MESSAGE_KINDS:
        raise ValueError(unknown("message", message, MESSAGE_KINDS))
    if field and fate != Fate.CORRUPT:
        raise ValueError(f"only {Fate.CORRUPT} takes a field")
    if field and field not in (fields := changeable(MESSAGES[message])):
        raise ValueError(unknown(f"field of {message}", field, fields))
    return Deliver(Fate(fate), session, to_host, int(n), message, fault or "", field or "")


def parse_tape(text: str, path: str = "<tape>") -> list[Decision]:
    """A tape file; blank lines and ``#`` comments are allowed. Raises InputError with path and line."""
    return [decision for _, decision in numbered_tape(text, path)]


def numbered_tape(text: str, path: str = "<tape>") -> list[tuple[int, Decision]]:
    """The decisions of a tape file, each with the number of its line, from 1. Raises InputError as ``parse_tape``."""
    lines = text.splitlines()
    if len(lines) > LINES_LIMIT:
        raise InputError(f"more than {LINES_LIMIT} lines", path)
    if not lines or lines[0].strip() != HEADER:
        raise InputError(f"expected the header {HEADER!r}", f"{path}:1")
    decisions: list[tuple[int, Decision]] = []
    for number, line in enumerate(lines[1:], 2):
        body = line.split("#", 1)[0].strip()
        if body:
            try:
                decisions.append((number, parse_decision(body)))
            except ValueError as error:
                raise InputError(str(error), f"{path}:{number}") from None
    return decisions


def format_tape(decisions: list[Decision]) -> str:
    return "\n".join([HEADER, *map(str, decisions)]) + "\n"
