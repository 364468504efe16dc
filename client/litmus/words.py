"""The vocabularies of litmus text: reserved words, names, the fields and named values of final conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from client.litmus.ast import ERRNOS, GENERAL, GuestReadLbr, OpenEvent, ReadEvent, SampleEvent, Stmt, UserGetMsrs
from client.litmus.limits import MAX_NAME
from contract.control import MSRS_LIMIT
from perfcore_svc.perf.event import TRACERS
from perfcore_svc.perf.pmu import FIXED_EVENTS

# The grammar's keywords: none of them can be a name. A test keeps the two the same.
RESERVED = frozenset(
    {"LBR", "machine", "kvm", "task", "vm", "let", "on", "in", "expect", "exists", "forall", "invariant"}
    | {"run", "idle", "open", "enable", "disable", "close", "read", "sample", "state", "branch", "advance"}
    | {"mux", "mediate", "unmediate", "group"}
    | {"wrmsr", "rdmsr", "rdpmc", "pmis", "cpuid", "hlt", "out", "nop"}
    | {"repeat", "for", "while", "if", "else", "break", "lbr_depth"}
    | {"set", "get", "from", "stop_lbr", "reset", "set_cpuid", "migrate", "to", "with", "without", "under"}
    | {"pinned", "flexible", "exclusive", "disabled", "user", "kernel"}
    | {"exclude_guest", "exclude_host", "exclude_user", "exclude_kernel"}
    | {"counter", "counting", "period"}
)

# What an event counts: any general counter will do, one that has a fixed counter too, or what a tracer traces.
BRANCH_CONFIGS = (GENERAL, *FIXED_EVENTS)
CONFIGS = (*BRANCH_CONFIGS, *TRACERS)
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
QUANTIFIERS = ("exists", "~exists", "forall")

VERDICTS = ("held", "violated", "open", "not-exercised")

# What a final condition may ask of a register, by the statement that set it.
FIELDS: dict[type[Stmt], tuple[str, ...]] = {
    OpenEvent: ("state", "samples"),
    ReadEvent: ("count", "enabled", "running"),
    SampleEvent: ("entries", "host", "guest", "empty"),
    UserGetMsrs: ("done", *(f"v{i}" for i in range(MSRS_LIMIT - 1))),
    GuestReadLbr: ("tos", "own", "foreign", "written", "empty"),
}
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
    if len(text) > MAX_NAME or text in RESERVED or _CPU.fullmatch(text):
        return False
    return _NAME.fullmatch(text) is not None


def actor_kind(actor: str) -> str:
    """``host``, ``guest``, ``user``, or "" for no actor. Whether a guest's VM exists is not asked here."""
    if "/" in actor:
        return "guest"
    if _HOST.fullmatch(actor):
        return "host"
    return "user" if _USER.fullmatch(actor) else ""


def quote(text: str) -> str:
    """``text`` in quotes, fit for one line of any terminal."""
    if len(text) > 40:
        text = text[:37] + "..."
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "'"


def hint(word: str, candidates: Iterable[str]) -> str:
    """``, did you mean 'x'?`` when one of ``candidates`` is near, else nothing."""
    if len(word) > MAX_NAME:
        return ""
    known = list(candidates)[:256]
    near = [c for c in known if c.lower() == word.lower()] or get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {quote(near[0])}?" if near and near[0] != word else ""


def unknown(what: str, word: str, candidates: Iterable[str]) -> str:
    """``unknown kind 'cal', did you mean 'call'?``; a short vocabulary is listed when none is near."""
    known = list(candidates)
    text = f"unknown {what} {quote(word)}"
    near = hint(word, known)
    if near or not 0 < len(known) <= 10:
        return text + near
    return f"{text}, expected {listed(known)}"


def listed(words: Iterable[str], *, quoted: bool = False) -> str:
    """``a, b or c``"""
    items = [quote(w) if quoted else w for w in words]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " or " + items[-1]
