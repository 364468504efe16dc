"""A litmus scenario as data: what the parser builds, the printer prints and the driver plays.

Values are plain; ``validate`` in ``client.litmus.validate`` says what makes a scenario playable.
"""

from __future__ import annotations

import errno
from typing import TypeGuard

import msgspec
from msgspec.structs import astuple, replace

from contract.control import MachineSpec, VmSpec

GENERAL = "general"
"""The event that any general counter can count."""


DEPTH = "lbr_depth"
"""How many entries the machine's LBR has, among the operands of an expression."""
FAULT = "#GP"
"""What a register holds after an access that faulted."""
DIVISION = "#DE"
"""What a register holds after a division by zero."""
DONE = "ok"
"""The word in a register after a call that succeeded and has no value of its own."""
SKIPPED = "skipped"
"""The word in a register that no statement has set, or whose statement could not be carried out."""
ERRNOS = tuple(name for name in dir(errno) if name.startswith("E"))
ANSWERS = frozenset({FAULT, DIVISION, DONE, SKIPPED, *ERRNOS})
"""The words that a program can compare a register with; none of them can name one."""


class Arith(msgspec.Struct, tag=True, frozen=True):
    """``left op right`` on unsigned 64-bit numbers, op one of + - * % & | ^ << >>. Shifts of 64 and more give
    0, % 0 gives ``#DE``."""

    op: str
    left: Operand
    right: Operand


class Inverse(msgspec.Struct, tag=True, frozen=True):
    """``~arg``"""

    arg: Operand


Operand = int | str | Arith | Inverse
"""A number, the name of a register of the same actor or ``lbr_depth``, or what is computed from such. What is made only
of numbers is a number. With a register that holds a word (``#GP``, ``skipped``) the result is that word."""


class Test(msgspec.Struct, tag=True, frozen=True):
    """``left op right``, op one of = != < <= > >=. ``right`` may be a word of ``ANSWERS`` (``#GP``, ``ok``), op then
    = or !=. Where it is none, both sides must come to numbers when the program gets there."""

    left: Operand
    op: str
    right: Operand


def is_answer(operand: Operand) -> TypeGuard[str]:
    """Whether the right side of a Test is a word of ``ANSWERS``."""
    return isinstance(operand, str) and operand in ANSWERS


class AllOf(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Condition, ...]


class AnyOf(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Condition, ...]


Condition = Test | AllOf | AnyOf


class MsrRef(msgspec.Struct, frozen=True):
    """An MSR by name (``LBR_TOS``, ``LBR_FROM``, ``IA32_DEBUGCTL`` ...) or number (``0x1c9``). ``index`` picks
    one of FROM, TO, INFO, counted around the ring. Without a name ``index`` is the address, of which the low 32 bits
    count (as ECX does): ``rdmsr 0x680 + r1``."""

    name: str
    index: Operand | None = None


class HostSpec(msgspec.Struct, frozen=True):
    """``machine dest { cpus = 1; }``: another host beside the first. It has the first one's LBR."""

    name: str
    machine: MachineSpec


class KvmSpec(msgspec.Struct, frozen=True):
    """``kvm kvm1;`` ``kvm kvm1 on dest;``: one more KVM service beside kvm0, on the first host ("") or another."""

    name: str
    host: str = ""


FIRST_KVM = "kvm0"
"""The KVM service that every first host has."""


CPUID = ("pmu", "counters", "fixed", "pdcm", "model")
"""Settings of a VM that KVM_SET_CPUID2 can change."""


class Stmt(msgspec.Struct, tag_field="stmt", tag=True, frozen=True):
    """Base of statements. ``register``, where a statement has one, receives its result ("" drops it)."""


# Host ----------------------------------------------------------------------------------------------------


class RunOn(Stmt, frozen=True):
    """``run vm0/0 on cpu0;`` and, with an empty task, ``idle cpu0;``"""

    task: str
    cpu: int


