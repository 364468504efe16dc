"""Statements of a guest: each is executed by a vCPU."""

from __future__ import annotations

from typing import ClassVar

from client.litmus.checking import StmtCheck
from client.litmus.execution import Execution
from client.litmus.expression import Constant, MsrRef, Operand
from client.litmus.limits import MAX_PORT
from client.litmus.msr import LBR_STACK, MAX_MSR
from client.litmus.reading import Reading
from client.litmus.spelling import unknown
from client.litmus.statements.branches import BRANCH_RULES, branch_action, read_branch
from client.litmus.statements.statement import Examples, GuestStmt, ResultKind, Rules
from client.litmus.text import constant_text, msr_text, number_text, operand_text, value_text
from contract.machine import AnyOp, Branch, Cpuid, Hlt, Nop, Out, Rdmsr, Rdpmc, Wrmsr
from contract.x86 import CPUID_OUTPUTS, MSR_LBR_TOS


class GuestWrmsr(GuestStmt, frozen=True):
    """``wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI;`` ``w0 = wrmsr LBR_FROM[2], 0x10;`` ``wrmsr DEBUGCTL, r0 & ~LBR;``"""

    rules: ClassVar[Rules] = {"wrmsr": 'WRMSR msr "," operand'}
    examples: ClassVar[Examples] = (
        ("w = wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI;", "ok, or #GP"),
        (
            "wrmsr LVTPC, LVT_NMI | LVT_MASKED;",
            "mask PMIs. LVTPC begins as LVT_NMI; a reset masks it, and from v6.6 on each delivered PMI masks it too",
        ),
    )
    result = ResultKind.WORD
    again = True

    msr: MsrRef
    value: Operand
    register: str = ""

    @staticmethod
    def read(at: Reading) -> GuestWrmsr:
        msr, value = at.trees
        ref = at.msr(msr)
        return GuestWrmsr(ref, at.value(value, ref), at.register)

    def action(self) -> str:
        return f"wrmsr {msr_text(self.msr)}, {value_text(self.msr, self.value)}"

    def check(self, at: StmtCheck) -> None:
        at.msr(self.msr)
        at.operand(self.value, "value")

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Wrmsr(at.address(self.msr), at.number(self.value))]


class GuestRdmsr(GuestStmt, frozen=True):
    """``r0 = rdmsr LBR_TOS;``"""

    rules: ClassVar[Rules] = {"rdmsr": "RDMSR msr"}
    examples: ClassVar[Examples] = (
        ("r = rdmsr LBR_FROM[3];", "also LBR_TO, LBR_INFO, LBR_TOS, LBR_SELECT, PERF_CAPABILITIES; #GP if it faults"),
        ("r = rdmsr 0x680 + r;", "the address may be a number or computed"),
    )
    result = ResultKind.NUMBER

    register: str
    msr: MsrRef

    @staticmethod
    def read(at: Reading) -> GuestRdmsr | GuestReadLbr:
        (msr,) = at.trees
        if [str(token) for token in msr.scan_values(lambda _: True)] == [LBR_STACK]:
            return GuestReadLbr(at.register)
        return GuestRdmsr(at.register, at.msr(msr, also=(LBR_STACK,)))

    def action(self) -> str:
        return f"rdmsr {msr_text(self.msr)}"

    def check(self, at: StmtCheck) -> None:
        at.msr(self.msr)

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Rdmsr(at.address(self.msr))]


class GuestRdpmc(GuestStmt, frozen=True):
    """``r0 = rdpmc 1;``: general counter 1; ``rdpmc 0x40000000``: fixed counter 0. The low 32 bits of ``index`` count,
    as ECX does."""

    rules: ClassVar[Rules] = {"rdpmc": "RDPMC operand"}
    examples: ClassVar[Examples] = (
        ("p = rdpmc 0x40000000;", "a counter by its index: bit 30 for fixed ones; #GP if there is none"),
    )
    result = ResultKind.NUMBER

    register: str
    index: Operand

    @staticmethod
    def read(at: Reading) -> GuestRdpmc:
        return GuestRdpmc(at.register, at.operand(at.trees[0], "index"))

    def action(self) -> str:
        return f"rdpmc {number_text(self.index, 10) if isinstance(self.index, int) else operand_text(self.index)}"

    def check(self, at: StmtCheck) -> None:
        at.operand(self.index, "index")

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Rdpmc(at.number(self.index) & MAX_MSR)]


class GuestPmis(GuestStmt, frozen=True):
    """``n0 = pmis;``: the number of PMIs that this vCPU has taken since the run began. Its handler counts them in
    memory, so there is no exit."""

    rules: ClassVar[Rules] = {"pmis": "PMIS"}
    examples: ClassVar[Examples] = (("n = pmis;", "the number of PMIs that the vCPU has taken in this run; no exit"),)
    result = ResultKind.NUMBER

    register: str

    @staticmethod
    def read(at: Reading) -> GuestPmis:
        return GuestPmis(at.register)

    def action(self) -> str:
        return "pmis"

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Nop()]


class GuestReadLbr(GuestStmt, frozen=True):
    """``g0 = rdmsr LBR_STACK;``: TOS, then FROM of every entry, ending at the first fault. The parser reads this text
    with the rule of ``GuestRdmsr``."""

    examples: ClassVar[Examples] = (
        ("e = rdmsr LBR_STACK;", "TOS and every FROM: e.tos, e.own, e.foreign, e.written, e.empty"),
    )
    result = ResultKind.WORD
    fields = ("tos", "own", "foreign", "written", "empty")
    again = True

    register: str

    def action(self) -> str:
        return f"rdmsr {LBR_STACK}"

    def check(self, at: StmtCheck) -> None:
        if not at.scope.model.has_lbr:
            at.fail(f"lbr = {at.scope.model_name} has no {LBR_STACK}; name an address, 0x680", "msr")

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Rdmsr(MSR_LBR_TOS), *(Rdmsr(at.model.from_base + i) for i in range(at.model.depth))]


