"""The lanes of a picture: CPUs, host programs, both ends of each session, the wire between, vCPUs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from contract import trace as t
from contract.network import UNTAKEN
from contract.spec import cpu_owners, host_of_event

NO_LANE = -1


class Lane(msgspec.Struct, frozen=True):
    """``group``: cpu, program, perf, wire, kvm or vcpu; also the order of the lanes. ``host``: number of the host that
    it belongs to."""

    name: str
    group: str
    host: int


GROUPS = ("cpu", "program", "perf", "wire", "kvm", "vcpu")
_ON_CPU = (t.HostLbr, t.LbrReset, t.SampleTaken)
_AT_KVM = (t.ClaimChange, t.GuestEvent, t.CounterEvent, t.Granted, t.PassthroughSet, t.Warn, t.VcpuMoved, t.UserMsr)
_BY_GUEST = (t.VmEntry, t.VmEntryRefused, t.VmExit, t.GuestMsr)
_AT_AN_END = (t.Timer, t.SessionChange, t.WindowChange, t.PeerSilent)


class Lanes:
    """The lanes of one trace, and the lane of each record. ``homes``: VM to the KVM session that it begins at.

    Records are given in order: a vCPU that migrates belongs to the session that registered it last."""

    def __init__(self, setup: t.Setup, homes: Mapping[str, str]) -> None:
        self._hosts = cpu_owners(setup.hosts or [setup.cpus], setup.cpus)
        self._kvms = setup.kvms
        self._actors = setup.actors
        self._vcpus = set(setup.vcpus)
        self._session = {vcpu: homes.get(vcpu.split("/")[0], next(iter(setup.kvms))) for vcpu in setup.vcpus}
        self._speaker = 0
        self._cpu = 0
        count = max(self._hosts, default=0) + 1
        found = [Lane(f"cpu{cpu}", "cpu", host) for cpu, host in enumerate(self._hosts)]
        found += [Lane(_end("perf", host), "perf", host) for host in range(count)]
        found += [Lane(f"wire {name}" if len(setup.kvms) > 1 else "wire", "wire", h) for name, h in setup.kvms.items()]
        found += [Lane(name, "kvm", host) for name, host in setup.kvms.items()]
        found += [Lane(vcpu, "vcpu", setup.kvms.get(self._session[vcpu], 0)) for vcpu in setup.vcpus]
        self._wire = {name: f"wire {name}" if len(setup.kvms) > 1 else "wire" for name in setup.kvms}
        self._found = {lane.name: lane for lane in found}

    def host_of(self, name: str) -> int:
        """The number of the host of a lane."""
        return self._found[name].host

    def of_service(self, service: str) -> str:
        """The lane of a service: a KVM, or the perf of a host."""
        return service if service in self._kvms else _end("perf", int(service.removeprefix("perfcore") or 0))

    def wire_of(self, session: str) -> str:
        """The lane of a session's link."""
        return self._wire[session]

    def session_of(self, vcpu: str) -> str:
        """The KVM session that the vCPU is at."""
        return self._session[vcpu]

    def name_of(self, record: t.AnyRecord) -> str:
        """The lane of the record; "" for a record of the whole run."""
        name = self._name(record)
        if name and name not in self._found:
            self._found[name] = Lane(name, "program", self._speaker)
        return name

    def _name(self, r: t.AnyRecord) -> str:
        if isinstance(r, t.CpuidSet):
            return self._session.get(f"{r.vm}/0", "")
        cpu, vcpu, session = r.lane, _field(r, "vcpu"), _field(r, "session")
        if isinstance(r, t.Statement | t.Outcome):
            return self._program(r.actor)
        if isinstance(r, t.Crash | t.Restart | t.Stalled | t.Continued | t.ShuttingDown | t.ClockSet):
            return self.of_service(r.service)
        if isinstance(r, t.LinkCut | t.LinkMended):
            return self.wire_of(r.session)
        if isinstance(r, t.Killed):
            return r.vcpus[0]
        if isinstance(r, t.Send):
            if type(r.body).__name__ == "RegisterVcpu":
                self._session[getattr(r.body, "vcpu", "")] = r.session
            return self._of_end(r.session, at_kvm=r.to_host)
        if isinstance(r, t.Delivery):
            return self._wire.get(r.session, "") if r.fate in UNTAKEN else self._of_end(r.session, at_kvm=not r.to_host)
        if isinstance(r, t.Discard):
            return self._of_end(r.session, at_kvm=not r.to_host)
        if isinstance(r, _AT_AN_END) or (session in self._kvms and hasattr(r, "to_host")):
            return self._of_end(session, at_kvm=bool(_field(r, "to_host")))
        if isinstance(r, t.Retired):
            self._cpu = r.cpu
            return self._actors[r.actor] if r.guest else f"cpu{r.cpu}"
        if isinstance(r, _AT_KVM) and vcpu in self._session:
            return self._session[vcpu]
        if isinstance(r, _BY_GUEST) or (r.source == "kvm" and vcpu in self._vcpus):
            return str(vcpu)
        if r.source == "perf" and not isinstance(r, _ON_CPU):
            return _end("perf", self._host_of(r))
        if 0 <= cpu < len(self._hosts):
            return f"cpu{cpu}"
        return session if session in self._kvms else ""

    def _program(self, actor: str) -> str:
        if actor.startswith("host") and actor[4:].isdigit():
            self._speaker = min(int(actor[4:]), max(self._hosts, default=0))
        elif actor == "host":
            self._speaker = 0
        return actor

    def _host_of(self, r: t.AnyRecord) -> int:
        event = getattr(r, "event", 0)
        if event:
            return min(host_of_event(event), max(self._hosts, default=0))
        return self._hosts[r.lane] if 0 <= r.lane < len(self._hosts) else self._speaker

    def _of_end(self, session: str, *, at_kvm: bool) -> str:
        return session if at_kvm else _end("perf", self._kvms.get(session, 0))

    def found(self) -> list[Lane]:
        """All lanes, in the order in which they stand side by side."""
        return sorted(self._found.values(), key=lambda lane: (GROUPS.index(lane.group), lane.host))


def _field(record: object, name: str) -> str:
    """ "" if the record has no such field. (On the union of all records, mypy takes seconds for a getattr.)"""
    value: str = getattr(record, name, "")
    return value


def _end(name: str, host: int) -> str:
    return f"{name}{host}" if host else name


def numbers(lanes: Iterable[Lane]) -> dict[str, int]:
    """Name of a lane to its place."""
    return {lane.name: number for number, lane in enumerate(lanes)}