class OpenEvent(Stmt, frozen=True):
    """``h0 = open cpu0 pinned branch any user;`` / ``h1 = open task t0 on cpu1 flexible disabled counter cycles;``

    ``cpu`` -1 and a task: follows the task. ``branch`` empty: ``counter``. ``privilege``: user, kernel or both.

    ``group``, ``in g0``: the event joins the group of ``g0``, which the same actor opened. CPU and task are written out
    like any event's; where they differ from the leader's, or where the sibling is said ``pinned`` or ``exclusive``, the
    kernel answers EINVAL. ``exclusive``: the group is on alone or not at all.

    ``config``, ``counter cycles`` or ``branch any counting cycles``: what is counted. ``general``, which is what is
    counted when nothing is said, takes a general counter; instructions, cycles and ref-cycles may take their fixed one;
    the tracers bts and pt take none and go with no branch filter. ``period 100``: an overflow, and a sample, every 100
    branches (0: none).

    ``exclude_host``, ``exclude_guest``, ``exclude_user``, ``exclude_kernel``: what is not counted. A branch filter
    without a level has those that are not excluded.

    In a loop the register names the event that was opened last; the earlier ones stay as they are.

    The register ends as two fields: ``.state``, ACTIVE, INACTIVE, OFF, ERROR or CLOSED, or the errno of an open that
    failed; ``.samples``, how many samples overflows took."""

    register: str
    cpu: int = -1
    task: str = ""
    pinned: bool = False
    branch: tuple[str, ...] = ()
    privilege: tuple[str, ...] = ("user", "kernel")
    disabled: bool = False
    group: str = ""
    exclusive: bool = False
    config: str = GENERAL
    exclude_guest: bool = False
    period: int = 0
    exclude_host: bool = False
    exclude_user: bool = False
    exclude_kernel: bool = False

    @property
    def usual_privilege(self) -> tuple[str, ...]:
        """The levels of an event that names none."""
        excluded = {"user": self.exclude_user, "kernel": self.exclude_kernel}
        return tuple(level for level in excluded if not excluded[level])


class EventOp(Stmt, frozen=True):
    """``enable h0;`` ``disable h0;`` ``close h0;`` / ``enable h0 group;`` ``disable h0 group;``

    ``group``: the event and its siblings one by one (``PERF_IOC_FLAG_GROUP``)."""

    op: str
    event: str
    group: bool = False


class ReadEvent(Stmt, frozen=True):
    """``n0 = read h0;``: ``.count``, and ``.enabled`` and ``.running`` in nanoseconds; the word ``EOF`` in ERROR, and
    an errno if there is no such event. A field of a register that holds a word is that word."""

    register: str
    event: str


class SampleEvent(Stmt, frozen=True):
    """``s0 = sample h0;``"""

    register: str
    event: str


class StateOf(Stmt, frozen=True):
    """``e0 = state h0;`` ``g0 = state vm0/0;``: the state that an event is in now, or the event that stands for a vCPU
    (``none`` where there is none)."""

    register: str
    event: str = ""
    vcpu: str = ""


class HostBranch(Stmt, frozen=True):
    """``branch 8 on cpu0;`` ``branch 8 call user on cpu1;`` (kind and privilege default to jmp, kernel). Text without a
    CPU means the only one; ``cpu`` is -1, which is invalid, where there are more."""

    count: int
    cpu: int = 0
    branch: str = "jmp"
    privilege: str = "kernel"


class AdvanceTime(Stmt, frozen=True):
    """``advance 4ms;`` (ns, us, ms, s; at most 100 s)"""

    ns: int


class MuxInterval(Stmt, frozen=True):
    """``mux 1ms;`` ``m0 = mux 8ms on cpu1;``: the time between ticks of the multiplex timer
    (``perf_event_mux_interval_ms``); ``cpu`` -1: of all CPUs. Gives ``ok``, or EINVAL below a millisecond."""

    ns: int
    cpu: int = -1
    register: str = ""


class Mediated(Stmt, frozen=True):
    """``mediate;`` ``m0 = mediate;`` ``unmediate;``: a VM with a mediated vPMU comes (``create``) or goes.

    Gives ``ok``, or EBUSY while events that count guests are open; while such a VM is there, opening one of those fails
    with EOPNOTSUPP."""

    create: bool
    register: str = ""


# Guest ---------------------------------------------------------------------------------------------------


class GuestWrmsr(Stmt, frozen=True):
    """``wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI;`` ``w0 = wrmsr LBR_FROM[2], 0x10;`` ``wrmsr DEBUGCTL, r0 & ~LBR;``"""

    msr: MsrRef
    value: Operand
    register: str = ""


class GuestRdmsr(Stmt, frozen=True):
    """``r0 = rdmsr LBR_TOS;``"""

    register: str
    msr: MsrRef


class GuestRdpmc(Stmt, frozen=True):
    """``r0 = rdpmc 1;``: general counter 1; ``rdpmc 0x40000000``: fixed counter 0. The low 32 bits of ``index`` count,
    as ECX does."""

    register: str
    index: Operand


