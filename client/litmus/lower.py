"""From parse tree to Scenario. It checks only what the text alone shows (spellings, repeated options); validation
checks the rest."""

from __future__ import annotations

import re

from lark import Token

from client.litmus import ast as a
from client.litmus.limits import MAX_NESTING
from client.litmus.lower_fault import lower_fault
from client.litmus.lower_final import lower_expect, lower_final
from client.litmus.lower_operand import first
from client.litmus.numerals import numeral
from client.litmus.places import Path, Places
from client.litmus.reading import Known, Reading
from client.litmus.settings import amount, read_settings, switch
from client.litmus.spelling import quote
from client.litmus.statements import kind_of
from client.litmus.tree import Node, tokens, trees
from client.litmus.words import actor_kind
from contract.control import MachineSpec, VmSpec

MACHINE_SETTINGS = ("cpus", "lbr", "depth", "counters", "fixed", "kernel", "bus_lock", "rtm", "mediated")
_OTHER_MACHINE = tuple(key for key in MACHINE_SETTINGS if key not in ("lbr", "depth"))
VM_SETTINGS = ("vcpus", "lbr", *a.CPUID, "bus_lock", "rtm", "apic", "kvm")


def lower(tree: Node, places: Places) -> a.Scenario:
    return _Lowering(places).scenario(tree)


