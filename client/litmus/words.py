"""The vocabularies of litmus text: reserved words, names, the fields and named values of final conditions."""

from __future__ import annotations

import re

from client.litmus.expression import ERRNOS
from client.litmus.grammar import KEYWORDS
from client.litmus.limits import MAX_NAME
from client.litmus.statements import STATEMENTS
from client.litmus.statements.statement import Stmt

QUANTIFIERS = ("exists", "~exists", "forall")

VERDICTS = ("held", "violated", "open", "not-exercised")

# The fields of a register that a final condition may name, by the statement that set it.
STMT_FIELDS: dict[type[Stmt], tuple[str, ...]] = {kind: kind.fields for kind in STATEMENTS if kind.fields}
EVENT_STATES = ("ACTIVE", "INACTIVE", "OFF", "ERROR", "CLOSED")
STATE_WORDS = (*EVENT_STATES, *ERRNOS)
STATE_NOW_WORDS = (*STATE_WORDS, "none")
REGISTER_WORDS = ("#GP", "#DE", "ok", "EOF", "none", "skipped", *ERRNOS)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*")
_CPU = re.compile(r"cpu[0-9]+")
_HOST = re.compile(r"host(?:[1-9][0-9]{0,3})?")
_USER = re.compile(r"user(?:[1-9][0-9]{0,3})?")


def is_name(text: str) -> bool:
    """Whether ``text`` can name a scenario, a task, a VM, a register."""
    if len(text) > MAX_NAME or text in KEYWORDS or _CPU.fullmatch(text):
        return False
    return _NAME.fullmatch(text) is not None


def actor_kind(actor: str) -> str:
    """``host``, ``guest`` or ``user``; "" if it is not an actor. The VM of a guest need not exist."""
    if "/" in actor:
        return "guest"
    if _HOST.fullmatch(actor):
        return "host"
    return "user" if _USER.fullmatch(actor) else ""
