"""What a trace says about the world at each record: CPUs with their LBR, events, messages, vCPUs.

One world is shared by all monitors and is brought up to a record before they see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from contract.lbr_ring import LbrRing
from contract.messages import AnyMessage
from contract.provenance import SERIAL_LIMIT, branch_base, origin_of
from contract.reasons import NOT_THE_LBR
from contract.spec import CPUS_LIMIT, cpu_owners, host_of_event
from contract.trace import (
    AnyRecord,
    Delivery,
    EventChange,
    EventClose,
    EventFailed,
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
from contract.x86 import DEBUGCTL_LBR, LbrModel, lbr_model


@dataclass(slots=True)
class CpuView:
    """``host_on``: perf has the LBR on for host events. ``users``: whose branches were ever in this CPU's ring, as
    (guest mode, actor). ``switched``: the guest in guest mode has the whole LBR to itself. ``tos_before``: TOS before
    the last branches retired."""

    lbr: LbrRing
    task: str = ""
    guest: str = ""
    passthrough: bool = False
    switched: bool = False
    host_on: bool = False
    entry: VmEntry | None = None
    users: set[tuple[bool, int]] = field(default_factory=set)
    tos_before: int = 0


@dataclass(slots=True)
class EventView:
    """``leader``: that of its group, None if it is one itself. ``alone``: it was a sibling, and its leader has gone.
    ``refused``: what perf found no room for when it last tried to put it on."""

    opened: EventOpen
    state: str
    cpu: int = -1
    leader: EventView | None = None
    alone: bool = False
    refused: str = ""

    def wants(self, actor: str, branch: str, privilege: str) -> bool:
        """Whether the event asked for such a host-mode branch."""
        opened = self.opened
        in_scope = not opened.task or opened.task == actor
        return in_scope and branch in opened.branch and privilege in opened.privilege

    @property
    def host_lbr(self) -> bool:
        return not self.opened.guest and self.opened.select >= 0

    @property
    def keeps_guests_off(self) -> bool:
        """Whether this is a host event beside which no guest's has the LBR."""
        return self.host_lbr or (self.opened.exclusive and not self.alone and not self.opened.guest)

    @property
    def head(self) -> EventView:
        """The leader of its group."""
        return self.leader or self

    @property
    def pinned(self) -> bool:
        """A sibling whose leader is closed goes on as a flexible event (``perf_group_detach``)."""
        return self.opened.pinned and not self.alone

    @property
    def can_be_on(self) -> bool:
        """Whether it is on, or off for want of the LBR at most: enabled, with its leader (``__perf_effective_state``),
        and not lacking anything else."""
        enabled = all(event.state in ("ACTIVE", "INACTIVE") for event in (self, self.head))
        return enabled and (self.state == "ACTIVE" or self.head.refused not in NOT_THE_LBR)


