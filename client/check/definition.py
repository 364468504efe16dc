"""An invariant in words: ``lbrlab invariants NAME`` shows them, and tests hold the monitor to them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """``text``: the invariant in one paragraph. ``broken_by``: what breaks it. ``evidence``: what a trace must contain
    for the result held. ``open_while``: of a liveness invariant, what leaves the result open at the end of a trace.
    ``reads``: each type of record that the monitor handles, to what the monitor takes from it. ``unseen``: what the
    monitor cannot see."""

    text: str
    broken_by: str
    evidence: str
    reads: Mapping[type, str]
    unseen: str
    open_while: str = ""
