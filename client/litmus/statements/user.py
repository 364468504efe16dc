"""Statements of user space, the VMM: ioctls of KVM."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from client.litmus.checking import StmtCheck
from client.litmus.execution import Execution
from client.litmus.expression import MsrRef, Operand
from client.litmus.limits import MAX_MSRS
from client.litmus.reading import Reading
from client.litmus.settings import amount, switch
from client.litmus.spelling import quote
from client.litmus.statements.statement import Examples, MsrIoctl, ResultKind, Rules, UserStmt
from client.litmus.text import msr_text, setting_text, value_text
from client.litmus.tree import trees
from contract.control import (
    MSRS_LIMIT,
    GetMsr,
    GetMsrs,
    MsrEntry,
    ResetVcpu,
    SetCpuid,
    SetMsr,
    SetMsrs,
    StopLbr,
)
from contract.spec import CPUID_LIMITS, VM_MODELS

CPUID = ("pmu", "counters", "fixed", "pdcm", "model")
"""Settings of a VM that KVM_SET_CPUID2 can change."""


FROM = {"from": '"from" _task'}


def _origin(thread: str) -> str:
    return f" from {thread}" if thread else ""


def _check_ioctl(at: StmtCheck, vcpu: str, thread: str) -> None:
    if thread:
        at.task(thread, "thread")
    at.vcpu(vcpu)


def _check_length(at: StmtCheck, length: int, part: str) -> None:
    if not 1 <= length <= MAX_MSRS:
        at.fail(f"{length} registers in a list, expected 1 to {MAX_MSRS}", part)


class UserSetMsr(MsrIoctl, frozen=True):
    """``u0 = set vm0/0 PERF_CAPABILITIES, 0x2005;``: 1 taken, 0 rejected. ``from t1``: the ioctl is made by that host
    task, not by the vCPU's own thread."""

    rules: ClassVar[Rules] = {"set": 'SET VCPU msr "," operand from?'}
    parts: ClassVar[Rules] = FROM
    examples: ClassVar[Examples] = (
        ("u = set vm0/0 LBR_TOS, 3;", "KVM_SET_MSRS: 1 taken, 0 rejected; from t0: the ioctl is made by that task"),
    )
    result = ResultKind.NUMBER

    vcpu: str
    msr: MsrRef
    value: Operand
    register: str = ""
    thread: str = ""

    @staticmethod
    def read(at: Reading) -> UserSetMsr:
        msr, value, *_ = at.trees
        ref = at.msr(msr)
        return UserSetMsr(at.vcpu(), ref, at.value(value, ref), at.register, at.thread())

    def action(self) -> str:
        return f"set {self.vcpu} {msr_text(self.msr)}, {value_text(self.msr, self.value)}{_origin(self.thread)}"

    def check(self, at: StmtCheck) -> None:
        at.msr(self.msr)
        at.operand(self.value, "value")
        _check_ioctl(at, self.vcpu, self.thread)

    def refs(self) -> tuple[MsrRef, ...]:
        return (self.msr,)

    def command(self, at: Execution) -> SetMsr:
        return SetMsr(self.vcpu, at.address(self.msr), at.number(self.value), self.thread)


class UserGetMsr(MsrIoctl, frozen=True):
    """``u1 = get vm0/0 DEBUGCTL;`` ``u2 = get vm0/0 LBR_TOS from t1;``: the value, or ENOENT."""

    rules: ClassVar[Rules] = {"get": "GET VCPU msr from?"}
    examples: ClassVar[Examples] = (("v = get vm0/0 LBR_TOS from t0;", "KVM_GET_MSRS"),)
    result = ResultKind.NUMBER

    register: str
    vcpu: str
    msr: MsrRef
    thread: str = ""

    @staticmethod
    def read(at: Reading) -> UserGetMsr:
        vcpu = at.vcpu()
        return UserGetMsr(at.register, vcpu, at.msr(at.trees[0]), at.thread())

    def action(self) -> str:
        return f"get {self.vcpu} {msr_text(self.msr)}{_origin(self.thread)}"

    def check(self, at: StmtCheck) -> None:
        at.msr(self.msr)
        _check_ioctl(at, self.vcpu, self.thread)

    def refs(self) -> tuple[MsrRef, ...]:
        return (self.msr,)

    def command(self, at: Execution) -> GetMsr:
        return GetMsr(self.vcpu, at.address(self.msr), self.thread)


class MsrValue(msgspec.Struct, frozen=True):
    """``PMC0, 100;`` in a list."""

    msr: MsrRef
    value: Operand