class _Lowering:
    def __init__(self, places: Places) -> None:
        self.places = places
        self.known = Known(places)
        self.described = False

    def scenario(self, tree: Node) -> a.Scenario:
        name, *rest = tokens(tree)
        out = a.Scenario(
            self.places.mark(("name",), name),
            tasks=[],
            vms=[],
            blocks=[],
            hosts=[],
            kvms=[],
            homes={},
            expects=[],
            faults=[],
        )
        if rest:
            self.places.mark(("purpose",), rest[0])
            out.purpose = _purpose(rest[0])
        for node in trees(tree):
            match node.data:
                case "machine":
                    self.machine(node, out)
                case "kvm":
                    out.kvms.append(self.kvm(node, len(out.kvms)))
                case "tasks":
                    for token in tokens(node):
                        out.tasks.append(self.places.mark(("task", len(out.tasks)), token))
                case "vm":
                    out.vms.append(self.vm(node, out))
                case "constant":
                    self.constant(node, out)
                case "fault":
                    out.faults.append(lower_fault(node, len(out.faults), self.places))
                case "block":
                    out.blocks.append(self.block(node, len(out.blocks)))
                case "expect":
                    out.expects.append(lower_expect(node, len(out.expects), self.places))
                case _:
                    out.final = lower_final(node, self.places)
        return out

    def machine(self, node: Node, out: a.Scenario) -> None:
        """The first host; with a name, another host, whose defaults are the values of the first."""
        verb, *name = tokens(node)
        if name and not self.described:
            self.places.fail(verb, "describe the machine without a name before others")
        path: Path = ("host", len(out.hosts)) if name else ("machine",)
        keys = _OTHER_MACHINE if name else MACHINE_SETTINGS
        given = read_settings(node, self.places, path, keys)
        if self.described and not name:
            self.places.fail(verb, "the machine is described twice")
        usual = out.machine if name else MachineSpec()
        spec = MachineSpec(
            cpus=self.count(given, "cpus", usual.cpus),
            lbr=str(given.get("lbr", usual.lbr)),
            depth=self.count(given, "depth", usual.depth),
            counters=self.count(given, "counters", usual.counters),
            fixed=self.count(given, "fixed", usual.fixed),
            kernel=str(given.get("kernel", usual.kernel)),
            bus_lock=self.switch(given, "bus_lock", usual.bus_lock),
            rtm=self.switch(given, "rtm", usual.rtm),
            mediated=self.switch(given, "mediated", usual.mediated),
        )
        if name:
            out.hosts.append(a.HostSpec(self.places.mark(path, name[0]), spec))
        else:
            out.machine, self.described = spec, True
        self.known.cpus = out.cpus()

    def kvm(self, node: Node, nth: int) -> a.KvmSpec:
        _, name, *host = tokens(node)
        self.places.mark(("kvm", nth), name)
        return a.KvmSpec(str(name), self.places.mark(("kvm", nth, "host"), host[0]) if host else "")

    def constant(self, node: Node, out: a.Scenario) -> None:
        _, name, value = tokens(node)
        if name in out.lets:
            self.places.fail(name, f"{quote(name)} is set twice")
        out.lets[self.places.mark(("let", str(name)), name)] = numeral(value, self.places)
        self.known.constants = out.lets

    def switch(self, given: dict[str, Token], key: str, usual: bool) -> bool:
        said = switch(given, key, self.places)
        return usual if said is None else said

    def count(self, given: dict[str, Token], key: str, usual: int) -> int:
        value = amount(given, key, self.places)
        if value is None:
            return usual
        if key == "depth" and not value:
            self.places.fail(
                given[key], "depth = 0, expected a power of two; without it the LBR model has its own depth"
            )
        return value

    def vm(self, node: Node, out: a.Scenario) -> VmSpec:
        path = ("vm", len(out.vms))
        name = self.places.mark(path, tokens(node)[0])
        given = read_settings(node, self.places, path, VM_SETTINGS)
        if "kvm" in given:
            out.homes[name] = str(given["kvm"])
        usual = VmSpec(name)
        return VmSpec(
            name,
            vcpus=self.count(given, "vcpus", usual.vcpus),
            lbr=self.switch(given, "lbr", usual.lbr),
            pmu=self.count(given, "pmu", usual.pmu),
            counters=amount(given, "counters", self.places),
            fixed=amount(given, "fixed", self.places),
            pdcm=self.switch(given, "pdcm", usual.pdcm),
            model=str(given.get("model", usual.model)),
            bus_lock=self.switch(given, "bus_lock", usual.bus_lock),
            rtm=self.switch(given, "rtm", usual.rtm),
            apic=self.switch(given, "apic", usual.apic),
        )

    def block(self, node: Node, nth: int) -> a.Block:
        head, *entries = trees(node)
        actors = [
            self.places.mark(("block", nth) if i == 0 else ("block", nth, "actor", i), token)
            for i, token in enumerate(tokens(head))
        ]
        steps = [self.step(entry, actors, "", ("block", nth, "step", s)) for s, entry in enumerate(entries)]
        return a.Block(actors, steps)

    def step(self, entry: Node, actors: list[str], within: str, path: Path) -> a.LitmusStep:
        """``within``: the actor of the program statement around this one. A statement without an actor of its own
        belongs to it."""
        if len(path) > 2 * MAX_NESTING:
            self.places.fail(first(entry), f"blocks nest deeper than {MAX_NESTING}")
        (statement,) = trees(entry)
        (action,) = trees(statement)
        registers, verb = tokens(statement), first(action)
        self.places.mark(path, verb)
        register = self.places.mark((*path, "register"), registers[0]) if registers else ""
        prefix = tokens(entry)
        if not prefix and not within and len(actors) > 1:
            start = registers[0] if registers else verb
            self.places.fail(start, f"the statement names no actor, expected {quote(actors[0] + ': ...')}")
        actor = self.places.mark((*path, "actor"), prefix[0]) if prefix else within or actors[0]
        return a.LitmusStep(actor, self.statement(action, actors, actor, register, path), verb.line or 0)

    def statement(self, node: Node, actors: list[str], actor: str, register: str, path: Path) -> a.AnyStmt:
        def body(node: Node, field: str) -> tuple[a.LitmusStep, ...]:
            return tuple(self.step(entry, actors, actor, (*path, field, i)) for i, entry in enumerate(trees(node)))

        def chained(node: Node, field: str) -> a.LitmusStep:
            place, verb = (*path, field, 0), first(node)
            self.places.mark(place, verb)
            if len(place) > 2 * MAX_NESTING:
                self.places.fail(verb, f"blocks nest deeper than {MAX_NESTING}")
            return a.LitmusStep(actor, self.statement(node, actors, actor, "", place), verb.line or 0)

        kind = kind_of(node.data, actor_kind(actor))
        stmt = kind.read(Reading(node, actor, register, path, self.known, body, chained))
        self.known.set(actor, register)
        return stmt


def _purpose(token: Token) -> str:
    """The purpose without its quotes. A line break with its indentation becomes one blank."""
    text = token[1:-1]
    if "\n" in text:
        text = " ".join(line.strip() for line in text.splitlines())
    return re.sub(r'\\(["\\])', r"\1", text)
