"""The document of ``claims --json``."""

from __future__ import annotations

import msgspec

from client.baseline import Compared
from client.claims.checks import ClaimCheck


class ClaimDocument(msgspec.Struct):
    """``agrees``: all checks agree. A check has the design, the result that the claim states, the result of the trace,
    the run file and the record in it that shows this."""

    id: str
    author: str
    text: str
    agrees: bool
    checks: list[ClaimCheck]


class ClaimsDocument(msgspec.Struct):
    """``claims``. ``baseline``: the checks that differ from the claim, compared with a baseline; null without a
    baseline."""

    exit_code: int
    agree: int
    findings: int
    claims: list[ClaimDocument]
    baseline: Compared | None = None
