"""The trace: an ordered list of typed records, the only thing that checkers and reports read.

``seq`` counts records from 1 without gaps over both services; ``time`` is virtual nanoseconds. Values of
registers are unsigned 64-bit integers. ``cpu`` is the lane a record belongs to.
"""

from __future__ import annotations

import msgspec

from contract.control import KvmView, PerfView
from contract.messages import AnyMessage, LbrImage


def _kebab(name: str) -> str:
    return "".join("-" + c.lower() if c.isupper() else c for c in name).lstrip("-")


class Record(msgspec.Struct, kw_only=True, tag_field="kind", tag=_kebab):
    """Base of all records."""

    seq: int = 0
    time: int = 0


def kind_of(record: type[Record]) -> str:
    """The name of a type of record in a trace, such as ``vm-entry``."""
    return str(record.__struct_config__.tag)


# Driver --------------------------------------------------------------------------------------------------


class Setup(Record):
    """What is being run. ``axes``: the design's point on each axis. ``actors`` resolves the actor number inside branch
    addresses (``contract.provenance``). ``cpus``: of all hosts together. ``hosts``: how many of them each host has, in
    their order (empty: one host has all). ``kvms``: KVM session to the number of its host."""

    scenario: str
    design: str
    axes: dict[str, str]
    lbr: str
    depth: int
    cpus: int
    actors: list[str]
    vcpus: list[str]
    hosts: list[int] = []
    kvms: dict[str, int] = msgspec.field(default_factory=lambda: {"kvm0": 0})


class Statement(Record):
    """Thread ``thread`` of the schedule begins this statement of ``actor``, on this ``line`` of the scenario as the run
    file has it (0: it has none)."""

    thread: str
    actor: str
    text: str
    line: int


class Outcome(Record):
    """A register got its value: a number, a word such as ``#GP``, or a small table of fields."""

    actor: str
    register: str
    value: int | str | dict[str, int | str]


class End(Record):
    """Nothing more can happen. ``unfinished``: threads that still had statements, with what they wait for."""

    unfinished: dict[str, str]


class Rest(Record):
    """All views once nothing is in flight: of the hosts, ``others`` beside the first, and of the KVMs in the order of
    ``Setup.kvms``."""

    host: PerfView
    kvm: list[KvmView]
    others: list[PerfView] = []

    @property
    def hosts(self) -> list[PerfView]:
        return [self.host, *self.others]


# Contract ------------------------------------------------------------------------------------------------


class Send(Record):
    """``clock``: the logical clock, which is this record's number. ``order``: as in Envelope; a message that is sent
    again keeps it."""

    session: str
    to_host: bool
    epoch: int
    n: int
    clock: int
    body: AnyMessage
    order: int = 0


class Delivery(Record):
    """The receiver's inbox: message ``n`` was taken (``take``, ``overtake``: before older ones, ``double``: and stays)
    or lost (``drop``)."""

    how: str
    session: str
    to_host: bool
    n: int
    message: str


class Discard(Record):
    """The receiver took message ``n`` and threw it away by contract rule ``rule``."""

    session: str
    to_host: bool
    n: int
    message: str
    rule: str
    why: str


class Timer(Record):
    """An end of a session (``to_host``: KVM's, else the host's) wants to act at ``due`` nanoseconds; -1: no more.

    ``what``: ``resend`` (messages not acknowledged yet), ``renew`` (leases), ``lease`` (the host's wait for an Ack is
    over). ``awaited``: somebody waits for it, so that it fires even where nothing else would happen."""

    session: str
    to_host: bool
    what: str
    due: int
    awaited: bool


class SessionChange(Record):
    """An end of a session (``to_host``: KVM's, else the host's) is now ``new`` and was ``old`` before: phases of
    ``contract.session``. Greeting and opening are not here, the messages that do it are on record."""

    session: str
    to_host: bool
    epoch: int
    old: str
    new: str
    why: str


class TaskExit(Record):
    """A host task is no more. ``cpu``: where it ran, -1 if it did not."""

    task: str
    cpu: int


# Silicon -------------------------------------------------------------------------------------------------


class Switch(Record):
    cpu: int
    prev: str
    next: str


class Retired(Record):
    """``count`` branches of ``actor`` from serial ``first``. ``recorded``: they passed DEBUGCTL.LBR and LBR_SELECT."""

    cpu: int
    actor: int
    guest: bool
    branch: str
    privilege: str
    first: int
    count: int
    recorded: bool


class VmEntry(Record):
    """``debugctl``: loaded for the guest; ``host_debugctl``: what the register held just before. ``switched``: the
    host's LBR was put aside whole, the guest has one to itself until the exit."""

    cpu: int
    vcpu: str
    debugctl: int
    passthrough: bool
    host_debugctl: int
    switched: bool = False


class VmEntryRefused(Record):
    cpu: int
    vcpu: str
    reason: str