class World:
    """``at_rest``: nothing is in flight and nothing more can happen by itself; a trace ends with this."""

    def __init__(self, setup: Setup) -> None:
        self.model: LbrModel = lbr_model(setup.lbr, setup.depth)
        self.actors = setup.actors
        self.actor_numbers = {name: i for i, name in enumerate(setup.actors)}
        self.axes = setup.axes
        self.vcpus = setup.vcpus
        if not 1 <= setup.cpus <= CPUS_LIMIT:
            raise ValueError(f"cpus = {setup.cpus}, expected 1 to {CPUS_LIMIT}")
        hosts = setup.hosts or [setup.cpus]
        if sum(hosts) != setup.cpus or min(hosts) < 1:
            raise ValueError(f"cpus = {setup.cpus}, hosts of {hosts}")
        if not all(0 <= host < len(hosts) for host in setup.kvms.values()):
            raise ValueError(f"a KVM on a host that is none of {len(hosts)}")
        self.cpus = [CpuView(LbrRing(self.model)) for _ in range(setup.cpus)]
        self.hosts = cpu_owners(hosts, setup.cpus)
        self.kvms = setup.kvms
        self.events: dict[int, EventView] = {}
        self.sent: dict[tuple[str, bool, int], AnyMessage] = {}
        self.in_flight: set[tuple[str, bool, int]] = set()
        self.written: dict[str, set[int]] = {}
        self.time = 0
        self.at_rest = False

    def apply(self, record: AnyRecord) -> None:
        """Raises ValueError or LookupError where the record cannot follow what came before."""
        if record.time < self.time:
            raise ValueError(f"time is {record.time} ns, {self.time} ns have passed already")
        self.time = record.time
        least = _LEAST_CPU.get(type(record))
        if least is not None and not least <= record.cpu < len(self.cpus):  # type: ignore[union-attr]
            raise ValueError(f"cpu = {record.cpu}, expected {least} to {len(self.cpus) - 1}")  # type: ignore[union-attr]
        handler = _APPLY.get(type(record))
        if handler is not None:
            handler(self, record)

    # Questions monitors ask --------------------------------------------------------------------------------

    def guest_event(self, vcpu: str, cpu: int) -> EventView | None:
        """The event that stands for this vCPU on the host of this CPU: the newest, where a release was lost."""
        of_vcpu = (e for e in reversed(self.events.values()) if e.opened.guest == vcpu)
        return next((e for e in of_vcpu if self.host_of(e) == self.hosts[cpu]), None)

    def host_of(self, event: EventView) -> int:
        return host_of_event(event.opened.event)

    @property
    def grants(self) -> bool:
        """Whether the design tells KVM of grants."""
        return self.axes["notifier"] != "none" or self.axes["entry-check"] == "fence"

    @property
    def own_lbr(self) -> bool:
        """Whether a guest in guest mode has an LBR that nobody else's use can touch, in this design."""
        return self.axes["save"] == "vmx-transition"

    def host_lbr_events(self, cpu: int) -> list[EventView]:
        """Host LBR events ACTIVE on this CPU."""
        return [e for e in self.events.values() if e.host_lbr and e.state == "ACTIVE" and e.cpu == cpu]

    def owner(self, value: int) -> tuple[bool, int] | None:
        """Who executed the branch at this FROM or TO address, as (guest mode, actor)."""
        origin = origin_of(value)
        return None if origin is None or origin.actor >= len(self.actors) else (origin.guest, origin.actor)

    def same_vm(self, vcpu: str, owner: tuple[bool, int]) -> bool:
        guest, actor = owner
        return guest and self.actors[actor].split("/")[0] == vcpu.split("/")[0]

    def who(self, value: int) -> str:
        """Whose record this is, in words."""
        owner = self.owner(value)
        if owner is None:
            return "nobody's branch"
        name = self.actors[owner[1]] or "the idle task"
        return f"a branch of guest {name}" if owner[0] else f"a host branch ({name})"

    # Records ---------------------------------------------------------------------------------------------

    def _switch(self, r: Switch) -> None:
        self.cpus[r.cpu].task = r.next

    def _retired(self, r: Retired) -> None:
        _check_burst(r)
        cpu = self.cpus[r.cpu]
        cpu.tos_before = cpu.lbr.tos
        if r.recorded:
            cpu.users.add((r.guest, r.actor))
            cpu.lbr.retire(
                branch_base(r.actor, r.guest, r.branch, r.privilege) + 2 * r.first, r.count, r.branch, r.privilege
            )

    def _pmi(self, r: Pmi) -> None:
        _check_burst(r)
        if r.recorded:
            cpu = self.cpus[r.cpu]
            actor = self.actor_numbers[cpu.task]
            cpu.users.add((False, actor))
            cpu.lbr.retire(branch_base(actor, False, "call", "kernel") + 2 * r.first, r.count, "call", "kernel")

    def _entry(self, r: VmEntry) -> None:
        cpu = self.cpus[r.cpu]
        cpu.guest, cpu.passthrough, cpu.switched, cpu.entry = r.vcpu, r.passthrough, r.switched, r

    def _exit(self, r: VmExit) -> None:
        self.cpus[r.cpu].guest = ""
        self.cpus[r.cpu].switched = False

    def _msr(self, r: GuestMsr | HostMsr) -> None:
        if r.write and not r.fault:
            self.cpus[r.cpu].lbr.put(r.msr, r.value)
            vcpu = r.vcpu if isinstance(r, GuestMsr) else r.on_behalf
            if vcpu:
                self._written(vcpu, r.value)

    def _user_msr(self, r: UserMsr) -> None:
        """Where an entry switches the whole LBR the value goes into the image that the entry loads: no register is
        written now."""
        if r.reached and not r.read:
            self._written(r.vcpu, r.value)

    def _written(self, vcpu: str, value: int) -> None:
        self.written.setdefault(vcpu, set()).add(value)

    def _reset(self, r: LbrReset) -> None:
        lbr = self.cpus[r.cpu].lbr
        lbr.reset()
        if r.select:
            lbr.select = 0

    def _restore(self, r: LbrRestore) -> None:
        cpu = self.cpus[r.cpu]
        cpu.lbr.load(r.image, r.select)
        cpu.users |= {owner for value in cpu.lbr.from_ip if (owner := self.owner(value)) is not None}

    def _host_lbr(self, r: HostLbr) -> None:
        cpu = self.cpus[r.cpu]
        cpu.host_on, cpu.lbr.select = r.on, r.select

    def _open(self, r: EventOpen) -> None:
        of_host = (e for e in reversed(self.events.values()) if host_of_event(e.opened.event) == host_of_event(r.event))
        leader = next((e for e in of_host if e.opened.name == r.leader), None) if r.leader else None
        self.events[r.event] = EventView(r, r.state, leader=leader)

    def _change(self, r: EventChange) -> None:
        event = self.events[r.event]
        event.state, event.cpu, event.refused = r.new, r.cpu, r.why

    def _waits(self, r: EventWaits) -> None:
        self.events[r.event].refused = r.why

    def _close(self, r: EventClose) -> None:
        gone = self.events.pop(r.event, None)
        for event in self.events.values():
            if gone is not None and event.leader is gone:
                event.leader, event.alone = None, True

    def _send(self, r: Send) -> None:
        self.sent[r.session, r.to_host, r.n] = r.body
        self.in_flight.add((r.session, r.to_host, r.n))

    def _delivery(self, r: Delivery) -> None:
        if r.how != "double":
            self.in_flight.discard((r.session, r.to_host, r.n))

    def _rest(self, r: Rest) -> None:
        self.at_rest = True


