"""The grammar: ``litmus.lark`` with the rules of every statement and a terminal for every keyword.

Rules write a keyword as a terminal of the same name, ``HLT`` for ``hlt``, to keep its place in the parse tree.
"""

from __future__ import annotations

import re
from importlib import resources

from client.litmus.statements import STATEMENTS
from client.litmus.statements.program import Assign
from client.litmus.statements.statement import Stmt

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TERMINAL = re.compile(r"\b[A-Z][A-Z_]*\b")


def _group(kind: type[Stmt]) -> str:
    """The rule of ``litmus.lark`` that lists the statement as an alternative."""
    if kind is Assign:
        return "_computed"
    if kind.blocks:
        return "_control"
    return "_valued" if "register" in kind.__struct_fields__ else "_plain"


def _assembled() -> str:
    shared = resources.files("client.litmus").joinpath("litmus.lark").read_text(encoding="utf-8")
    rules: dict[str, str] = {}
    groups: dict[str, list[str]] = {"_valued": [], "_computed": [], "_plain": [], "_control": []}
    for kind in STATEMENTS:
        for name, rule in kind.rules.items():
            if name not in rules:
                groups[_group(kind)].append(name)
            rules[name] = rule
        rules |= kind.parts
    lines = [f"{name}: {' | '.join(names)}" for name, names in groups.items()]
    lines += [f"{name}: {rule}" for name, rule in rules.items()]
    text = shared + "\n" + "\n".join(lines) + "\n"
    said = [_STRING.sub("", line) for line in text.splitlines() if re.match(r"[?_a-z\s|]", line)]
    used = {name for line in said for name in _TERMINAL.findall(line)}
    defined = set(re.findall(r"^([A-Z_]+)(?:\.\d+)?:", text, re.MULTILINE))
    return text + "".join(f'{name}: "{name.lower()}"\n' for name in sorted(used - defined))


GRAMMAR = _assembled()
KEYWORDS = frozenset(re.findall(r'"([A-Za-z_]+)"', GRAMMAR))
"""The words of the grammar. None of them can be a name."""
