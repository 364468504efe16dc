"""A litmus scenario as data: what the parser builds, the printer prints and the driver plays.

Values are plain; ``validate`` in ``client.litmus.validate`` says what makes a scenario playable.
"""

from __future__ import annotations

import msgspec

from contract.control import MachineSpec, VmSpec


class MsrRef(msgspec.Struct, frozen=True):
    """An MSR by name (``LBR_TOS``, ``LBR_FROM``, ``IA32_DEBUGCTL`` ...) or number (``0x1c9``). ``index`` picks
    one of FROM, TO, INFO: a number, or the register that holds it."""

    name: str
    index: int | str | None = None


class Stmt(msgspec.Struct, tag_field="stmt", tag=True, frozen=True):
    """Base of statements. ``register``, where a statement has one, receives its result ("" drops it)."""


# Host ----------------------------------------------------------------------------------------------------


class RunOn(Stmt, frozen=True):
    """``run vm0/0 on cpu0;`` and, with an empty task, ``idle cpu0;``"""

    task: str
    cpu: int


class OpenEvent(Stmt, frozen=True):
    """``h0 = open cpu0 pinned branch any user;`` / ``h1 = open task t0 on cpu1 flexible disabled counter;``

    ``cpu`` -1 and a task: follows the task. ``branch`` empty: ``counter``. ``privilege``: user, kernel or both."""

    register: str
    cpu: int = -1
    task: str = ""
    pinned: bool = False
    branch: tuple[str, ...] = ()
    privilege: tuple[str, ...] = ("user", "kernel")
    disabled: bool = False


class EventOp(Stmt, frozen=True):
    """``enable h0;`` ``disable h0;`` ``close h0;``"""

    op: str
    event: str


class ReadEvent(Stmt, frozen=True):
    """``n0 = read h0;``"""

    register: str
    event: str


class SampleEvent(Stmt, frozen=True):
    """``s0 = sample h0;``"""

    register: str
    event: str


class HostBranch(Stmt, frozen=True):
    """``branch 8 on cpu0;`` ``branch 8 call user on cpu1;`` (kind and privilege default to jmp, kernel)"""

    count: int
    cpu: int = 0
    branch: str = "jmp"
    privilege: str = "kernel"


class AdvanceTime(Stmt, frozen=True):
    """``advance 4ms;`` (ns, us, ms, s)"""

    ns: int


# Guest ---------------------------------------------------------------------------------------------------


class GuestWrmsr(Stmt, frozen=True):
    """``wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI;`` ``w0 = wrmsr LBR_FROM[2], 0x10;``"""

    msr: MsrRef
    value: int
    register: str = ""


class GuestRdmsr(Stmt, frozen=True):
    """``r0 = rdmsr LBR_TOS;``"""

    register: str
    msr: MsrRef


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


class GuestNop(Stmt, frozen=True):
    """``nop;``: the guest runs, no exit."""


# User space (the VMM) ------------------------------------------------------------------------------------


class UserSetMsr(Stmt, frozen=True):
    """``u0 = set vm0/0 PERF_CAPABILITIES, 0x2005;``: 1 taken, 0 rejected."""

    vcpu: str
    msr: MsrRef
    value: int
    register: str = ""


class UserGetMsr(Stmt, frozen=True):
    """``u1 = get vm0/0 LBR_TOS;``"""

    register: str
    vcpu: str
    msr: MsrRef


class UserStopLbr(Stmt, frozen=True):
    """``stop_lbr vm0/0;``"""

    vcpu: str


HOST_STATEMENTS = (RunOn, OpenEvent, EventOp, ReadEvent, SampleEvent, HostBranch, AdvanceTime)
GUEST_STATEMENTS = (GuestWrmsr, GuestRdmsr, GuestReadLbr, GuestBranch, GuestCpuid, GuestNop)
USER_STATEMENTS = (UserSetMsr, UserGetMsr, UserStopLbr)
AnyStmt = (
    RunOn
    | OpenEvent
    | EventOp
    | ReadEvent
    | SampleEvent
    | HostBranch
    | AdvanceTime
    | GuestWrmsr
    | GuestRdmsr
    | GuestReadLbr
    | GuestBranch
    | GuestCpuid
    | GuestNop
    | UserSetMsr
    | UserGetMsr
    | UserStopLbr
)


class Step(msgspec.Struct, eq=False):
    """One statement of one actor. ``line`` is where it stands in the file (0: built in Python); not compared."""

    actor: str
    stmt: AnyStmt
    line: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and (self.actor, self.stmt) == (other.actor, other.stmt)

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
    """``invariant one-owner``: its value is ``held``, ``violated`` or ``not-exercised``."""

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
    """``quantifier`` is ``exists``, ``~exists`` or ``forall``."""

    quantifier: str
    expr: Expr


class Scenario(msgspec.Struct):
    """``tasks`` are host tasks other than vCPU threads, which exist by virtue of their VM."""

    name: str
    purpose: str = ""
    machine: MachineSpec = MachineSpec()
    tasks: list[str] = []
    vms: list[VmSpec] = []
    blocks: list[Block] = []
    final: Final | None = None

    def vcpus(self) -> list[str]:
        return [name for vm in self.vms for name in vm.vcpu_names()]
