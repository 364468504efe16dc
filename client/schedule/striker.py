"""Faults of links, services, clocks and threads by rules: what strikes next, and when it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.schedule.decisions import Decision, Pass
from client.schedule.flight import Flight, InFlight
from client.schedule.incidents import Crash, Cut, EndStall, Incident, Kill, Mend, Restart, SetClock, Shutdown, Stall
from contract.messages import HOST

End = Mend | EndStall | Restart | Crash


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an incident that a rule has caused."""

    end: End
    decision: int
    """Number of the decision at which it comes, where the rule counts decisions."""
    at_time: int
    """Virtual nanosecond at which it comes; 0: the rule counts decisions."""


class Striker:
    def __init__(self) -> None:
        self.planned: deque[tuple[Incident, FaultRule]] = deque()
        """The incidents that come next, each with its rule."""
        self.endings: list[Ending] = []
        """The ends of the incidents that have struck."""

    def plan(self, rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> None:
        """A rule strikes: at a message, or at its moment."""
        for incident in _PLANS[rule.kind](rule, fault, flight, message):
            self.planned.append((incident, rule))

    def next(self, flight: Flight, decisions: int) -> Incident | None:
        """The incident that comes now, or the end of one. One that cannot happen is left out; but a restart waits until
        its host is up. ``decisions``: the number so far."""
        for ending in self.endings:
            if flight.now >= ending.at_time if ending.at_time else decisions >= ending.decision:
                if flight.outages.allow(ending.end):
                    self.endings.remove(ending)
                    self._begin_again(ending.end, decisions)
                    return ending.end
                if not isinstance(ending.end, Restart):
                    self.endings.remove(ending)
                    break
        while self.planned:
            strike, rule = self.planned.popleft()
            if flight.outages.allow(strike):
                self._begin(strike, rule, flight, decisions)
                return strike
        return None

    def end(self, flight: Flight, ends: Sequence[End], timer_due: int | None) -> Decision | None:
        """One of ``ends``, or time advances to it. None: a timer runs out before."""
        until = {ending.end: ending.at_time for ending in self.endings}
        restarts = {end.service: end for end in until if isinstance(end, Restart)}
        ends = [restarts.get(end.service, end) if isinstance(end, Restart) else end for end in ends]
        end = min(ends, key=lambda end: until.get(end, 0))
        if timer_due is not None and timer_due <= until.get(end, 0):
            return None
        if (at := until.get(end, 0)) > flight.now:
            return Pass(at)
        self.endings = [ending for ending in self.endings if ending.end != end]
        self._begin_again(end, 0)
        return end

    def _begin(self, strike: Incident, rule: FaultRule, flight: Flight, decisions: int) -> None:
        end: End
        match strike:
            case Cut(session=session, to_host=to_host, fault=fault):
                end = Mend(session, to_host, fault)
            case Stall(service=service, fault=fault):
                end = EndStall(service, fault)
            case Crash(service=service, fault=fault):
                end = Restart(service, fault)
            case Shutdown(service=service, fault=fault):
                end = Crash(service, fault)
            case _:
                return
        by = rule.amount or FAULT_KINDS[rule.kind].usual
        self.endings.append(Ending(end, decisions + by, flight.now + rule.time if rule.time else 0))

    def _begin_again(self, end: End, decisions: int) -> None:
        """A service whose process ended because it was told to stop starts with the next decision."""
        if isinstance(end, Crash):
            self.endings.append(Ending(Restart(end.service, end.fault), decisions + 1, 0))


def _cut(rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> Iterator[Incident]:
    sender, arrow, receiver = rule.target.partition(">")
    session = receiver if sender == HOST else sender
    if not session and message is not None:
        session = message.session
    yield Cut(session, receiver == HOST if arrow else None, fault)


def _stall(rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> Iterator[Incident]:
    if rule.target or message is not None:
        receiver = flight.outages.service(message.session, message.to_host) if message is not None else ""
        yield Stall(rule.target or receiver, fault)


def _clock(rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> Iterator[Incident]:
    kvms = [rule.target] if rule.target else list(flight.outages.kvms) if message is None else [message.session]
    for kvm in kvms:
        yield SetClock(kvm, rule.rate, fault)


def _crash(rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> Iterator[Incident]:
    for stall in _stall(rule, fault, flight, message):
        if isinstance(stall, Stall):
            yield Crash(stall.service, fault)


def _shutdown(rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> Iterator[Incident]:
    for stall in _stall(rule, fault, flight, message):
        if isinstance(stall, Stall):
            yield Shutdown(stall.service, fault)


def _end(rule: FaultRule, fault: str, flight: Flight, message: InFlight | None) -> Iterator[Incident]:
    if rule.target:
        kind, name = rule.target.split()
        yield Kill(kind, name, fault)
    elif vcpu := getattr(message and message.body, "vcpu", ""):
        yield Kill("thread", vcpu, fault)


_PLANS: dict[str, Callable[[FaultRule, str, Flight, InFlight | None], Iterator[Incident]]] = {
    "cut": _cut,
    "stall": _stall,
    "clock": _clock,
    "crash": _crash,
    "shutdown": _shutdown,
    "end": _end,
}
"""The incidents that each kind of rule causes when it strikes."""
