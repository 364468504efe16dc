"""``open`` with all that can be said of an event: parse tree to OpenEvent. Nothing is said twice."""

from __future__ import annotations

from typing import cast

from lark import Token, Tree

from client.litmus import ast as a
from client.litmus.limits import MAX_PERIOD
from client.litmus.numerals import cpu_number, numeral
from client.litmus.places import Path, Places
from client.litmus.tree import Node, tokens
from client.litmus.words import BRANCH_CONFIGS, CONFIGS, quote, unknown
from perfcore_svc.perf.branch_filter import BRANCH_FILTERS

# What each option settles; others settle what is called like them.
_SLOTS = {
    "pinned": ("class",),
    "flexible": ("class",),
    "branch": ("stack",),
    "counter": ("stack", "config"),
    "counting": ("config",),
}
_OPTIONS = (
    *("pinned", "flexible", "exclusive", "disabled", "branch", "counter", "counting"),
    *("user", "kernel", "exclude_host", "exclude_guest", "exclude_user", "exclude_kernel", "period", "in"),
)


def lower_open(node: Node, register: str, places: Places, path: Path) -> a.OpenEvent:
    return _Reader(places, path).read(node, register)


class _Reader:
    def __init__(self, places: Places, path: Path) -> None:
        self.places = places
        self.path = path
        self.filters: tuple[str, ...] = ()
        self.config = a.GENERAL
        self.group = ""
        self.period = 0

    def read(self, node: Node, register: str) -> a.OpenEvent:
        verb, target, *options = node.children
        target = cast(Token, target)
        cpu, task = -1, ""
        if target.type == "CPU":
            cpu = self.cpu(target)
        else:
            task = self.mark(target, "task")
            first = options[0] if options else None
            if isinstance(first, Tree) and first.data == "on_cpu":
                cpu = self.cpu(tokens(first)[0])
                options.remove(first)
        seen: dict[str, Token] = {}
        for option in options:
            word, *rest = [option] if isinstance(option, Token) else tokens(option)
            for slot in _SLOTS.get(word, (str(word),)):
                if slot in seen:
                    self.places.fail(word, f"{quote(word)} after {quote(seen[slot])}")
                seen[slot] = word
            self.option(word, rest)
        if "stack" not in seen:
            self.places.fail(cast(Token, verb), "open needs 'branch' with its filters, or 'counter'")
        return a.OpenEvent(
            register,
            cpu,
            task,
            pinned=seen.get("class") == "pinned",
            branch=self.filters,
            privilege=self.levels(seen),
            disabled="disabled" in seen,
            group=self.group,
            exclusive="exclusive" in seen,
            config=self.config,
            exclude_guest="exclude_guest" in seen,
            period=self.period,
            exclude_host="exclude_host" in seen,
            exclude_user="exclude_user" in seen,
            exclude_kernel="exclude_kernel" in seen,
        )

    def levels(self, seen: dict[str, Token]) -> tuple[str, ...]:
        """The levels that are named, else those that are not excluded."""
        named = tuple(level for level in ("user", "kernel") if level in seen)
        return named or tuple(level for level in ("user", "kernel") if f"exclude_{level}" not in seen)

    def option(self, word: Token, rest: list[Token]) -> None:
        match word.type:
            case "IN":
                self.group = self.mark(rest[0], "group")
            case "BRANCH":
                for token in rest:
                    if token not in BRANCH_FILTERS:
                        self.places.fail(token, unknown("branch filter", token, (*BRANCH_FILTERS, *_OPTIONS)))
                self.filters = tuple(self.mark(token, "branch", i) for i, token in enumerate(rest))
            case "COUNTER" if rest:
                self.config = self.counted(rest[0], CONFIGS)
            case "COUNTING":
                self.config = self.counted(rest[0], BRANCH_CONFIGS)
            case "PERIOD":
                self.mark(rest[0], "period")
                self.period = numeral(rest[0], self.places)
                if not self.period:
                    self.places.fail(rest[0], f"period = 0 is impossible, expected 1 to {MAX_PERIOD}")

    def counted(self, token: Token, known: tuple[str, ...]) -> str:
        if token not in CONFIGS:
            self.places.fail(token, unknown("counted event", token, (*known, *_OPTIONS)))
        return self.mark(token, "config")

    def cpu(self, token: Token) -> int:
        self.mark(token, "cpu")
        return cpu_number(token, self.places)

    def mark(self, token: Token, *part: str | int) -> str:
        return self.places.mark((*self.path, *part), token)
