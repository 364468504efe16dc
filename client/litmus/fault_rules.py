"""From the text of a fault rule to the rule, and from a file of rules to all of them.

    drop Revoke first 2
    delay EventState by 3 after 4ms
    duplicate kvm0>host Ack
    reorder SchedIn vm0/0 p=0.1 seed=7

A rule is one line: the kind, then what selects messages, in any order. A colon may stand for a blank, so that a rule
needs no quotes in a shell: ``drop:Revoke:1``. A fault of a link, a service or a clock names it behind the kind, then
says when it strikes:

    cut kvm0>host at Revoke 1 by 20ms
    stall perfcore at record 40
    clock kvm0 rate 1.25
    crash perfcore at Revoke 1 by 4ms
    end thread vm0/0 at record 40

Any text gives either a rule or one InputError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from lark import Lark, Token, UnexpectedCharacters, UnexpectedToken
from msgspec.structs import replace

from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS, TARGETS, FaultKind
from client.litmus.spelling import hint, listed, quote, unknown
from client.litmus.tables import parser_of
from client.litmus.text import UNITS
from client.litmus.tree import tokens, trees
from contract.checksum import changeable
from contract.errors import InputError
from contract.messages import HOST, MESSAGE_KINDS, MESSAGES
from contract.spec import NORMAL_RATE, RATES

LENGTH_LIMIT = 1000
"""Characters of a rule."""
RULES_LIMIT = 1000
"""Rules of a file."""
NUMBER_LIMIT = 1_000_000_000
"""The largest number and, in its own unit, the longest time of a rule."""

FAULT_GRAMMAR = r"""
start: WORD part*
?part: messages | route | session | vcpu | event | field | count | by | at | rate | after | before | chance | seed
messages: WORD ("," WORD)*
route: ROUTE
session: "session" WORD
vcpu: VCPU
event: "event" NUMBER
field: "field" WORD
count: NUMBER | FIRST NUMBER? | FROM NUMBER | ALL
by: "by" (NUMBER | DURATION)
at: AT (DURATION | RECORD NUMBER)?
rate: "rate" (NUMBER | DECIMAL)
after: "after" (DURATION | RECORD NUMBER)
before: "before" (DURATION | RECORD NUMBER)
chance: CHANCE
seed: SEED

AT: "at"
FIRST: "first"
FROM: "from"
ALL: "all"
RECORD: "record"
WORD: /[A-Za-z_][A-Za-z0-9_-]*/
VCPU.2: /[A-Za-z_][A-Za-z0-9_-]*\/[0-9]+/
ROUTE.3: /[A-Za-z0-9_-]*>[A-Za-z0-9_-]*/
DURATION.2: /[0-9]+(ns|us|ms|s)(?![A-Za-z0-9])/
NUMBER: /[0-9]+(?![A-Za-z0-9_.])/
DECIMAL: /[0-9]+\.[0-9]+(?![A-Za-z0-9_.])/
CHANCE.3: /p=[^ \t]*/
SEED.3: /seed=[^ \t]*/
%ignore /[ \t]+/
"""
_NAMES = {
    "WORD": "a message",
    "ROUTE": "a direction (kvm0>host)",
    "VCPU": "a vCPU (vm0/0)",
    "NUMBER": "a number",
    "DURATION": "a time (4ms)",
    "DECIMAL": "a decimal number (1.25)",
    "CHANCE": "p=0.1",
    "SEED": "seed=7",
    "COMMA": "a comma",
    "$END": "the end of the rule",
}


@cache
def _grammar() -> Lark:
    return parser_of(FAULT_GRAMMAR, lexer="contextual", maybe_placeholders=False)


_TARGET = re.compile(r"\s*([a-z]+)[ \t]+([A-Za-z0-9_/>-]+)")
_THREADS = re.compile(r"\s*(end)[ \t]+((?:thread|vm)(?:[ \t]+[A-Za-z0-9_/-]+)?)(?![A-Za-z0-9_/-])")
_NO_TARGET = re.compile(r"at|rate|session|event|field|first|from|all|by|after|before|p|seed|[0-9].*")
"""Words behind the kind that are no target; nor is the name of a message."""

_PARTS_BY_NAME = ("session", "event", "field", "first", "from", "all", "by", "at", "rate", "after", "before")

Locate = Callable[[int | None], str]
"""The place of a column of a rule, from 1, in error messages; None: of the whole rule."""


def parse_fault(text: str, place: str | Locate = "--fault") -> FaultRule:
    """The rule that ``text`` describes. ``place``: where the text was given, in error messages."""
    return _Reading(text, place if callable(place) else _within(f"{place} {quote(text)}".lstrip())).rule()


def target_error(kind: FaultKind, target: str) -> str:
    """Why a kind cannot have this target; "" if it can."""
    sender, arrow, receiver = target.partition(">")
    if kind.strikes == "thread":
        what, *names = target.split()
        fine = len(names) == 1 and (what, "/" in names[0]) in (("thread", True), ("vm", False))
    elif arrow:
        fine = kind.strikes == "link" and (sender == HOST) != (receiver == HOST)
    else:
        fine = "/" not in target and target != HOST
    return "" if fine else f"{kind.name} {quote(target)}: expected {TARGETS[kind.strikes]}"


def _within(place: str) -> Locate:
    return lambda column: place if column is None else f"{place}, column {column}"


def parse_faults(text: str, path: str) -> tuple[FaultRule, ...]:
    """A file of rules, one on each line; blank lines and ``#`` comments are allowed. ``path``: its name in errors."""
    return tuple(rule for _, rule in numbered_faults(text, path))


