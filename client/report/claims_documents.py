"""The document of ``claims --json``."""

from __future__ import annotations

import msgspec

from client.baseline import Compared
from client.claims.checks import Check


class ClaimDocument(msgspec.Struct):
    """``agrees``: all checks do. A check has the design, what the claim says of it, what the trace says, the run file
    and the record in it that shows that."""

    id: str
    who: str
    text: str
    agrees: bool
    checks: list[Check]


class ClaimsDocument(msgspec.Struct):
    """``claims``. ``baseline``: the checks that are not as claimed against a baseline, null without one."""

    exit_code: int
    agree: int
    findings: int
    claims: list[ClaimDocument]
    baseline: Compared | None = None
