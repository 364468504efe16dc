"""One statement: parse tree to Stmt."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from lark import Token

from client.litmus import ast as a
from client.litmus.lower_open import lower_open
from client.litmus.msr import LBR_STACK, SPELLINGS, bit_names, named
from client.litmus.numerals import cpu_number, duration, numeral
from client.litmus.places import Path, Places
from client.litmus.tree import Node, tokens, trees
from client.litmus.words import actor_kind, quote, unknown
from contract.x86 import BRANCH_KINDS


class StatementReader:
    """``cpus`` says whether a host's branches may leave out theirs."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.cpus = 1

    def read(self, node: Node, actor: str, register: str, path: Path) -> a.AnyStmt:
        if node.data == "branch":
            return self.branch(node, actor_kind(actor) == "guest", path)
        return _ACTIONS[node.data](self, node, register, path)

    def run(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        _, task, cpu = tokens(node)
        return a.RunOn(self.places.mark((*path, "task"), task), self.cpu(cpu, path))

    def idle(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.RunOn("", self.cpu(tokens(node)[1], path))

    def cpu(self, token: Token, path: Path) -> int:
        self.places.mark((*path, "cpu"), token)
        return cpu_number(token, self.places)

    def open(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return lower_open(node, register, self.places, path)

    def event_op(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        op, event, *group = tokens(node)
        return a.EventOp(str(op), self.places.mark((*path, "event"), event), bool(group))

    def read_event(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.ReadEvent(register, self.places.mark((*path, "event"), tokens(node)[1]))

    def sample(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.SampleEvent(register, self.places.mark((*path, "event"), tokens(node)[1]))

    def branch(self, node: Node, guest: bool, path: Path) -> a.AnyStmt:
        verb, amount, *options = node.children
        self.places.mark((*path, "count"), cast(Token, amount))
        count = numeral(cast(Token, amount), self.places)
        kind, privilege, cpu = "jmp", "kernel", -1
        seen: dict[str, Token] = {}
        for option in options:
            token = option if isinstance(option, Token) else tokens(option)[0]
            slot = {"WORD": "kind", "CPU": "cpu"}.get(token.type, "privilege")
            if slot in seen:
                self.places.fail(token, f"{quote(token)} after {quote(seen[slot])}")
            seen[slot] = token
            match slot:
                case "kind":
                    if token not in BRANCH_KINDS:
                        near = (*BRANCH_KINDS, "on", "user", "kernel")
                        self.places.fail(token, unknown("branch kind", token, near))
                    kind = str(token)
                case "cpu":
                    cpu = self.cpu(token, path)
                case _:
                    privilege = str(token)
        if guest:
            if "cpu" in seen:
                self.places.fail(seen["cpu"], "a guest's branches name no CPU: they retire where its vCPU runs")
            return a.GuestBranch(count, kind, privilege)
        if cpu < 0 and self.cpus != 1:
            self.places.fail(cast(Token, verb), f"branch needs 'on cpuN': the machine has {self.cpus} CPUs")
        return a.HostBranch(count, max(cpu, 0), kind, privilege)

    def advance(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        token = tokens(node)[1]
        self.places.mark((*path, "ns"), token)
        return a.AdvanceTime(duration(token, self.places))

    def mux(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        token = tokens(node)[1]
        self.places.mark((*path, "ns"), token)
        cpu = next((self.cpu(tokens(on_cpu)[0], path) for on_cpu in trees(node)), -1)
        return a.MuxInterval(duration(token, self.places), cpu, register)

    def mediate(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.Mediated(tokens(node)[0] == "mediate", register)

    def wrmsr(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        msr, value = trees(node)
        ref = self.msr(msr, path)
        return a.GuestWrmsr(ref, self.value(value, ref, path), register)

    def rdmsr(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        (msr,) = trees(node)
        if [str(t) for t in tokens(msr)] == [LBR_STACK]:
            return a.GuestReadLbr(register)
        return a.GuestRdmsr(register, self.msr(msr, path, LBR_STACK))

    def cpuid(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestCpuid()

    def hlt(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestHlt()

    def out(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        port = tokens(node)[1]
        self.places.mark((*path, "port"), port)
        return a.GuestOut(numeral(port, self.places))

    def nop(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestNop()

    def set(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        msr, value, *origin = trees(node)
        ref = self.msr(msr, path)
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        return a.UserSetMsr(vcpu, ref, self.value(value, ref, path), register, self.thread(origin, path))

    def get(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        msr, *origin = trees(node)
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        return a.UserGetMsr(register, vcpu, self.msr(msr, path), self.thread(origin, path))

    def thread(self, origin: list[Node], path: Path) -> str:
        return self.places.mark((*path, "thread"), tokens(origin[0])[0]) if origin else ""

    def stop(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.UserStopLbr(self.places.mark((*path, "vcpu"), tokens(node)[1]))

    def migrate(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        _, vcpu, kvm, how, what = tokens(node)
        if what != "lbr":
            self.places.fail(what, f"expected 'lbr', found {quote(what)}")
        self.places.mark((*path, "vcpu"), vcpu)
        return a.UserMigrate(str(vcpu), self.places.mark((*path, "kvm"), kvm), how == "with", register)

    def msr(self, node: Node, path: Path, *more: str) -> a.MsrRef:
        name, *index = tokens(node)
        self.places.mark((*path, "msr"), name)
        ref = a.MsrRef(f"{numeral(name, self.places):#x}") if name.type == "NUMBER" else named(name)
        if ref is None:
            self.places.fail(name, unknown("MSR", name, (*SPELLINGS, *more)))
        if not index:
            return ref
        if ref.index is not None:
            self.places.fail(index[0], f"{name} names one entry already")
        self.places.mark((*path, "index"), index[0])
        return a.MsrRef(ref.name, numeral(index[0], self.places) if index[0].type == "NUMBER" else str(index[0]))

    def value(self, node: Node, ref: a.MsrRef, path: Path) -> int:
        known, value = bit_names(ref), 0
        for token in tokens(node):
            self.places.mark((*path, "value"), token)
            if token.type == "NUMBER":
                value |= numeral(token, self.places)
            elif token in known:
                value |= known[token]
            elif known:
                self.places.fail(token, unknown(f"bit of {ref.name}", token, known))
            else:
                self.places.fail(token, f"expected a number, found {quote(token)}: no bit of {ref.name} has a name")
        return value


_ACTIONS: dict[str, Callable[[StatementReader, Node, str, Path], a.AnyStmt]] = {
    "run": StatementReader.run,
    "idle": StatementReader.idle,
    "open": StatementReader.open,
    "event_op": StatementReader.event_op,
    "read": StatementReader.read_event,
    "sample": StatementReader.sample,
    "advance": StatementReader.advance,
    "mux": StatementReader.mux,
    "mediate": StatementReader.mediate,
    "wrmsr": StatementReader.wrmsr,
    "rdmsr": StatementReader.rdmsr,
    "cpuid": StatementReader.cpuid,
    "hlt": StatementReader.hlt,
    "out": StatementReader.out,
    "nop": StatementReader.nop,
    "set": StatementReader.set,
    "get": StatementReader.get,
    "stop": StatementReader.stop,
    "migrate": StatementReader.migrate,
}