def numbered_faults(text: str, path: str) -> list[tuple[int, FaultRule]]:
    """The rules of a file, each with the number of its line, from 1. Raises InputError as ``parse_faults``, and for a
    file without a rule."""
    lines = [(n, line.split("#", 1)[0].strip()) for n, line in enumerate(text.splitlines(), 1)]
    rules = [(n, line) for n, line in lines if line]
    if len(rules) > RULES_LIMIT:
        raise InputError(f"more than {RULES_LIMIT} rules", path)
    if not rules:
        raise InputError("holds no rule; expected one on each line, for example 'drop Revoke 1'", path)
    return [(n, parse_fault(line, f"{path}:{n}:")) for n, line in rules]


class _Reading:
    def __init__(self, text: str, locate: Locate) -> None:
        self.text = text.replace(":", " ")
        self.locate = locate
        self.given: set[str] = set()

    def rule(self) -> FaultRule:
        if len(self.text) > LENGTH_LIMIT:
            raise InputError(f"longer than {LENGTH_LIMIT} characters", self.locate(None))
        target = self.target()
        try:
            tree = _grammar().parse(self.text)
        except UnexpectedToken as error:
            at = error.token.column if error.token.type != "$END" else None
            self._syntax(at, error.accepts or error.expected, quote(str(error.token)) if at else "")
        except UnexpectedCharacters as error:
            self._syntax(error.column, error.allowed or set(), quote(self.text[error.pos_in_stream :].split(" ")[0]))
        (name,) = tokens(tree)
        if name not in FAULT_KINDS:
            self.fail(name, unknown("kind", name, FAULT_KINDS))
        rule = FaultRule(kind=str(name), target=target)
        for part in trees(tree):
            rule = replace(rule, **self.part(part.data, tokens(part)))
        return self.checked(rule, FAULT_KINDS[name], name)

    def target(self) -> str:
        """Cut the target out of the text, which keeps its columns; "" if there is none."""
        match = _THREADS.match(self.text) or _TARGET.match(self.text)
        if match is None or match[1] not in FAULT_KINDS or FAULT_KINDS[match[1]].strikes == "message":
            return ""
        word, start = match[2], match.start(2)
        if _NO_TARGET.fullmatch(word) or word in MESSAGE_KINDS:
            return ""
        if why := target_error(FAULT_KINDS[match[1]], word):
            raise InputError(why, self.locate(start + 1))
        self.text = self.text[:start] + " " * len(word) + self.text[start + len(word) :]
        return " ".join(word.split())

    def part(self, name: str, words: list[Token]) -> dict[str, Any]:
        values: dict[str, Any] = _PARTS[name](self, words)
        if again := self.given & values.keys():
            self.fail(words[0], f"{'count' if 'first' in again else name} is given twice")
        self.given |= values.keys()
        return values

    def checked(self, rule: FaultRule, kind: FaultKind, name: Token) -> FaultRule:
        selects = kind.strikes == "message" or replace(rule, each=False).of_messages
        if rule.each and (selects or "at_time" not in self.given):
            rule = replace(rule, each=False)
        given = bool(rule.amount or rule.time)
        if given and not kind.amount:
            self.fail(name, f"{kind.name} takes no 'by'")
        if rule.time and not kind.timed:
            self.fail(name, f"{kind.name} takes no time: 'by' gives {kind.amount}")
        if not given and kind.amount and not kind.usual:
            self.fail(name, f"{kind.name} needs 'by': {kind.amount}, for example '{kind.example}'")
        if rule.seed and rule.chance == 1:
            self.fail(name, f"seed={rule.seed} has no effect without a probability, for example p=0.1")
        if rule.field:
            self.has_field(rule, name)
        if kind.strikes == "message":
            if self.given & {"at_time", "rate"}:
                self.fail(name, f"{kind.name} takes no {'at' if 'at_time' in self.given else 'rate'}")
        else:
            self.strikes(rule, kind, name)
        return replace(rule, amount=0) if rule.amount == kind.usual else rule

    def strikes(self, rule: FaultRule, kind: FaultKind, name: Token) -> None:
        """Check that a rule of another kind names its target and its moment."""
        timed = rule.at_time or rule.at_record
        if bool(rule.rate) != (kind.strikes == "clock"):
            why = f"needs 'rate', for example '{kind.example}'" if kind.strikes == "clock" else "takes no rate"
            self.fail(name, f"{kind.name} {why}")
        if timed and rule.of_messages:
            self.fail(name, f"{kind.name}: 'at' gives either a moment or messages")
        if not timed and not rule.of_messages and kind.strikes != "clock":
            missing = "a message or a moment behind 'at'" if "at_time" in self.given else "'at'"
            self.fail(name, f"{kind.name} needs {missing}, for example '{kind.example}'")
        partial = not rule.target or rule.target.startswith(">") or rule.target[-1] == ">"
        if timed and kind.strikes != "clock" and partial:
            self.fail(name, f"{kind.name} at a moment needs {TARGETS[kind.strikes]}")

    def has_field(self, rule: FaultRule, name: Token) -> None:
        if rule.kind != "corrupt":
            self.fail(name, f"{rule.kind} takes no field")
        for message in rule.messages or ("",):
            kinds = [MESSAGES[message]] if message else list(MESSAGES.values())
            fields = dict.fromkeys(field for kind in kinds for field in changeable(kind))
            if rule.field not in fields:
                self.fail(name, unknown(f"field of {message or 'a message'}", rule.field, fields))

    def messages(self, words: list[Token]) -> dict[str, Any]:
        for word in words:
            if word not in MESSAGE_KINDS:
                self.fail(word, self.no_message(word))
        return {"messages": tuple(dict.fromkeys(map(str, words)))}

    def no_message(self, word: Token) -> str:
        """Why a word is wrong that the grammar takes for the name of a message. It may be meant for a unit, a number
        or another part of a rule."""
        before = self.text[: (word.column or 1) - 1].split()
        if "messages" not in self.given and before[-2:-1] not in (["by"], ["after"], ["before"], ["at"]):
            return unknown("message", word, MESSAGE_KINDS)
        if len(before) > 1 and before[-1].isdigit() and before[-2] in ("by", "after", "before", "at"):
            like = f"{before[-1]}ms"
            return f"expected a unit at the number ({', '.join(UNITS)}), for example {like}; found {quote(word)}"
        return f"expected a number or another part of a rule, found {quote(word)}{hint(word, _PARTS_BY_NAME)}"

    def route(self, words: list[Token]) -> dict[str, Any]:
        sender, _, receiver = words[0].partition(">")
        if (sender == HOST) == (receiver == HOST):
            self.fail(words[0], f"one end of {words[0]} must be {quote(HOST)}, for example kvm0>host, >host or host>")
        return {"session": sender if receiver == HOST else receiver, "to_host": receiver == HOST}

    def session(self, words: list[Token]) -> dict[str, Any]:
        return {"session": str(words[0])}

    def vcpu(self, words: list[Token]) -> dict[str, Any]:
        return {"vcpu": str(words[0])}

    def event(self, words: list[Token]) -> dict[str, Any]:
        return {"event": self.number(words[0])}

    def field(self, words: list[Token]) -> dict[str, Any]:
        return {"field": str(words[0])}

    def count(self, words: list[Token]) -> dict[str, Any]:
        how = words[0]
        n = self.number(words[-1]) if words[-1].type == "NUMBER" else 1
        if how.type == "ALL":
            return {"first": 1, "last": 0, "each": True}
        if how.type == "FIRST":
            return {"first": 1, "last": n}
        return {"first": n, "last": 0 if how.type == "FROM" else n}

    def by(self, words: list[Token]) -> dict[str, Any]:
        if words[0].type == "DURATION":
            return {"amount": 0, "time": self.duration(words[0])}
        return {"amount": self.number(words[0]), "time": 0}

    def at(self, words: list[Token]) -> dict[str, Any]:
        if len(words) == 1:
            return {"at_time": 0}
        return (
            {"at_time": self.duration(words[1])}
            if len(words) == 2
            else {"at_time": 0, "at_record": self.number(words[2])}
        )

    def rate(self, words: list[Token]) -> dict[str, Any]:
        rate = round(float(words[0]) * NORMAL_RATE) if len(words[0]) <= 16 else 0
        if rate not in RATES:
            least, most = RATES[0] / NORMAL_RATE, RATES[-1] // NORMAL_RATE
            self.fail(words[0], f"{quote(words[0])} is not a rate from {least:g} to {most}")
        return {"rate": rate}

    def after(self, words: list[Token]) -> dict[str, Any]:
        return self._limit("after", words)

    def before(self, words: list[Token]) -> dict[str, Any]:
        return self._limit("before", words)

    def chance(self, words: list[Token]) -> dict[str, Any]:
        given = words[0].partition("=")[2]
        try:
            chance = float(given) if re.fullmatch(r"[0-9.e-]+", given) else 0.0
        except ValueError:
            chance = 0.0
        if not 0 < chance <= 1:
            self.fail(words[0], "expected a probability above 0 and up to 1, for example p=0.1")
        return {"chance": chance}

    def seed(self, words: list[Token]) -> dict[str, Any]:
        digits = words[0].partition("=")[2]
        if not re.fullmatch("[0-9]+", digits):
            self.fail(words[0], f"expected a number, for example seed=7, found {quote(digits)}")
        return {"seed": self.number(words[0].update(value=digits), least=0)}

    def number(self, word: Token, least: int = 1) -> int:
        value = int(word) if len(word) <= 12 else NUMBER_LIMIT + 1
        if not least <= value <= NUMBER_LIMIT:
            self.fail(word, f"{quote(word)} is not a number from {least} to {NUMBER_LIMIT:_}")
        return value

    def duration(self, word: Token) -> int:
        unit = next(u for u in sorted(UNITS, key=len, reverse=True) if word.endswith(u))
        return self.number(word.update(value=word[: -len(unit)])) * UNITS[unit]

    def _limit(self, name: str, words: list[Token]) -> dict[str, Any]:
        if words[0].type == "RECORD":
            return {f"{name}_record": self.number(words[1])}
        return {name: self.duration(words[0])}

    def fail(self, word: Token, message: str) -> NoReturn:
        raise InputError(message, self.locate(word.column))

    def _syntax(self, column: int | None, accepted: set[str], found: str) -> NoReturn:
        if not self.text.strip():
            raise InputError(f"expected a kind of fault: {listed(FAULT_KINDS)}", self.locate(None))
        expected = sorted({_NAMES.get(each, quote(each.lower())) for each in accepted})
        raise InputError(f"expected {listed(expected)}, found {found or 'the end of the rule'}", self.locate(column))


_PARTS: dict[str, Callable[[_Reading, list[Token]], dict[str, Any]]] = {
    "messages": _Reading.messages,
    "route": _Reading.route,
    "session": _Reading.session,
    "vcpu": _Reading.vcpu,
    "event": _Reading.event,
    "field": _Reading.field,
    "count": _Reading.count,
    "by": _Reading.by,
    "at": _Reading.at,
    "rate": _Reading.rate,
    "after": _Reading.after,
    "before": _Reading.before,
    "chance": _Reading.chance,
    "seed": _Reading.seed,
}