class VmExit(Record):
    """``debugctl``: the host's register after the exit and what KVM's first instructions wrote back. ``frozen``: an
    overflow of a host counter cleared the guest's DEBUGCTL.LBR before the exit saved it."""

    cpu: int
    vcpu: str
    reason: str
    debugctl: int
    msr: int = 0
    write: bool = False
    frozen: bool = False


class GuestMsr(Record):
    """A passed-through access, executed by the guest on the hardware."""

    cpu: int
    vcpu: str
    write: bool
    msr: int
    value: int
    fault: bool


class HostMsr(Record):
    """An access by host software: ``by`` is perf or kvm; ``on_behalf`` the vCPU it is emulated for, if any."""

    cpu: int
    by: str
    write: bool
    msr: int
    value: int
    fault: bool = False
    on_behalf: str = ""


class Pmi(Record):
    """Counters of ``events`` overflowed. ``frozen``: the LBR stands still while the handler runs. ``count`` branches of
    the handler, from serial ``first``, are ``recorded`` if it does not and is on."""

    cpu: int
    events: list[str]
    frozen: bool
    first: int
    count: int
    recorded: bool


class Throttle(Record):
    """An event that overflowed too often does so no more until the next jiffy (``on``), or may again."""

    event: int
    name: str
    cpu: int
    on: bool


class LbrReset(Record):
    """FROM, TO and INFO are zero now; with ``select`` LBR_SELECT too."""

    cpu: int
    why: str
    select: bool


class LbrSave(Record):
    """The ring was read for ``owner``: ``valid`` entries kept, newest first."""

    cpu: int
    by: str
    owner: str
    valid: int


class LbrRestore(Record):
    """``image`` was written into the ring for ``owner``; ``select``: LBR_SELECT too."""

    cpu: int
    by: str
    owner: str
    image: LbrImage
    select: bool


# Host perf core ------------------------------------------------------------------------------------------


class EventOpen(Record):
    """``guest``: the vCPU a guest event stands for, else "". ``select``: LBR_SELECT it programs; -1: no branch
    stack. ``counter``: it needs a counter. ``exclusive``: it, or its leader. ``counts_for``: the vCPU for whose counter
    it counts, else ""."""

    event: int
    name: str
    guest: str
    cpu: int
    task: str
    pinned: bool
    state: str
    select: int
    branch: list[str]
    privilege: list[str]
    leader: str
    counter: bool = False
    exclusive: bool = False
    counts_for: str = ""


class EventFailed(Record):
    """An open gave an errno. ``holder``: whom it was refused for, "" where it was not for another's sake; ``lbr``: it
    asked for branches. The rest is as in EventOpen."""

    name: str
    errno: str
    cpu: int = -1
    task: str = ""
    pinned: bool = False
    lbr: bool = False
    guest: str = ""
    holder: str = ""


class HostWait(Record):
    """Whoever opened or enabled ``name`` sleeps until KVM has acknowledged the end of ``grants``."""

    name: str
    grants: list[int]


class HostWake(Record):
    """``why``: acknowledged, or the lease is over."""

    name: str
    why: str


class EventChange(Record):
    """``why``: what a pinned event that went to ERROR found no room for, "" otherwise."""

    event: int
    name: str
    old: str
    new: str
    cpu: int
    why: str = ""


class EventWaits(Record):
    """Perf tried to put the group of leader ``event``, which asks for the LBR, on a CPU again, and found no room for
    another reason than before: ``why``, "" for none. Its state is as it was."""

    event: int
    name: str
    why: str


class EventClose(Record):
    event: int
    name: str


class HostLbr(Record):
    """Perf turned the LBR on or off for the host's events on this CPU (``intel_pmu_lbr_enable_all`` /
    ``disable_all``)."""

    cpu: int
    on: bool
    debugctl: int
    select: int


class SampleTaken(Record):
    """The branch stack of a sample, newest first. ``shut_out``: perf did not read the LBR, the entries are what it read
    last."""

    event: int
    name: str
    cpu: int
    from_ip: list[int]
    to_ip: list[int]
    shut_out: bool
    overflow: bool = False


# KVM -----------------------------------------------------------------------------------------------------


class VcpuLoad(Record):
    vcpu: str
    cpu: int


class VcpuPut(Record):
    vcpu: str
    cpu: int


class UserExit(Record):
    """KVM_RUN returns to user space with ``reason``; the thread stays on its CPU, outside the kernel's run loop."""

    vcpu: str
    cpu: int
    reason: str


class UserReturn(Record):
    """User space calls KVM_RUN again: ``vcpu_load`` on the same CPU, with no switch in between."""

    vcpu: str
    cpu: int


class VcpuWait(Record):
    """The vCPU thread sleeps until ``message`` comes."""

    vcpu: str
    message: str


class VcpuWake(Record):
    vcpu: str


