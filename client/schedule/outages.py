"""The services and the links of a run: which are cut, stalled or gone, and which threads ended with them."""

from __future__ import annotations

from collections.abc import Hashable

from client.schedule.incidents import Crash, Cut, EndStall, Incident, Kill, Mend, Restart, SetClock, Shutdown, Stall
from contract import trace as t


class Outages:
    __slots__ = ("adrift", "cut", "down", "ended", "homeless", "hosts", "kvms", "lives", "stalled", "stopping", "vcpus")

    def __init__(self) -> None:
        self.hosts: tuple[str, ...] = ("perfcore",)
        """The names of the hosts. Configuration."""
        self.kvms: dict[str, int] = {}
        """Session to the number of its host. Configuration."""
        self.vcpus: list[str] = []
        """The names of all vCPUs. Configuration."""
        self.cut: dict[str, Cut] = {}
        """Session to the cut of its link, or of one way of it, that has not been mended."""
        self.stalled: dict[str, Stall] = {}
        """The services that are stalled."""
        self.stopping: dict[str, t.ShuttingDown] = {}
        """The services that were told to stop and are still there."""
        self.lives: dict[str, int] = {}
        """Service to the number of its life, where that is not the first."""
        self.down: set[str] = set()
        """Services that are gone: sessions, or names of hosts."""
        self.adrift: set[str] = set()
        """KVMs whose host was gone, until they have greeted it again."""
        self.homeless: dict[str, int] = {}
        """vCPU to the CPU of its thread, which ended with its KVM or host and is to run there again."""
        self.ended: set[str] = set()
        """vCPUs that have ended with their threads."""

    def clone(self) -> Outages:
        twin = Outages()
        twin.hosts, twin.kvms, twin.vcpus = self.hosts, self.kvms, self.vcpus
        twin.cut, twin.stalled, twin.lives = self.cut.copy(), self.stalled.copy(), self.lives.copy()
        twin.stopping = self.stopping.copy()
        twin.down, twin.adrift = self.down.copy(), self.adrift.copy()
        twin.homeless, twin.ended = self.homeless.copy(), self.ended.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        return (
            frozenset([(cut.session, cut.to_host) for cut in self.cut.values()]),
            frozenset(self.stalled),
            frozenset(self.stopping),
            frozenset(self.lives.items()),
            frozenset(self.down),
            frozenset(self.adrift),
            frozenset(self.homeless.items()),
            frozenset(self.ended),
        )

    def setup(self, record: t.Setup) -> None:
        self.hosts = ("perfcore", *(f"perfcore{i}" for i in range(1, len(record.hosts))))
        self.kvms, self.vcpus = record.kvms, record.vcpus

    def link_cut(self, record: t.LinkCut) -> None:
        self.cut[record.session] = Cut(record.session, record.to_host, record.fault or "")

    def link_mended(self, record: t.LinkMended) -> None:
        del self.cut[record.session]

    def service_stalled(self, record: t.Stalled) -> None:
        self.stalled[record.service] = Stall(record.service, record.fault or "")

    def service_continued(self, record: t.Continued) -> None:
        del self.stalled[record.service]

    def shutting_down(self, record: t.ShuttingDown) -> None:
        self.stopping[record.service] = record

    def crashed(self, record: t.Crash, cpus: dict[str, int]) -> None:
        """``cpus``: vCPU to the CPU on which its thread runs, of those that end with the service."""
        self.down.add(record.service)
        self.stalled.pop(record.service, None)
        self.stopping.pop(record.service, None)
        for session in record.sessions:
            self.cut.pop(session, None)
        self.homeless |= cpus
        if record.host < 0:
            self.ended.difference_update(record.vcpus)
        else:
            self.adrift.update(record.sessions)

    def restarted(self, record: t.Restart) -> None:
        self.down.discard(record.service)
        self.lives[record.service] = record.life

    def exited(self, record: t.TaskExit) -> None:
        """The thread of a vCPU whose service stops runs again, where it ran, in the service's next life."""
        stops = any(record.task in stop.vcpus for stop in self.stopping.values())
        if stops and record.cpu >= 0 and record.task not in self.ended:
            self.homeless[record.task] = record.cpu

    def killed(self, record: t.Killed) -> None:
        for vcpu in record.vcpus:
            self.ended.add(vcpu)
            self.homeless.pop(vcpu, None)

    def service(self, session: str, host: bool) -> str:
        """The name of one end of a session."""
        return self.hosts[self.kvms.get(session, 0)] if host else session

    def is_stalled(self, session: str, host: bool) -> bool:
        return self.service(session, host) in self.stalled

    def ends(self) -> list[Mend | EndStall | Crash]:
        """The decisions that end a cut, a stall, or the process of a service that was told to stop."""
        mends = [Mend(cut.session, cut.to_host, cut.fault) for cut in self.cut.values()]
        stalls = [EndStall(stall.service, stall.fault) for stall in self.stalled.values()]
        return [*mends, *stalls, *(Crash(one.service, one.fault or "") for one in self.stopping.values())]

    def restarts(self) -> list[Restart]:
        """The services that are down and can begin a new life: hosts, and KVMs of hosts that are up."""
        if not self.down:
            return []
        hosts = [host for host in self.hosts if host in self.down]
        kvms = [kvm for kvm in self.kvms if kvm in self.down and self.service(kvm, host=True) not in self.down]
        return [Restart(service) for service in [*hosts, *kvms]]

    def allow(self, incident: Incident) -> bool:
        """Whether an incident can happen now. A service can crash or stall while it is up, and a thread can end while
        all services are up."""
        match incident:
            case Crash(service=service):
                return self._is_up(service)
            case Restart(service=service):
                return Restart(service) in self.restarts()
            case Kill(kind=kind, name=name):
                left = [vcpu for vcpu in self.vcpus if vcpu not in self.ended]
                names = left if kind == "thread" else [vcpu.split("/")[0] for vcpu in left]
                return name in names and not self.down and not self.adrift
            case Cut(session=session):
                up = session in self.kvms and not self.down & {session, self.service(session, host=True)}
                return up and session not in self.cut and session not in self.adrift
            case Mend(session=session, to_host=to_host):
                return session in self.cut and self.cut[session].to_host == to_host
            case Stall(service=service):
                return self._is_up(service) and service not in self.stalled
            case Shutdown(service=service):
                return self._is_up(service) and service not in self.stalled and service not in self.stopping
            case EndStall(service=service):
                return service in self.stalled
            case SetClock(service=service):
                return service in self.kvms and service not in self.down

    def _is_up(self, service: str) -> bool:
        return service not in self.down and (service in self.hosts or service in self.kvms)
