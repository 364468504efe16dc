"""Statements and conditions as litmus text."""

from __future__ import annotations

from client.litmus import ast as a
from client.litmus.msr import LBR_STACK, bit_names
from contract.x86 import MASK64

TIMES = ("enabled", "running")
"""Fields of a read that hold nanoseconds."""
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def statement_text(stmt: a.AnyStmt) -> str:
    """One statement in its fixed form, without the ``;``."""
    register = getattr(stmt, "register", "")
    return f"{register} = {_action(stmt)}" if register else _action(stmt)


def _action(stmt: a.AnyStmt) -> str:
    match stmt:
        case a.RunOn(task="", cpu=cpu):
            return f"idle cpu{cpu}"
        case a.RunOn(task=task, cpu=cpu):
            return f"run {task} on cpu{cpu}"
        case a.OpenEvent():
            return _open(stmt)
        case a.EventOp(op=op, event=event, group=group):
            return f"{op} {event} group" if group else f"{op} {event}"
        case a.ReadEvent(event=event):
            return f"read {event}"
        case a.SampleEvent(event=event):
            return f"sample {event}"
        case a.StateOf(event=event, vcpu=vcpu):
            return f"state {event or vcpu}"
        case a.HostBranch(cpu=cpu):
            return f"{_branch(stmt)} on cpu{cpu}"
        case a.AdvanceTime(ns=ns):
            return f"advance {duration_text(ns)}"
        case a.MuxInterval(ns=ns, cpu=cpu):
            return f"mux {duration_text(ns)} on cpu{cpu}" if cpu >= 0 else f"mux {duration_text(ns)}"
        case a.Mediated(create=create):
            return "mediate" if create else "unmediate"
        case a.GuestWrmsr(msr=msr, value=value):
            return f"wrmsr {msr_text(msr)}, {_value(msr, value)}"
        case a.GuestRdmsr(msr=msr):
            return f"rdmsr {msr_text(msr)}"
        case a.GuestRdpmc(index=index):
            return f"rdpmc {_number(index, 10) if isinstance(index, int) else operand_text(index)}"
        case a.GuestPmis():
            return "pmis"
        case a.GuestReadCpuid(leaf=leaf, output=output):
            return f"cpuid {leaf:#x} {output}"
        case a.GuestReadLbr():
            return f"rdmsr {LBR_STACK}"
        case a.GuestBranch():
            return _branch(stmt)
        case a.GuestCpuid():
            return "cpuid"
        case a.GuestHlt():
            return "hlt"
        case a.GuestOut(port=port):
            return f"out {port:#x}"
        case a.GuestNop():
            return "nop"
        case a.UserSetMsr(vcpu=vcpu, msr=msr, value=value):
            return f"set {vcpu} {msr_text(msr)}, {_value(msr, value)}{_origin(stmt.thread)}"
        case a.UserGetMsr(vcpu=vcpu, msr=msr):
            return f"get {vcpu} {msr_text(msr)}{_origin(stmt.thread)}"
        case a.UserSetMsrs(vcpu=vcpu, entries=entries):
            listed = " ".join(f"{msr_text(e.msr)}, {_value(e.msr, e.value)};" for e in entries)
            return f"set {vcpu} {{ {listed} }}{_origin(stmt.thread)}"
        case a.UserGetMsrs(vcpu=vcpu, msrs=msrs):
            return f"get {vcpu} {{ {' '.join(f'{msr_text(msr)};' for msr in msrs)} }}{_origin(stmt.thread)}"
        case a.UserStopLbr(vcpu=vcpu):
            return f"stop_lbr {vcpu}"
        case a.UserReset(vcpu=vcpu):
            return f"reset {vcpu}"
        case a.UserSetCpuid(vcpu=vcpu):
            said = [(key, getattr(stmt, key)) for key in a.CPUID]
            given = " ".join(f"{key} = {setting_text(value)};" for key, value in said if value is not None)
            return f"set_cpuid {vcpu} {{ {given} }}" if given else f"set_cpuid {vcpu} {{ }}"
        case a.UserMigrate(vcpu=vcpu, kvm=kvm, lbr=lbr):
            return f"migrate {vcpu} to {kvm} {'with' if lbr else 'without'} lbr"
        case a.Assign(value=value):
            return operand_text(value)
        case a.Repeat() | a.For() | a.While() | a.If():
            return f"{head_text(stmt)} {{ ... }}"
        case a.Break():
            return "break"