class GuestPmis(Stmt, frozen=True):
    """``n0 = pmis;``: how many PMIs this vCPU has taken since the run began, as its handler counts them in memory. No
    exit."""

    register: str


class GuestReadLbr(Stmt, frozen=True):
    """``g0 = rdmsr LBR_STACK;``: TOS, then FROM of every entry, ending at the first fault."""

    register: str


class GuestBranch(Stmt, frozen=True):
    """``branch 40;`` ``branch 40 call user;``"""

    count: int
    branch: str = "jmp"
    privilege: str = "kernel"


class GuestCpuid(Stmt, frozen=True):
    """``cpuid;``: an exit that touches nothing."""


class GuestReadCpuid(Stmt, frozen=True):
    """``c0 = cpuid 1 ecx;`` ``c1 = cpuid 0xa eax;``: the register ``output`` of CPUID with ``leaf`` in EAX, an exit as
    ``cpuid;``. ``CPUID_OUTPUTS`` has the leaves and registers that the model knows."""

    register: str
    leaf: int
    output: str


class GuestHlt(Stmt, frozen=True):
    """``hlt;``: an exit; what wakes the guest is there already."""


class GuestOut(Stmt, frozen=True):
    """``out 0x80;``: a write to an I/O port, an exit to user space and back."""

    port: int


class GuestNop(Stmt, frozen=True):
    """``nop;``: the guest runs, no exit."""


# User space (the VMM) ------------------------------------------------------------------------------------


class UserSetMsr(Stmt, frozen=True):
    """``u0 = set vm0/0 PERF_CAPABILITIES, 0x2005;``: 1 taken, 0 rejected. ``from t1``: the ioctl is made by that host
    task, not by the vCPU's own thread."""

    vcpu: str
    msr: MsrRef
    value: Operand
    register: str = ""
    thread: str = ""


class UserGetMsr(Stmt, frozen=True):
    """``u1 = get vm0/0 DEBUGCTL;`` ``u2 = get vm0/0 LBR_TOS from t1;``: the value, or ENOENT."""

    register: str
    vcpu: str
    msr: MsrRef
    thread: str = ""


class MsrValue(msgspec.Struct, frozen=True):
    """``PMC0, 100;`` in a list."""

    msr: MsrRef
    value: Operand


class UserSetMsrs(Stmt, frozen=True):
    """``n = set vm0/0 { PMC0, 100; PERFEVTSEL0, 0x5300c4; };``: one ioctl with a list of registers, in this order, up
    to the first that is rejected. Gives how many were taken, or E2BIG."""

    vcpu: str
    entries: tuple[MsrValue, ...]
    register: str = ""
    thread: str = ""


class UserGetMsrs(Stmt, frozen=True):
    """``g = get vm0/0 { PMC0; PERFEVTSEL0; };``: ``.done``, how many were read, and their values ``.v0``, ``.v1`` ...;
    or E2BIG."""

    register: str
    vcpu: str
    msrs: tuple[MsrRef, ...]
    thread: str = ""


class UserStopLbr(Stmt, frozen=True):
    """``stop_lbr vm0/0;``"""

    vcpu: str


class UserReset(Stmt, frozen=True):
    """``reset vm0/0;``: the vCPU is reset, as by INIT; it must not be in the middle of a statement."""

    vcpu: str


class UserSetCpuid(Stmt, frozen=True):
    """``c0 = set_cpuid vm0/0 { pmu = 0; pdcm = off; };``: KVM_SET_CPUID2 for every vCPU of the VM. What is not said
    stays as it is. Gives ``ok``, or EINVAL where the kernel takes no other CPUID after the first KVM_RUN."""

    vcpu: str
    pmu: int | None = None
    counters: int | None = None
    fixed: int | None = None
    pdcm: bool | None = None
    model: str | None = None
    register: str = ""


class UserMigrate(Stmt, frozen=True):
    """``migrate vm0/0 to kvm1 with lbr;`` ``m0 = migrate vm0/0 to kvm1 without lbr;``: the vCPU goes on at a KVM of
    another host. User space saves it by its thread, which must be on a CPU, loads it there, and has the source stop its
    use of the LBR. Gives ``ok``; EALREADY if it is there, or the errno of the step that failed: it stays then."""

    vcpu: str
    kvm: str
    lbr: bool
    register: str = ""


# Programs, of any actor ----------------------------------------------------------------------------------


class Assign(Stmt, frozen=True):
    """``r1 = r0 + 1;``: no step of its own, as are all statements of programs."""

    register: str
    value: Operand