_APPLY: dict[type, Callable[[World, Any], None]] = {
    Switch: World._switch,
    Retired: World._retired,
    Pmi: World._pmi,
    VmEntry: World._entry,
    VmExit: World._exit,
    GuestMsr: World._msr,
    HostMsr: World._msr,
    UserMsr: World._user_msr,
    LbrReset: World._reset,
    LbrRestore: World._restore,
    HostLbr: World._host_lbr,
    EventOpen: World._open,
    EventChange: World._change,
    EventWaits: World._waits,
    EventClose: World._close,
    Send: World._send,
    Delivery: World._delivery,
    Rest: World._rest,
}


_NO_CPU = (EventChange, EventFailed, EventOpen)
"""Records that name no CPU where an event has none."""
_LEAST_CPU: dict[type, int] = {
    kind: -1 if kind in _NO_CPU else 0 for kind in get_args(AnyRecord) if "cpu" in kind.__struct_fields__
}


def _check_burst(r: Retired | Pmi) -> None:
    if r.count < 1 or not 0 <= r.first <= SERIAL_LIMIT - r.count:
        raise ValueError(f"{r.count} branches from serial {r.first}, serials are 0 to {SERIAL_LIMIT - 1}")


def lbr_on(debugctl: int) -> bool:
    return bool(debugctl & DEBUGCTL_LBR)
