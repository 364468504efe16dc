"""How a run carries out what happens to links, services and clocks (``client.schedule.incidents``)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec import UNSET

from client.drive.wire import Wire
from client.schedule.flight import Flight, InFlight
from client.schedule.incidents import Cut, EndStall, Mend, Outage, SetClock, Stall
from contract.control import Advance, KvmLoseLink, KvmMendLink, LoseLink, SetClockRate
from contract.errors import RefusedError
from contract.network import Fate
from contract.trace import AnyRecord, ClockSet, Continued, Delivery, LinkCut, LinkMended, Stalled

Ask = Callable[..., Any]


class Incidents:
    """``ask`` makes one call of the wire, and lets ``flight`` follow the effects of the services."""

    def __init__(self, wire: Wire, flight: Flight, ask: Ask) -> None:
        self.wire = wire
        self.flight = flight
        self.ask = ask
        self.lost: set[str] = set()
        """The session that has lost its link by itself, until it resumes."""

    def happened(self) -> Cut | Mend | None:
        """A loss of a link that two services have seen by themselves, as a decision, or the mend that follows it. None
        if there was none."""
        for session in self.wire.losses():
            cut = self.flight.outages.cut.get(session)
            if cut is None:
                self.lost.add(session)
                return Cut(session, None)
            if cut.to_host is not None:
                return Mend(session, cut.to_host, cut.fault)
            self._break(session)
        return Mend(self.lost.pop(), None) if self.lost else None

    def carry_out(self, incident: Outage) -> None:
        fault = incident.fault or UNSET
        match incident:
            case Cut(session=session, to_host=to_host):
                self._record(LinkCut(session, to_host, fault))
                self._lose(incident)
                if to_host is None:
                    self._break(session)
            case Mend(session=session, to_host=to_host):
                self._record(LinkMended(session, to_host, fault))
                if to_host is not None:
                    self._lose(Mend(session, None, incident.fault))
                    self._break(session)
                self._tell(self.wire.kvm, session, KvmMendLink())
            case Stall(service=service):
                self._record(Stalled(service, fault))
            case EndStall(service=service):
                self._record(Continued(service, fault))
                if service in self.flight.outages.hosts:
                    self._catch_up(self.flight.outages.hosts.index(service))
            case SetClock(service=service, rate=rate):
                self._record(ClockSet(service, rate, fault))
                self.ask(self.wire.kvm, service, SetClockRate(rate))

    def lose_what_was_sent(self) -> None:
        """Messages that an end sends into a link that is cut are lost."""
        for cut in list(self.flight.outages.cut.values()):
            self._lose(cut)

    def _catch_up(self, host: int) -> None:
        """The timers of perf that ran out while the host was stalled fire within a nanosecond."""
        until = self.flight.now + 1
        while self.flight.now < until:
            self.ask(self.wire.perf, Advance(until - self.flight.now), host)

    def _lose(self, cut: Cut | Mend) -> None:
        for message in self.flight.lost_on(cut):
            self._lose_one(message, cut.fault)

    def _lose_one(self, message: InFlight, fault: str) -> None:
        session, to_host, n = message.session, message.to_host, message.n
        if not self.ask(self.wire.decide, message.receiver, Fate.LOSE, session, n, fault):
            # It was lost with a link that two services have lost by themselves.
            self._record(Delivery(str(Fate.LOSE), session, to_host, n, message.message, fault or UNSET))

    def _break(self, session: str) -> None:
        """Both ends lose their link. An end that has no session loses nothing."""
        self._tell(self.wire.perf, LoseLink(session), self.flight.outages.kvms[session])
        self._tell(self.wire.kvm, session, KvmLoseLink())

    def _tell(self, *call: Any) -> None:
        with suppress(RefusedError):
            self.ask(*call)

    def _record(self, record: AnyRecord) -> None:
        self.wire.log.add(record)
        self.flight.follow([record])
