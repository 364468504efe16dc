"""The lines of the log about the sessions of a run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from contract.session import Session, SessionPhase
from contract.trace import SessionChange
from contract.wire.log import log
from contract.wire.service_run import ServiceRun

LOOK_BACK = 100
"""Records among which the reason for the new phase of a session is looked for."""


def note_phases(run: ServiceRun[Any], sessions: Iterable[Session]) -> None:
    """One line for each session whose phase is another one than at the last call."""
    for session in sessions:
        name, phase = session.name, session.phase
        if phase is (before := run.phases.get(name, SessionPhase.CLOSED)):
            continue
        run.phases[name] = phase
        if phase is SessionPhase.GREETING:
            continue
        latest = islice(reversed(run.log.records), LOOK_BACK)
        changes = (r for r in latest if isinstance(r, SessionChange) and (r.session, r.new) == (name, phase))
        reason = next((r.reason for r in changes), "")
        told = {"reason": reason} if reason else {}
        log().info("session", session=name, run=run.number, epoch=session.epoch, old=before, new=phase, **told)


def note_overrun(run: ServiceRun[Any], ended: SessionChange) -> None:
    """This end has given an epoch up, because too many messages waited (R26)."""
    log().warning("session-overrun", session=ended.session, run=run.number, epoch=ended.epoch, reason=ended.reason)