def setting_text(value: int | str) -> str:
    """The value of a setting in braces."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _origin(thread: str) -> str:
    return f" from {thread}" if thread else ""


def head_text(stmt: a.Repeat | a.For | a.While | a.If) -> str:
    """What stands before the brace."""
    match stmt:
        case a.Repeat(count=count):
            return f"repeat {operand_text(count)}"
        case a.For(counter=counter, first=first, end=end):
            return f"for {counter} in {operand_text(first)} .. {operand_text(end)}"
        case a.While(test=test):
            return f"while {condition_text(test)}"
        case a.If(test=test):
            return f"if {condition_text(test)}"


_NO_BITS: dict[str, int] = {}


def operand_text(operand: a.Operand, bits: dict[str, int] = _NO_BITS) -> str:
    """``bits``: numbers that have names here."""
    match operand:
        case int():
            return _bits(bits, operand)
        case str():
            return operand
        case a.Inverse(arg=arg):
            return f"~{_inner(arg, bits)}"
        case a.Arith(op=op, left=left, right=right):
            chain = isinstance(left, a.Arith) and left.op == op
            return f"{operand_text(left, bits) if chain else _inner(left, bits)} {op} {_inner(right, bits)}"


def _inner(operand: a.Operand, bits: dict[str, int]) -> str:
    """As part of a larger operand. A number of mostly ones is written as what it lacks."""
    if isinstance(operand, a.Arith):
        return f"({operand_text(operand, bits)})"
    if not isinstance(operand, int):
        return operand_text(operand, bits)
    lacks = MASK64 - operand
    if lacks < 1 << 32:
        return f"~{_inner(lacks, bits)}" if lacks else f"{operand:#x}"
    text = _bits(bits, operand)
    return f"({text})" if "|" in text else text


def condition_text(condition: a.Condition) -> str:
    match condition:
        case a.Test(left=left, op=op, right=right):
            return f"{operand_text(left)} {op} {operand_text(right)}"
        case a.AllOf(args=args):
            return " /\\ ".join(map(_inner_condition, args))
        case a.AnyOf(args=args):
            return " \\/ ".join(map(_inner_condition, args))


def _inner_condition(condition: a.Condition) -> str:
    text = condition_text(condition)
    return text if isinstance(condition, a.Test) else f"({text})"


def _open(stmt: a.OpenEvent) -> str:
    target = f"task {stmt.task}" if stmt.task else f"cpu{stmt.cpu}"
    if stmt.task and stmt.cpu >= 0:
        target += f" on cpu{stmt.cpu}"
    if stmt.group:
        target += f" in {stmt.group}"
    other = stmt.config != a.GENERAL
    options = (
        ("pinned", stmt.pinned),
        # A sibling's class is its leader's.
        ("flexible", not stmt.pinned and not stmt.group),
        ("exclusive", stmt.exclusive),
        ("branch " + ", ".join(stmt.branch), bool(stmt.branch)),
        ("counter", not stmt.branch),
        ("counting", bool(stmt.branch) and other),
        (stmt.config, other),
        (" ".join(stmt.privilege), stmt.privilege != stmt.usual_privilege),
        ("exclude_host", stmt.exclude_host),
        ("exclude_guest", stmt.exclude_guest),
        ("exclude_user", stmt.exclude_user),
        ("exclude_kernel", stmt.exclude_kernel),
        (f"period {stmt.period}", stmt.period),
        ("disabled", stmt.disabled),
    )
    return " ".join(["open", target, *(text for text, said in options if said)])


def _branch(stmt: a.HostBranch | a.GuestBranch) -> str:
    parts = ["branch", str(stmt.count)]
    if stmt.branch != "jmp":
        parts.append(stmt.branch)
    if stmt.privilege != "kernel":
        parts.append(stmt.privilege)
    return " ".join(parts)


def duration_text(ns: int) -> str:
    unit = next(u for u, size in UNITS.items() if ns % size == 0)
    return f"{ns // UNITS[unit]}{unit}"


def msr_text(msr: a.MsrRef) -> str:
    if msr.index is None:
        return msr.name
    index = operand_text(msr.index)
    return f"{msr.name}[{index}]" if msr.name else index


def _number(value: int, hex_from: int) -> str:
    return f"{value:#x}" if value >= hex_from else str(value)


def _value(msr: a.MsrRef, value: a.Operand) -> str:
    return operand_text(value, bit_names(msr))


def _bits(names: dict[str, int], value: int) -> str:
    bits = {name: bit for name, bit in names.items() if value & bit}
    rest = value & ~sum(bits.values())
    return " | ".join([*bits, *([_number(rest, 10)] if rest or not bits else [])])


def term_text(term: a.Term, beside: a.Term | None = None) -> str:
    """``beside`` is what it is compared with: a number beside a time is a time, and decimal beside any field."""
    match term:
        case a.Int(value=value) if isinstance(beside, a.Reg) and beside.field:
            return duration_text(value) if beside.field in TIMES else str(value)
        case a.Reg(actor=actor, register=register, field=field):
            return f"{actor}:{register}.{field}" if field else f"{actor}:{register}"
        case a.Invariant(name=name):
            return f"invariant {name}"
        case a.Int(value=value):
            return _number(value, 0x1000)
        case a.Word(value=word):
            return word


def expr_text(expr: a.Expr) -> str:
    match expr:
        case a.Compare(left=left, op=op, right=right):
            return f"{term_text(left, right)} {op} {term_text(right, left)}"
        case a.Not(arg=arg):
            return f"~ {bracketed_text(arg)}"
        case a.And(args=args):
            return " /\\ ".join(map(bracketed_text, args))
        case a.Or(args=args):
            return " \\/ ".join(map(bracketed_text, args))


def expect_text(expect: a.Expect) -> str:
    return f"expect {expect.verdict} {', '.join(expect.invariants)}{under_text(expect.under)}"


def under_text(under: tuple[str, ...]) -> str:
    """The designs that something is asked of, nothing for all."""
    return f" under {', '.join(under)}" if under else ""


def bracketed_text(expr: a.Expr) -> str:
    return f"({expr_text(expr)})" if isinstance(expr, a.And | a.Or) else expr_text(expr)