class GuestBranch(GuestStmt, frozen=True):
    """``branch 40;`` ``branch 40 call user;``"""

    rules: ClassVar[Rules] = BRANCH_RULES
    examples: ClassVar[Examples] = (("branch 40;", "branches retire on the CPU where the vCPU runs"),)

    count: Constant
    branch: str = "jmp"
    privilege: str = "kernel"

    @staticmethod
    def read(at: Reading) -> GuestBranch:
        count, kind, privilege, cpu = read_branch(at)
        if cpu is not None:
            at.fail(cpu, "a guest's branches name no CPU: they retire where its vCPU runs")
        return GuestBranch(count, kind, privilege)

    def action(self) -> str:
        return branch_action(self.count, self.branch, self.privilege)

    def check(self, at: StmtCheck) -> None:
        at.branches(self.count, self.branch, self.privilege)

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Branch(at.number(self.count), self.branch, self.privilege)]


class GuestCpuid(GuestStmt, frozen=True):
    """``cpuid;``: an exit that touches nothing."""

    rules: ClassVar[Rules] = {"cpuid": "CPUID"}
    examples: ClassVar[Examples] = (("cpuid;", "an exit without further effect"),)

    @staticmethod
    def read(at: Reading) -> GuestCpuid:
        return GuestCpuid()

    def action(self) -> str:
        return "cpuid"

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Cpuid()]


class GuestReadCpuid(GuestStmt, frozen=True):
    """``c0 = cpuid 1 ecx;`` ``c1 = cpuid 0xa eax;``: the register ``output`` of CPUID with ``leaf`` in EAX, an exit as
    ``cpuid;``. ``CPUID_OUTPUTS`` lists the leaves and registers that the model has."""

    rules: ClassVar[Rules] = {"cpuid_leaf": "CPUID (NUMBER | WORD) WORD"}
    examples: ClassVar[Examples] = (
        ("c = cpuid 1 ecx;", "the guest's CPUID: bit 15 is PDCM, the rest is not modelled and 0"),
        (
            "c = cpuid 0xa eax;",
            "PMU version (bits 7:0), number (15:8) and width (23:16) of general counters; 0: no PMU",
        ),
        ("c = cpuid 0xa edx;", "bits 4:0 and 12:5: number and width of fixed counters"),
    )
    result = ResultKind.NUMBER

    register: str
    leaf: Constant
    output: str

    @staticmethod
    def read(at: Reading) -> GuestReadCpuid:
        _, leaf, output = at.tokens
        return GuestReadCpuid(at.register, at.constant(leaf, "leaf"), at.mark(output, "output"))

    def action(self) -> str:
        return f"cpuid {constant_text(self.leaf)} {self.output}"

    def check(self, at: StmtCheck) -> None:
        leaf = at.constant(self.leaf, "leaf")
        if leaf not in CPUID_OUTPUTS:
            leaves = " or ".join(f"{each:#x}" for each in CPUID_OUTPUTS)
            at.fail(f"leaf {leaf:#x} of CPUID is not modelled, expected {leaves}", "leaf")
        if self.output not in CPUID_OUTPUTS[leaf]:
            at.fail(unknown("register of the leaf", self.output, CPUID_OUTPUTS[leaf]), "output")

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Cpuid(at.number(self.leaf), self.output)]


class GuestHlt(GuestStmt, frozen=True):
    """``hlt;``: an exit. The event that wakes the guest is already pending."""

    rules: ClassVar[Rules] = {"hlt": "HLT"}
    examples: ClassVar[Examples] = (("hlt;", "an exit; the guest halts"),)

    @staticmethod
    def read(at: Reading) -> GuestHlt:
        return GuestHlt()

    def action(self) -> str:
        return "hlt"

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Hlt()]


class GuestOut(GuestStmt, frozen=True):
    """``out 0x80;``: a write to an I/O port, an exit to user space and back."""

    rules: ClassVar[Rules] = {"out": "OUT (NUMBER | WORD)"}
    examples: ClassVar[Examples] = (("out 0x80;", "an exit that user space serves"),)

    port: Constant

    @staticmethod
    def read(at: Reading) -> GuestOut:
        return GuestOut(at.constant(at.tokens[1], "port"))

    def action(self) -> str:
        return f"out {constant_text(self.port)}"

    def check(self, at: StmtCheck) -> None:
        port = at.constant(self.port, "port")
        if not 0 <= port <= MAX_PORT:
            at.fail(f"not an I/O port: {port:#x}, expected 0x0 to {MAX_PORT:#x}", "port")

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Out(at.number(self.port))]


class GuestNop(GuestStmt, frozen=True):
    """``nop;``: the guest runs, no exit."""

    rules: ClassVar[Rules] = {"nop": "NOP"}
    examples: ClassVar[Examples] = (("nop;", "no exit"),)

    @staticmethod
    def read(at: Reading) -> GuestNop:
        return GuestNop()

    def action(self) -> str:
        return "nop"

    def ops(self, at: Execution) -> list[AnyOp]:
        return [Nop()]


AnyGuest = (
    GuestWrmsr
    | GuestRdmsr
    | GuestRdpmc
    | GuestPmis
    | GuestReadLbr
    | GuestBranch
    | GuestCpuid
    | GuestReadCpuid
    | GuestHlt
    | GuestOut
    | GuestNop
)
