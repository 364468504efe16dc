"""``branch``, a statement of hosts and guests."""

from __future__ import annotations

from typing import cast

from lark import Token

from client.litmus.expression import Constant
from client.litmus.reading import Reading
from client.litmus.spelling import quote, unknown
from client.litmus.tree import tokens
from contract.x86 import BRANCH_KINDS

BRANCH_RULES = {"branch": "BRANCH (NUMBER | WORD) (WORD | USER | KERNEL | on_cpu)*"}
"""For hosts and guests. Only a host's branches name a CPU."""


def read_branch(at: Reading) -> tuple[Constant, str, str, Token | None]:
    """Count, kind, privilege and the CPU. Raises InputError for an option that is given twice."""
    _, amount, *options = at.node.children
    count = at.constant(cast(Token, amount), "count")
    seen: dict[str, Token] = {}
    for option in options:
        token = option if isinstance(option, Token) else tokens(option)[0]
        slot = {"WORD": "kind", "CPU": "cpu"}.get(token.type, "privilege")
        if slot in seen:
            at.fail(token, f"{quote(token)} after {quote(seen[slot])}")
        seen[slot] = token
        if slot == "kind" and token not in BRANCH_KINDS:
            at.fail(token, unknown("branch kind", token, (*BRANCH_KINDS, "on", "user", "kernel")))
    return count, str(seen.get("kind", "jmp")), str(seen.get("privilege", "kernel")), seen.get("cpu")


def branch_action(count: Constant, kind: str, privilege: str) -> str:
    words = [kind] if kind != "jmp" else []
    words += [privilege] if privilege != "kernel" else []
    return " ".join(["branch", str(count), *words])