class UserSetMsrs(MsrIoctl, frozen=True):
    """``n = set vm0/0 { PMC0, 100; PERFEVTSEL0, 0x5300c4; };``: one ioctl with a list of registers, in this order, up
    to the first that is rejected. Gives the number of registers taken, or E2BIG."""

    rules: ClassVar[Rules] = {"sets": 'SET VCPU "{" msr_value+ "}" from?'}
    parts: ClassVar[Rules] = {"msr_value": 'msr "," operand ";"'}
    examples: ClassVar[Examples] = (
        (
            "n = set vm0/0 { PMC0, 100; PERFEVTSEL0, 0x5300c4; };",
            "one ioctl with a list; stops at the first that is rejected, and gives the number done",
        ),
    )
    result = ResultKind.NUMBER

    vcpu: str
    entries: tuple[MsrValue, ...]
    register: str = ""
    thread: str = ""

    @staticmethod
    def read(at: Reading) -> UserSetMsrs:
        vcpu = at.vcpu()
        entries = []
        for i, entry in enumerate(entry for entry in at.trees if entry.data == "msr_value"):
            msr, value = trees(entry)
            ref = at.msr(msr, "entries", i)
            entries.append(MsrValue(ref, at.value(value, ref, "entries", i)))
        return UserSetMsrs(vcpu, tuple(entries), at.register, at.thread())

    def action(self) -> str:
        entries = " ".join(f"{msr_text(e.msr)}, {value_text(e.msr, e.value)};" for e in self.entries)
        return f"set {self.vcpu} {{ {entries} }}{_origin(self.thread)}"

    def check(self, at: StmtCheck) -> None:
        _check_length(at, len(self.entries), "entries")
        for i, entry in enumerate(self.entries):
            at.msr(entry.msr, "entries", i)
            at.operand(entry.value, "entries", i, "value")
        _check_ioctl(at, self.vcpu, self.thread)

    def refs(self) -> tuple[MsrRef, ...]:
        return tuple(entry.msr for entry in self.entries)

    def command(self, at: Execution) -> SetMsrs:
        entries = [MsrEntry(at.address(entry.msr), at.number(entry.value)) for entry in self.entries]
        return SetMsrs(self.vcpu, entries, self.thread)


class UserGetMsrs(MsrIoctl, frozen=True):
    """``g = get vm0/0 { PMC0; PERFEVTSEL0; };``: ``.done``, the number of registers read, and their values ``.v0``,
    ``.v1`` ...; or E2BIG."""

    rules: ClassVar[Rules] = {"gets": 'GET VCPU "{" (msr ";")+ "}" from?'}
    examples: ClassVar[Examples] = (
        ("g = get vm0/0 { PMC0; PERFEVTSEL0; };", "the same for reads: g.done, g.v0, g.v1 ..."),
    )
    result = ResultKind.FIELDS
    fields = ("done", *(f"v{i}" for i in range(MSRS_LIMIT - 1)))
    again = True

    register: str
    vcpu: str
    msrs: tuple[MsrRef, ...]
    thread: str = ""

    @staticmethod
    def read(at: Reading) -> UserGetMsrs:
        vcpu = at.vcpu()
        refs = tuple(at.msr(msr, "msrs", i) for i, msr in enumerate(msr for msr in at.trees if msr.data == "msr"))
        return UserGetMsrs(at.register, vcpu, refs, at.thread())

    def action(self) -> str:
        return f"get {self.vcpu} {{ {' '.join(f'{msr_text(msr)};' for msr in self.msrs)} }}{_origin(self.thread)}"

    def check(self, at: StmtCheck) -> None:
        _check_length(at, len(self.msrs), "msrs")
        for i, msr in enumerate(self.msrs):
            at.msr(msr, "msrs", i)
        _check_ioctl(at, self.vcpu, self.thread)

    def refs(self) -> tuple[MsrRef, ...]:
        return self.msrs

    def command(self, at: Execution) -> GetMsrs:
        return GetMsrs(self.vcpu, [at.address(msr) for msr in self.msrs], self.thread)


class UserMigrate(UserStmt, frozen=True):
    """``migrate vm0/0 to kvm1 with lbr;`` ``m0 = migrate vm0/0 to kvm1 without lbr;``: the vCPU moves to a KVM of
    another host. User space saves it with its thread, which must be on a CPU, loads it there, and makes the source stop
    its use of the LBR. Gives ``ok``, EALREADY if it is there already, or the errno of the step that failed; the vCPU
    then stays."""

    rules: ClassVar[Rules] = {"migrate": 'MIGRATE VCPU "to" WORD (WITH | WITHOUT) WORD'}
    examples: ClassVar[Examples] = (
        ("m = migrate vm0/0 to kvm1 with lbr;", "move the vCPU to another KVM, with its LBR"),
        ("migrate vm0/0 to kvm0 without lbr;", "move it back, without its LBR"),
    )
    result = ResultKind.WORD

    vcpu: str
    kvm: str
    lbr: bool
    register: str = ""

    @staticmethod
    def read(at: Reading) -> UserMigrate:
        _, vcpu, kvm, how, lbr = at.tokens
        if lbr != "lbr":
            at.fail(lbr, f"expected 'lbr', found {quote(lbr)}")
        return UserMigrate(at.mark(vcpu, "vcpu"), at.mark(kvm, "kvm"), how == "with", at.register)

    def action(self) -> str:
        return f"migrate {self.vcpu} to {self.kvm} {'with' if self.lbr else 'without'} lbr"

    def check(self, at: StmtCheck) -> None:
        placement = at.scope.placement
        at.vcpu(self.vcpu)
        at.member("kvm", self.kvm, placement, "kvm")
        vm = self.vcpu.split("/")[0]
        for other in sorted(at.scope.stays[vm] & placement.keys()):
            if other != self.kvm and placement[other] == placement[self.kvm]:
                message = f"{quote(self.kvm)} is on the host of {quote(other)}, where {quote(vm)} has its threads"
                at.fail(f"{message}: a vCPU migrates to another host", "kvm")


