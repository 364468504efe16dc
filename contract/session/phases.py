"""The phases of a contract session, the same for both of its ends.

Theory of operation. KVM's end greets (Hello, or Resume after a lost link) and waits for Welcome. The host's end is open
as soon as it accepts a greeting. A lost link does not end a session: both ends keep their state, and KVM resumes the
same epoch. Three things end a session. One end says Drain and the other answers Drained. KVM greets with a higher
epoch, which says that the old KVM process is gone. The host is told that the KVM is gone.
"""

from __future__ import annotations

from enum import StrEnum

from contract.transitions import TransitionTable


class SessionPhase(StrEnum):
    CLOSED = "closed"
    """Nothing was said in this epoch."""
    GREETING = "greeting"
    """KVM's end: the greeting is out, Welcome has not come."""
    OPEN = "open"
    """Both ends speak the same protocol."""
    LOST = "lost"
    """The link is down. The state of the session is kept."""
    DRAINING = "draining"
    """One end said Drain: no request begins, answers still come."""
    LEAVING = "leaving"
    """This end said Drained. It waits until the other end has taken that."""
    REFUSED = "refused"
    """The host does not speak this protocol version."""
    ENDED = "ended"
    """The epoch is over. None of its messages is valid any more."""


class SessionInput(StrEnum):
    GREET = "KVM sends Hello or Resume"
    GREETED = "the host accepts a greeting"
    WELCOMED = "Welcome accepts"
    REFUSE = "the protocol versions differ"
    LOSE = "the link is lost"
    DRAIN = "one end says Drain"
    LEAVE = "no request is open: this end says Drained"
    END = "drained, KVM gone, or unknown to the host"


P, IN = SessionPhase, SessionInput
DRAINS = (P.DRAINING, P.LEAVING)
"""The phases of a session that ends in order: no request begins."""

TRANSITIONS: dict[tuple[SessionPhase, SessionInput], SessionPhase] = {
    (P.CLOSED, IN.GREET): P.GREETING,
    (P.CLOSED, IN.GREETED): P.OPEN,
    (P.CLOSED, IN.REFUSE): P.REFUSED,
    (P.CLOSED, IN.LOSE): P.LOST,
    (P.GREETING, IN.WELCOMED): P.OPEN,
    (P.GREETING, IN.REFUSE): P.REFUSED,
    (P.GREETING, IN.LOSE): P.LOST,
    (P.GREETING, IN.DRAIN): P.DRAINING,
    (P.OPEN, IN.LOSE): P.LOST,
    (P.OPEN, IN.REFUSE): P.REFUSED,
    (P.OPEN, IN.DRAIN): P.DRAINING,
    (P.DRAINING, IN.LEAVE): P.LEAVING,
    (P.DRAINING, IN.LOSE): P.LOST,
    (P.LEAVING, IN.LOSE): P.LOST,
    (P.LOST, IN.GREET): P.GREETING,
    (P.LOST, IN.GREETED): P.OPEN,
    (P.REFUSED, IN.GREET): P.GREETING,
    (P.REFUSED, IN.GREETED): P.OPEN,
    (P.REFUSED, IN.WELCOMED): P.OPEN,
    **{(phase, IN.END): P.ENDED for phase in SessionPhase if phase is not P.ENDED},
}
"""The inputs that move a session, and where to."""

UNMOVED: frozenset[tuple[SessionPhase, SessionInput]] = frozenset(
    {
        # A greeting or an answer that comes twice.
        (P.OPEN, IN.GREETED),
        (P.OPEN, IN.WELCOMED),
        (P.DRAINING, IN.GREETED),
        (P.DRAINING, IN.WELCOMED),
        (P.DRAINING, IN.DRAIN),
        (P.DRAINING, IN.REFUSE),
        *((P.LEAVING, given) for given in (IN.GREETED, IN.WELCOMED, IN.REFUSE, IN.DRAIN)),
        (P.REFUSED, IN.REFUSE),
        # An answer that was sent before the link was lost.
        (P.LOST, IN.WELCOMED),
        (P.LOST, IN.REFUSE),
        (P.LOST, IN.LOSE),
        (P.LOST, IN.DRAIN),
        (P.REFUSED, IN.LOSE),
        *((P.ENDED, given) for given in SessionInput),
    }
)
"""The inputs that leave a session as it is."""

SESSION = TransitionTable("a session", TRANSITIONS, UNMOVED)
