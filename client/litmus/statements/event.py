"""Statements about an open event: ioctls, read, samples, its state."""

from __future__ import annotations

from typing import ClassVar

from client.litmus.checking import StmtCheck
from client.litmus.execution import Execution
from client.litmus.reading import Reading
from client.litmus.spelling import unknown
from client.litmus.statements.statement import Examples, HostStmt, ResultKind, Rules
from contract.control import Close, Disable, Enable, Read, Sample

_OPS: dict[str, type[Enable | Disable]] = {"enable": Enable, "disable": Disable}


class EventOp(HostStmt, frozen=True):
    """``enable h0;`` ``disable h0;`` / ``enable h0 group;`` ``disable h0 group;``

    ``group``: the event and its siblings one by one (``PERF_IOC_FLAG_GROUP``)."""

    rules: ClassVar[Rules] = {"event_op": "(ENABLE | DISABLE) WORD GROUP?"}
    examples: ClassVar[Examples] = (
        ("enable h group;", "enable the event and its siblings; without group only the event"),
        ("disable h;", "disable the event; with group its siblings, too"),
    )

    op: str
    event: str
    group: bool = False

    @staticmethod
    def read(at: Reading) -> EventOp:
        op, event, *group = at.tokens
        return EventOp(str(op), at.mark(event, "event"), bool(group))

    def action(self) -> str:
        return f"{self.op} {self.event} group" if self.group else f"{self.op} {self.event}"

    def check(self, at: StmtCheck) -> None:
        if self.op not in _OPS:
            at.fail(unknown("statement", self.op, _OPS))
        at.event(self.event)

    def command(self, at: Execution) -> Enable | Disable:
        return _OPS[self.op](at.event(self.event), self.group)


class ReadEvent(HostStmt, frozen=True):
    """``n0 = read h0;``: ``.count``, and ``.enabled`` and ``.running`` in nanoseconds; the word ``EOF`` in ERROR, and
    an errno if there is no such event. A field of a register that holds a word is that word."""

    rules: ClassVar[Rules] = {"read": "READ WORD"}
    examples: ClassVar[Examples] = (("n = read h;", "n.count, n.enabled, n.running; EOF in ERROR"),)
    result = ResultKind.FIELDS
    fields = ("count", "enabled", "running")

    register: str
    event: str

    @staticmethod
    def read(at: Reading) -> ReadEvent:
        return ReadEvent(at.register, at.mark(at.tokens[1], "event"))

    def action(self) -> str:
        return f"read {self.event}"

    def check(self, at: StmtCheck) -> None:
        at.event(self.event)

    def command(self, at: Execution) -> Read:
        return Read(at.event(self.event))


class SampleEvent(HostStmt, frozen=True):
    """``s0 = sample h0;``"""

    rules: ClassVar[Rules] = {"sample": "SAMPLE WORD"}
    examples: ClassVar[Examples] = (
        ("s = sample h;", "a PMI now: s.entries, s.host, s.guest, s.empty; none if h is not ACTIVE"),
    )
    result = ResultKind.FIELDS
    fields = ("entries", "host", "guest", "empty")

    register: str
    event: str

    @staticmethod
    def read(at: Reading) -> SampleEvent:
        return SampleEvent(at.register, at.mark(at.tokens[1], "event"))

    def action(self) -> str:
        return f"sample {self.event}"

    def check(self, at: StmtCheck) -> None:
        at.event(self.event)

    def command(self, at: Execution) -> Sample:
        return Sample(at.event(self.event))


class StateOf(HostStmt, frozen=True):
    """``e0 = state h0;`` ``g0 = state vm0/0;``: the current state of an event, or of the event that stands for a vCPU
    (``none`` if there is no such event)."""

    rules: ClassVar[Rules] = {"state": "STATE (WORD | VCPU)"}
    examples: ClassVar[Examples] = (
        (
            "e = state h;",
            "the event's state now; state vm0/0 gives that of the vCPU's event, or none",
        ),
    )
    result = ResultKind.STATE

    register: str
    event: str = ""
    vcpu: str = ""

    @staticmethod
    def read(at: Reading) -> StateOf:
        _, target = at.tokens
        if target.type == "VCPU":
            return StateOf(at.register, vcpu=at.mark(target, "vcpu"))
        return StateOf(at.register, at.mark(target, "event"))

    def action(self) -> str:
        return f"state {self.event or self.vcpu}"

    def check(self, at: StmtCheck) -> None:
        if self.event and self.vcpu:
            at.fail("state is of an event or of a vCPU, not of both", "vcpu")
        if self.event:
            at.event(self.event)
        else:
            at.vcpu(self.vcpu)


class CloseEvent(HostStmt, frozen=True):
    """``close h0;``"""

    rules: ClassVar[Rules] = {"close": "CLOSE WORD"}
    examples: ClassVar[Examples] = (("close g;", "close the event"),)

    event: str

    @staticmethod
    def read(at: Reading) -> CloseEvent:
        return CloseEvent(at.mark(at.tokens[1], "event"))

    def action(self) -> str:
        return f"close {self.event}"

    def check(self, at: StmtCheck) -> None:
        at.event(self.event)
        at.scope.closed.add((at.actor, self.event))

    def command(self, at: Execution) -> Close:
        return Close(at.event(self.event))