class Access(Record):
    """An intercepted access as the guest sees it. ``result``: ``done``, ``zero`` (read as 0), ``dropped`` (write
    ignored), ``gp``. ``denied``: because the guest may not use the LBR now, not because the access is wrong. ``value``
    of a write is what was stored, ``asked`` what the guest wrote."""

    vcpu: str
    cpu: int
    write: bool
    msr: int
    value: int
    result: str
    denied: bool = False
    asked: int = 0


class UserMsr(Record):
    """KVM_SET_MSRS or, ``read``, KVM_GET_MSRS: ``value`` is what the register holds now. ``taken`` false: KVM processed
    0 MSRs. ``task``: the thread that made the ioctl, "" for the vCPU's own. ``reached``: an LBR MSR was touched."""

    vcpu: str
    msr: int
    value: int
    taken: bool
    read: bool = False
    task: str = ""
    reached: bool = False


class VcpuMoved(Record):
    """User space ``saved`` or ``loaded`` a vCPU, to migrate it. ``lbr``: with its LBR."""

    vcpu: str
    what: str
    debugctl: int
    lbr: bool


class PassthroughSet(Record):
    vcpu: str
    on: bool
    why: str


class GuestEvent(Record):
    """KVM's end of the vCPU's event: ``created``, ``failed``, ``released``."""

    vcpu: str
    event: int
    what: str
    why: str = ""


class CounterEvent(Record):
    """KVM's end of the host event that counts for the guest's counter ``counter``: ``created``, ``failed``, ``paused``,
    ``resumed``, ``released``."""

    vcpu: str
    counter: int
    event: int
    what: str
    why: str = ""


class GuestPmi(Record):
    """A PMI goes into the guest with the next entry, unless its LVTPC is ``masked``. ``status``: its
    PERF_GLOBAL_STATUS. ``frozen``: KVM cleared its DEBUGCTL.LBR (FREEZE_LBRS_ON_PMI)."""

    vcpu: str
    cpu: int
    status: int
    frozen: bool
    masked: bool = False


class ClaimChange(Record):
    """What KVM believes of the guest's right to the LBR (``kvm_svc.hypervisor.claim``)."""

    vcpu: str
    old: str
    new: str
    why: str


class VcpuReset(Record):
    vcpu: str


class CpuidSet(Record):
    """KVM_SET_CPUID2 of all vCPUs of the VM ``vm``, and the CPUID that user space gives it. ``lbr``: the guest has an
    LBR afterwards. ``errno`` not empty: rejected, and nothing changed."""

    vm: str
    pmu: int
    counters: int
    fixed: int
    pdcm: bool
    model: str
    lbr: bool
    errno: str = ""


class Granted(Record):
    """KVM now holds ``grant`` (0: none) for this vCPU."""

    vcpu: str
    grant: int
    why: str


class Warn(Record):
    """What KVM would print in the kernel log."""

    vcpu: str
    text: str


AnyRecord = (
    Setup | Statement | Outcome | End | Rest
    | Send | Delivery | Discard | Timer | SessionChange
    | TaskExit
    | Switch | Retired | VmEntry | VmEntryRefused | VmExit | GuestMsr | HostMsr | Pmi | Throttle
    | LbrReset | LbrSave | LbrRestore
    | EventOpen | EventFailed | EventChange | EventWaits | EventClose | HostWait | HostWake | HostLbr | SampleTaken
    | VcpuLoad | VcpuPut | UserExit | UserReturn | VcpuWait | VcpuWake | Access | UserMsr | VcpuMoved
    | PassthroughSet | GuestEvent | CounterEvent | GuestPmi | ClaimChange | VcpuReset | CpuidSet | Granted | Warn
)  # fmt: skip

_encoder = msgspec.json.Encoder()


class Recorder:
    """The trace of a run as it grows. ``clock`` is the run's logical clock: the number of the newest record. It rides
    on every command and request, so that records of all services form one order. ``now``: virtual nanoseconds, as far
    as whoever keeps this trace knows."""

    __slots__ = ("clock", "now", "records")

    def __init__(self) -> None:
        self.clock = 0
        self.now = 0
        self.records: list[AnyRecord] = []

    def add(self, record: AnyRecord) -> None:
        """Append a record of now."""
        record.time = self.now
        self._append(record)

    def write(self, effects: list[AnyRecord], now: int) -> None:
        """Append what a step did, which ended at ``now``."""
        for effect in effects:
            self._append(effect)
        self.now = max(self.now, now)

    def _append(self, record: AnyRecord) -> None:
        self.clock += 1
        record.seq = self.clock
        if isinstance(record, Send):
            record.clock = self.clock
        self.records.append(record)

    def witness(self, clock: int, now: int) -> None:
        """Take over a clock that arrived with a command or request."""
        self.clock = max(self.clock, clock)
        self.now = max(self.now, now)


def canonical(records: list[AnyRecord]) -> bytes:
    """The trace as bytes, a JSON document a line: what two wires must agree on."""
    return b"\n".join(_encoder.encode(r) for r in records)
