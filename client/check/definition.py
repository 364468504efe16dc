"""The definition of an invariant in words. ``lbrlab invariants NAME`` shows it, and tests compare the monitor with
it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """``text``: the invariant in one paragraph. ``broken_by``: the records that violate it. ``evidence``: the records
    that a trace must contain for the result held. ``open_while``: for a liveness invariant, the condition that leaves
    the result open at the end of a trace. ``reads``: each type of record that the monitor handles, and the data that
    the monitor takes from it. ``unseen``: violations that the monitor cannot see. ``excuses``: the faults after
    which the monitor judges something less, each with the excused part and the reason. ``rules``: the rules of the
    contract whose breach the monitor sees."""

    text: str
    broken_by: str
    evidence: str
    reads: Mapping[type, str]
    unseen: str
    open_while: str = ""
    excuses: tuple[tuple[str, str], ...] = ()
    rules: tuple[str, ...] = ()