class UserSetCpuid(UserStmt, frozen=True):
    """``c0 = set_cpuid vm0/0 { pmu = 0; pdcm = off; };``: KVM_SET_CPUID2 for every vCPU of the VM. Settings that are
    not given keep their values. Gives ``ok``, or EINVAL if the kernel takes no other CPUID after the first KVM_RUN."""

    rules: ClassVar[Rules] = {"set_cpuid": 'SET_CPUID VCPU "{" setting* "}"'}
    examples: ClassVar[Examples] = (
        (
            "c = set_cpuid vm0/0 { pmu = 2; counters = 2; fixed = 0; pdcm = on; model = host; };",
            "KVM_SET_CPUID2 of the whole VM: ok, or EINVAL after the first KVM_RUN on newer kernels",
        ),
    )
    result = ResultKind.WORD

    vcpu: str
    pmu: int | None = None
    counters: int | None = None
    fixed: int | None = None
    pdcm: bool | None = None
    model: str | None = None
    register: str = ""

    @staticmethod
    def read(at: Reading) -> UserSetCpuid:
        vcpu = at.vcpu()
        given = at.settings(CPUID)
        return UserSetCpuid(
            vcpu,
            pmu=amount(given, "pmu", at.known.places),
            counters=amount(given, "counters", at.known.places),
            fixed=amount(given, "fixed", at.known.places),
            pdcm=switch(given, "pdcm", at.known.places),
            model=str(given["model"]) if "model" in given else None,
            register=at.register,
        )

    def action(self) -> str:
        said = [(key, getattr(self, key)) for key in CPUID]
        given = " ".join(f"{key} = {setting_text(value)};" for key, value in said if value is not None)
        return f"set_cpuid {self.vcpu} {{ {given} }}" if given else f"set_cpuid {self.vcpu} {{ }}"

    def check(self, at: StmtCheck) -> None:
        for key, most in CPUID_LIMITS.items():
            value = getattr(self, key)
            if value is not None and not 0 <= value <= most:
                at.fail(f"{key} = {value} is impossible, expected 0 to {most}", key)
        if self.model is not None:
            at.member("model", self.model, VM_MODELS, "model")
        at.vcpu(self.vcpu)

    def command(self, at: Execution) -> SetCpuid:
        return SetCpuid(self.vcpu, self.pmu, self.counters, self.fixed, self.pdcm, self.model)


class UserStopLbr(UserStmt, frozen=True):
    """``stop_lbr vm0/0;``"""

    rules: ClassVar[Rules] = {"stop": "STOP_LBR VCPU"}
    examples: ClassVar[Examples] = (("stop_lbr vm0/0;", "the vCPU stops using the LBR"),)

    vcpu: str

    @staticmethod
    def read(at: Reading) -> UserStopLbr:
        return UserStopLbr(at.vcpu())

    def action(self) -> str:
        return f"stop_lbr {self.vcpu}"

    def check(self, at: StmtCheck) -> None:
        at.vcpu(self.vcpu)

    def command(self, at: Execution) -> StopLbr:
        return StopLbr(self.vcpu)


class UserReset(UserStmt, frozen=True):
    """``reset vm0/0;``: the vCPU is reset, as by INIT; it must not be in the middle of a statement."""

    rules: ClassVar[Rules] = {"reset": "RESET VCPU"}
    examples: ClassVar[Examples] = (("reset vm0/0;", "the vCPU is reset, as by INIT"),)

    vcpu: str

    @staticmethod
    def read(at: Reading) -> UserReset:
        return UserReset(at.vcpu())

    def action(self) -> str:
        return f"reset {self.vcpu}"

    def check(self, at: StmtCheck) -> None:
        at.vcpu(self.vcpu)

    def command(self, at: Execution) -> ResetVcpu:
        return ResetVcpu(self.vcpu)


AnyUser = UserSetMsr | UserGetMsr | UserSetMsrs | UserGetMsrs | UserMigrate | UserSetCpuid | UserStopLbr | UserReset