class Repeat(Stmt, frozen=True):
    """``repeat 40 { ... }``: ``count`` is looked at once, before the first time."""

    count: Operand
    body: tuple[Step, ...]


class For(Stmt, frozen=True):
    """``for i in 0 .. lbr_depth { ... }``: ``counter`` from ``first`` to the number before ``end``, which is looked at
    before each time."""

    counter: str
    first: Operand
    end: Operand
    body: tuple[Step, ...]


class While(Stmt, frozen=True):
    """``while r0 != #GP { ... }``"""

    test: Condition
    body: tuple[Step, ...]


class If(Stmt, frozen=True):
    """``if r0 = #GP { ... } else { ... }``"""

    test: Condition
    then: tuple[Step, ...]
    orelse: tuple[Step, ...] = ()


class Break(Stmt, frozen=True):
    """``break;`` leaves the innermost loop."""


HOST_STATEMENTS = (
    RunOn,
    OpenEvent,
    EventOp,
    ReadEvent,
    SampleEvent,
    StateOf,
    HostBranch,
    AdvanceTime,
    MuxInterval,
    Mediated,
)
GUEST_STATEMENTS = (
    GuestWrmsr,
    GuestRdmsr,
    GuestRdpmc,
    GuestPmis,
    GuestReadCpuid,
    GuestReadLbr,
    GuestBranch,
    GuestCpuid,
    GuestHlt,
    GuestOut,
    GuestNop,
)
MSR_IOCTLS = (UserSetMsr, UserGetMsr, UserSetMsrs, UserGetMsrs)
"""Statements that make an ioctl by some thread."""
USER_STATEMENTS = (*MSR_IOCTLS, UserStopLbr, UserReset, UserSetCpuid, UserMigrate)
PROGRAM_STATEMENTS = (Assign, Repeat, For, While, If, Break)
NUMBERS = (GuestRdmsr, GuestRdpmc, GuestPmis, GuestReadCpuid, UserGetMsr, UserSetMsr, UserSetMsrs, Assign, For)
"""Statements whose register holds a number, or the word for why not."""
WORDS = (GuestWrmsr, GuestReadLbr, MuxInterval, Mediated, UserSetCpuid, UserMigrate)
"""Other statements whose register may hold a word of ``ANSWERS``."""
AnyStmt = (
    RunOn
    | OpenEvent
    | EventOp
    | ReadEvent
    | SampleEvent
    | StateOf
    | HostBranch
    | AdvanceTime
    | MuxInterval
    | Mediated
    | GuestWrmsr
    | GuestRdmsr
    | GuestRdpmc
    | GuestPmis
    | GuestReadCpuid
    | GuestReadLbr
    | GuestBranch
    | GuestCpuid
    | GuestHlt
    | GuestOut
    | GuestNop
    | UserSetMsr
    | UserGetMsr
    | UserSetMsrs
    | UserGetMsrs
    | UserStopLbr
    | UserReset
    | UserSetCpuid
    | UserMigrate
    | Assign
    | Repeat
    | For
    | While
    | If
    | Break
)


def bodies(stmt: AnyStmt) -> dict[str, tuple[Step, ...]]:
    """What stands between the braces of a statement, by field."""
    match stmt:
        case Repeat(body=body) | For(body=body) | While(body=body):
            return {"body": body}
        case If(then=then, orelse=orelse):
            return {"then": then, "orelse": orelse}
        case _:
            return {}


def written(stmt: AnyStmt) -> str:
    """The register that a statement sets, "" if none."""
    register: str = stmt.counter if isinstance(stmt, For) else getattr(stmt, "register", "")
    return register


class Step(msgspec.Struct, eq=False):
    """One statement of one actor. ``line`` is where it stands in the file, ``printed`` where in the text that
    ``format_scenario`` gives (0: built in Python); not compared."""

    actor: str
    stmt: AnyStmt
    line: int = 0
    printed: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and (self.actor, self.stmt) == (other.actor, other.stmt)

    def __ne__(self, other: object) -> bool:
        # Struct has one of its own, which knows nothing of this __eq__.
        return not self == other

    def __hash__(self) -> int:
        return hash((self.actor, self.stmt))


class Block(msgspec.Struct):
    """A thread of the schedule: the steps of its actors, in this order. Actors: ``host``, ``host1``..., ``user``,
    ``user1``..., and vCPUs (``vm0/0``); an actor stands in one block only."""

    actors: list[str]
    steps: list[Step]

    @property
    def name(self) -> str:
        return "+".join(self.actors)


