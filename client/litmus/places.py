"""Where in a scenario something stands: a path through the value, and its place in the text it came from."""

from __future__ import annotations

from typing import NoReturn

from lark import Token

from client.litmus.ast import Scenario, Step, bodies
from client.litmus.text import expect_text, statement_text
from client.litmus.words import quote
from contract.errors import InputError

# ("machine", "cpus"), ("vm", 0, "vcpus"), ("block", 1, "step", 4, "cpu"), ("final", 0, "left") ...
Path = tuple[str | int, ...]


def token_place(file: str, token: Token) -> str:
    return f"{file}:{token.line}:{token.column}"


class Places:
    """Lines and columns of a parsed scenario, kept beside it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._tokens: dict[Path, Token] = {}

    def mark(self, path: Path, token: Token) -> str:
        self._tokens.setdefault(path, token)
        return str(token)

    def fail(self, token: Token, message: str) -> NoReturn:
        raise InputError(message, token_place(self.file, token))

    def find(self, path: Path) -> str:
        """The place of the nearest thing around ``path`` that has one."""
        while path and path not in self._tokens:
            path = path[:-1]
        return token_place(self.file, self._tokens[path]) if path else self.file


def _innermost(step: Step, path: Path) -> Step:
    while len(path) > 1 and path[0] in (inside := bodies(step.stmt)):
        step, path = inside[str(path[0])][int(path[1])], path[2:]
    return step


def describe(scenario: Scenario, path: Path) -> str:
    """``path`` in words, for a scenario that was never text."""
    match path:
        case ("block", int(b), "step", int(s), *_):
            block = scenario.blocks[b]
            step = _innermost(block.steps[s], path[4:])
            text = statement_text(step.stmt)
            where = f"block {quote(block.name)}, {step.actor}, statement {s + 1} ({text})"
        case ("block", int(b), *_):
            where = f"block {quote(scenario.blocks[b].name)}"
        case ("vm", int(i), *_):
            where = f"vm {quote(scenario.vms[i].name)}"
        case ("host", int(i), *_):
            where = f"machine {quote(scenario.hosts[i].name)}"
        case ("kvm", int(i), *_):
            where = f"kvm {quote(scenario.kvms[i].name)}"
        case ("let", str(name), *_):
            where = f"let {quote(name)}"
        case ("expect", int(i), *_):
            where = expect_text(scenario.expects[i])
        case ("task", int(i), *_):
            where = f"task {quote(scenario.tasks[i])}"
        case _:
            where = str(path[0])
    return f"{scenario.name}: {where}" if scenario.name else where
