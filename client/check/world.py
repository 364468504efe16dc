"""The world at each record of a trace: CPUs with their LBR, events, messages, vCPUs.

All monitors share one world. It takes in a record before they see the record.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import ClassVar

from client.check.automaton import Automaton, Evidence
from client.check.traced import Entry, TracedCpu, TracedEvent, of_host, opened
from contract.canonical import Grant, Scoped, addresses, marked
from contract.lbr_ring import LbrRing
from contract.network import UNMOVED, UNTAKEN
from contract.provenance import branch_base, executed_by
from contract.spec import CPUS_LIMIT, cpu_owners, host_of_event
from contract.trace import (
    AnyRecord,
    Crash,
    Delivery,
    EventChange,
    EventClose,
    EventOpen,
    EventWaits,
    GuestMsr,
    HostLbr,
    HostMsr,
    LbrReset,
    LbrRestore,
    Pmi,
    Rest,
    Retired,
    Send,
    Setup,
    Switch,
    UserMsr,
    VmEntry,
    VmExit,
)
from contract.x86 import DEBUGCTL_LBR, MSR_LBR_SELECT, LbrModel, is_lbr_msr, lbr_model, lbr_ranges


class World(Automaton):
    __slots__ = (
        "actor_numbers", "actors", "address_msrs", "at_rest", "axes", "cpus", "delivered", "events", "hosts",
        "in_flight", "kvms", "lbr_msrs", "model", "tos_before", "vcpus", "vms", "written",
    )  # fmt: skip
    _OF_SETUP = "given by Setup"
    CONFIGURATION: ClassVar = Automaton.CONFIGURATION | {
        "actor_numbers": _OF_SETUP,
        "actors": _OF_SETUP,
        "address_msrs": _OF_SETUP,
        "axes": _OF_SETUP,
        "hosts": _OF_SETUP,
        "kvms": _OF_SETUP,
        "lbr_msrs": _OF_SETUP,
        "model": _OF_SETUP,
        "vcpus": _OF_SETUP,
        "vms": _OF_SETUP,
        "delivered": "read only while a Delivery is handled",
        "tos_before": "read only while a Retired is handled",
    }

    model: LbrModel
    """The LBR generation."""
    lbr_msrs: frozenset[int]
    """The MSRs that KVM takes for the LBR (``is_lbr_msr``)."""
    address_msrs: frozenset[int]
    """FROM and TO registers."""
    actors: list[str]
    """Name by actor number, "" for the idle task."""
    actor_numbers: dict[str, int]
    """Actor number by name."""
    vms: list[str]
    """The VM of each actor by number; for a task that is not a vCPU, the task itself."""
    axes: dict[str, str]
    """The design's point on each axis."""
    vcpus: list[str]
    """Names of the vCPUs."""
    hosts: list[int]
    """The host of each CPU."""
    kvms: dict[str, int]
    """Session to the number of its host."""
    cpus: list[TracedCpu]
    """The CPUs, by number."""
    events: dict[int, TracedEvent]
    """Open events by number, in the order in which they were opened."""
    in_flight: dict[tuple[str, bool, int], tuple[Send, ...]]
    """Session, direction and number of each message that is sent and not yet taken, to the message; oldest first,
    because each epoch numbers its messages from 1."""
    written: dict[str, frozenset[int]]
    """Vcpu to the values that it or its user space wrote into the LBR, without the branches that it executed itself."""
    at_rest: bool
    """Nothing is in flight and nothing more can happen by itself; a trace ends with this."""
    delivered: Send | None
    """The message that the current record, a Delivery, is about; None if the receiver does not get it."""
    tos_before: int
    """TOS before the branches of the current record, a Retired."""

    def __init__(self, setup: Setup, *, evidence: bool = True) -> None:
        self.evidence = Evidence() if evidence else None
        self.model = lbr_model(setup.lbr, setup.depth)
        self.lbr_msrs, self.address_msrs = _msrs(self.model)
        self.actors = setup.actors
        self.actor_numbers = {name: i for i, name in enumerate(setup.actors)}
        self.vms = [vm_of(name) for name in setup.actors]
        self.axes = setup.axes
        self.vcpus = setup.vcpus
        if not 1 <= setup.cpus <= CPUS_LIMIT:
            raise ValueError(f"cpus = {setup.cpus}, expected 1 to {CPUS_LIMIT}")
        hosts = setup.hosts or [setup.cpus]
        if sum(hosts) != setup.cpus or min(hosts) < 1:
            raise ValueError(f"cpus = {setup.cpus}, hosts of {hosts}")
        if not all(0 <= host < len(hosts) for host in setup.kvms.values()):
            raise ValueError(f"a KVM on a host that is none of {len(hosts)}")
        self.cpus = [TracedCpu(LbrRing(self.model)) for _ in range(setup.cpus)]
        self.hosts = cpu_owners(hosts, setup.cpus)
        self.kvms = setup.kvms
        self.events = {}
        self.in_flight = {}
        self.written = {}
        self.at_rest = False
        self.delivered = None
        self.tos_before = 0

    def clone(self) -> World:
        twin = object.__new__(World)
        twin.evidence = None if self.evidence is None else self.evidence.clone()
        twin.lbr_msrs, twin.address_msrs = self.lbr_msrs, self.address_msrs
        twin.model, twin.actors, twin.actor_numbers, twin.vms = self.model, self.actors, self.actor_numbers, self.vms
        twin.axes, twin.vcpus, twin.hosts, twin.kvms = self.axes, self.vcpus, self.hosts, self.kvms
        twin.cpus = [cpu.clone() for cpu in self.cpus]
        twin.events = {number: event.clone() for number, event in self.events.items()}
        for event in twin.events.values():
            if event.leader is not None:
                event.leader = twin.events[event.leader.opened.event]
        twin.in_flight = self.in_flight.copy()
        twin.written = self.written.copy()
        twin.at_rest = self.at_rest
        twin.delivered, twin.tos_before = None, 0
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """See ``contract.canonical``."""
        return (
            tuple([of_host(host, cpu.key()) for host, cpu in zip(self.hosts, self.cpus, strict=True)]),
            tuple([event.key() for event in self.events.values()]),
            frozenset([self._messages_key(at[0], there) for at, there in self.in_flight.items()]),
            frozenset([(vcpu, frozenset(addresses(values))) for vcpu, values in self.written.items()]),
            self.at_rest,
        )

    def _messages_key(self, session: str, there: tuple[Send, ...]) -> Scoped:
        return Scoped(f"host{self.kvms.get(session, 0)}", session, marked([sent.envelope for sent in there]))

    def apply(self, record: AnyRecord) -> None:
        """Take in a record. Raises LookupError or ValueError if it cannot follow the records before it."""
        handler = self.HANDLERS.get(type(record))
        if handler is not None:
            handler(self, record)

    def grant_key(self, session: str, grant: int) -> Scoped:
        """A grant of the host that this KVM is on."""
        return of_host(self.kvms[session], Grant(grant))

    # Questions monitors ask --------------------------------------------------------------------------------

    def guest_event(self, vcpu: str, cpu: int) -> TracedEvent | None:
        """The event that stands for this vCPU on the host of this CPU. If a release was lost there are several; then it
        is the newest."""
        host = self.hosts[cpu]
        for event in reversed(self.events.values()):
            if event.opened.guest == vcpu and event.opened.host == host:
                return event
        return None

    def opened_by(self, event: TracedEvent) -> int | None:
        """The record that opened the event; None without evidence."""
        return self.noted("opened", event.opened.event)

    def entered_by(self, cpu: int) -> int | None:
        """The record of the last VM entry on this CPU; None without evidence."""
        return self.noted("entry", cpu)

    @property
    def grants(self) -> bool:
        """Whether the design tells KVM of grants."""
        return self.axes["notifier"] != "none" or self.axes["entry-check"] == "fence"

    @property
    def own_lbr(self) -> bool:
        """Whether a guest in guest mode has an LBR of its own in this design, which no other use can change."""
        return self.axes["save"] == "vmx-transition"

    def cpus_of(self, r: Crash) -> list[int]:
        """The CPUs that lose their power in this crash; none if a KVM crashes."""
        return [cpu for cpu, host in enumerate(self.hosts) if host == r.host]

    def host_lbr_events(self, cpu: int) -> list[TracedEvent]:
        """Host LBR events ACTIVE on this CPU."""
        return [e for e in self.events.values() if e.cpu == cpu and e.state == "ACTIVE" and e.host_lbr]

    def owner(self, value: int) -> tuple[bool, int] | None:
        """The executor of the branch at this FROM or TO address, as (guest mode, actor)."""
        owner = executed_by(value)
        return None if owner is None or owner[1] >= len(self.actors) else owner

    def wrote(self, vcpu: str, value: int) -> bool:
        """Whether this vCPU or its user space wrote this value into the LBR, and did not execute the branch itself."""
        return value in self.written.get(vcpu, ())

    def same_vm(self, vcpu: str, owner: tuple[bool, int]) -> bool:
        guest, actor = owner
        return guest and self.vms[actor] == vm_of(vcpu)

    def who(self, value: int) -> str:
        """The origin of this LBR entry in words."""
        owner = self.owner(value)
        if owner is None:
            return "nobody's branch"
        guest, actor = owner[0], self.actors[owner[1]]
        if guest:
            return f"a branch of guest {actor}"
        return f"a host branch (of thread {actor})" if actor else "a host branch (of the idle task)"

    # Records ---------------------------------------------------------------------------------------------

    def _switch(self, r: Switch) -> None:
        self.cpus[r.cpu].task = r.next

    def _retired(self, r: Retired) -> None:
        self.tos_before = self.cpus[r.cpu].lbr.tos
        if r.recorded:
            self._record(r, r.actor, r.guest, r.branch, r.privilege)

    def _pmi(self, r: Pmi) -> None:
        if r.recorded:
            self._record(r, self.actor_numbers[self.cpus[r.cpu].task], False, "call", "kernel")

    def _record(self, r: Retired | Pmi, actor: int, guest: bool, branch: str, privilege: str) -> None:
        cpu = self.cpus[r.cpu]
        cpu.users |= {(guest, actor)}
        cpu.lbr.retire(branch_base(actor, guest, branch, privilege) + 2 * r.first, r.count, branch, privilege)

    def _entry(self, r: VmEntry) -> None:
        cpu = self.cpus[r.cpu]
        cpu.switched = r.switched
        cpu.entry = Entry(r.vcpu, r.debugctl, r.host_debugctl, r.passthrough, r.switched)
        self.note(r.seq, "entry", r.cpu)

    def _exit(self, r: VmExit) -> None:
        self.cpus[r.cpu].switched = False

    def _msr(self, r: GuestMsr | HostMsr) -> None:
        if r.write and not r.fault:
            self.cpus[r.cpu].lbr.put(r.msr, r.value)
            vcpu = r.vcpu if isinstance(r, GuestMsr) else r.on_behalf
            if vcpu:
                self._written(vcpu, r.value)

    def _user_msr(self, r: UserMsr) -> None:
        """If an entry switches the whole LBR, the value goes into the image that the entry loads, and no register is
        written now."""
        if r.touches_lbr and not r.read:
            self._written(r.vcpu, r.value)

    def _written(self, vcpu: str, value: int) -> None:
        if self.owner(value) != (True, self.actor_numbers.get(vcpu)):
            self.written[vcpu] = self.written.get(vcpu, frozenset()) | {value}

    def _reset(self, r: LbrReset) -> None:
        lbr = self.cpus[r.cpu].lbr
        lbr.reset()
        if r.select:
            lbr.select = 0

    def _restore(self, r: LbrRestore) -> None:
        cpu = self.cpus[r.cpu]
        cpu.lbr.load(r.image, r.select)
        cpu.users |= {owner for value in cpu.lbr.from_ip if value and (owner := self.owner(value)) is not None}

    def _host_lbr(self, r: HostLbr) -> None:
        cpu = self.cpus[r.cpu]
        cpu.host_on, cpu.lbr.select = r.enabled, r.select

    def _open(self, r: EventOpen) -> None:
        if r.event in self.events:
            raise ValueError(f"event {r.event} is open already")
        self.events[r.event] = TracedEvent(opened(r), r.state, leader=self._leader(r) if r.leader else None)
        self.note(r.seq, "opened", r.event)

    def _leader(self, r: EventOpen) -> TracedEvent | None:
        of_host = (e for e in reversed(self.events.values()) if e.opened.host == host_of_event(r.event))
        return next((e for e in of_host if e.opened.name == r.leader), None)

    def _change(self, r: EventChange) -> None:
        event = self.events[r.event]
        event.state, event.cpu, event.refused = r.new, r.cpu, r.reason

    def _waits(self, r: EventWaits) -> None:
        self.events[r.event].refused = r.reason

    def _close(self, r: EventClose) -> None:
        gone = self.events.pop(r.event, None)
        for event in self.events.values():
            if gone is not None and event.leader is gone:
                event.leader, event.alone = None, True

    def _send(self, r: Send) -> None:
        at = r.session, r.to_host, r.n
        self.in_flight[at] = (*self.in_flight.get(at, ()), r)

    def _delivery(self, r: Delivery) -> None:
        at = r.session, r.to_host, r.n
        there = self.in_flight.get(at, ())
        self.delivered = there[0] if there and r.fate not in UNTAKEN else None
        if r.fate not in UNMOVED:
            self.in_flight.pop(at, None)
            if len(there) > 1:
                self.in_flight[at] = there[1:]

    def _crash(self, r: Crash) -> None:
        """The messages on the links of the service are lost. A host without power has an empty ring, no task and no
        event on each of its CPUs."""
        self.in_flight = {at: there for at, there in self.in_flight.items() if at[0] not in r.sessions}
        for cpu in self.cpus_of(r):
            self.cpus[cpu] = TracedCpu(LbrRing(self.model))
        if r.host >= 0:
            self.events = {n: event for n, event in self.events.items() if event.opened.host != r.host}

    def _rest(self, r: Rest) -> None:
        self.at_rest = True

    HANDLERS: ClassVar = {
        Switch: _switch,
        Retired: _retired,
        Pmi: _pmi,
        VmEntry: _entry,
        VmExit: _exit,
        GuestMsr: _msr,
        HostMsr: _msr,
        UserMsr: _user_msr,
        LbrReset: _reset,
        LbrRestore: _restore,
        HostLbr: _host_lbr,
        EventOpen: _open,
        EventChange: _change,
        EventWaits: _waits,
        EventClose: _close,
        Send: _send,
        Delivery: _delivery,
        Crash: _crash,
        Rest: _rest,
    }


@lru_cache(maxsize=64)
def _msrs(model: LbrModel) -> tuple[frozenset[int], frozenset[int]]:
    """``lbr_msrs`` and ``address_msrs``."""
    ranges = [(MSR_LBR_SELECT, 1), *lbr_ranges(model)]
    msrs = [msr for first, count in ranges for msr in range(first, first + count)]
    addresses = [base + i for base in (model.from_base, model.to_base) for i in range(model.depth)]
    return frozenset([msr for msr in msrs if is_lbr_msr(model, msr)]), frozenset(addresses)


@lru_cache(maxsize=1024)
def vm_of(vcpu: str) -> str:
    return vcpu.split("/")[0]


def lbr_on(debugctl: int) -> bool:
    return bool(debugctl & DEBUGCTL_LBR)