# The final condition -------------------------------------------------------------------------------------


class Reg(msgspec.Struct, tag=True, frozen=True):
    """``vm0/0:r0`` or a field of a structured value, ``host:s0.guest``."""

    actor: str
    register: str
    field: str = ""


class Invariant(msgspec.Struct, tag=True, frozen=True):
    """``invariant one-owner``: its value is ``held``, ``violated``, ``open`` or ``not-exercised``."""

    name: str


class Int(msgspec.Struct, tag=True, frozen=True):
    value: int


class Word(msgspec.Struct, tag=True, frozen=True):
    """A named value: ``#GP``, ``ACTIVE``, ``held``, ``EINVAL`` ..."""

    value: str


Term = Reg | Invariant | Int | Word


class Compare(msgspec.Struct, tag=True, frozen=True):
    """``left op right``, op one of = != < <= > >="""

    left: Term
    op: str
    right: Term


class Not(msgspec.Struct, tag=True, frozen=True):
    arg: Expr


class And(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Expr, ...]


class Or(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Expr, ...]


Expr = Compare | Not | And | Or


class Final(msgspec.Struct, frozen=True):
    """``quantifier`` is ``exists``, ``~exists`` or ``forall``. ``under`` names the designs that it is asked of, all if
    it names none."""

    quantifier: str
    expr: Expr
    under: tuple[str, ...] = ()


class Expect(msgspec.Struct, frozen=True):
    """``expect violated no-loss, no-leak under v7, merged;``: the verdict that invariants must have, under these
    designs or all. A violation that is expected is as it should be, one that does not happen is not."""

    verdict: str
    invariants: tuple[str, ...]
    under: tuple[str, ...] = ()


class Scenario(msgspec.Struct, eq=False):
    """``tasks`` are host tasks other than vCPU threads, which exist by virtue of their VM; each exists on every host.

    ``machine`` is the first host, ``hosts`` are the others; CPUs count on from one to the next. ``kvms`` are the KVM
    services beside kvm0. ``homes``: VM to the service it begins at, kvm0 where nothing is said. ``lets``, ``let exits =
    8;``: numbers that every actor's expressions can name, and that a run may set otherwise. ``expects``: what is
    expected of invariants. ``file``: what errors at
    run time call the text that it comes from ("": built in Python); not compared."""

    name: str
    purpose: str = ""
    machine: MachineSpec = MachineSpec()
    tasks: list[str] = []
    vms: list[VmSpec] = []
    blocks: list[Block] = []
    final: Final | None = None
    hosts: list[HostSpec] = []
    kvms: list[KvmSpec] = []
    homes: dict[str, str] = {}
    lets: dict[str, int] = {}
    expects: list[Expect] = []
    file: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and astuple(self)[:-1] == astuple(other)[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def vcpus(self) -> list[str]:
        return [name for vm in self.vms for name in vm.vcpu_names()]

    def machines(self) -> list[MachineSpec]:
        """Every host's machine with its place among the others."""
        machines: list[MachineSpec] = []
        first_cpu = 0
        for number, spec in enumerate([self.machine, *(host.machine for host in self.hosts)]):
            machines.append(replace(spec, host=number, first_cpu=first_cpu))
            first_cpu += spec.cpus
        return machines

    def cpus(self) -> int:
        """CPUs of all hosts together."""
        return sum(machine.cpus for machine in self.machines())

    def placement(self) -> dict[str, int]:
        """KVM service to the number of its host."""
        numbers = {"": 0} | {host.name: i for i, host in enumerate(self.hosts, 1)}
        return {FIRST_KVM: 0} | {kvm.name: numbers[kvm.host] for kvm in self.kvms}

    def home(self, vm: str) -> str:
        """The KVM service that a VM begins at."""
        return self.homes.get(vm, FIRST_KVM)

    def stays(self, vm: str) -> set[str]:
        """The KVM services that a VM is ever at: its home and where it migrates to."""
        steps = (step.stmt for block in self.blocks for step in block.steps)
        goes = {s.kvm for s in steps if isinstance(s, UserMigrate) and s.vcpu.split("/")[0] == vm}
        return {self.home(vm), *goes}

    def vms_at(self, kvm: str) -> list[VmSpec]:
        """The VMs that a KVM service must have, some of them as shells for a vCPU that comes later."""
        return [vm for vm in self.vms if kvm in self.stays(vm.name)]
