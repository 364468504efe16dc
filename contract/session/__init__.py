"""One end of a contract session as a state machine without IO, the same for KVM's end and the host's.

``phases``: where a session stands, and what moves it. ``outgoing``: numbers, order, window and repetition of what this
end sends. ``incoming``: each message counts once. ``session``: all of that together, with effects.

Heartbeat. No message is sent for this purpose alone. If a message waits for an answer it is repeated, and after 310 ms
without one the other end counts as silent (record PeerSilent). A grant is prolonged within its lease of 10 ms (R19).
While no message waits for an answer, the transport watches the link: it notices a peer that is gone or frozen within
5 s (``contract.wire.options``), and the session loses its link.
"""

from contract.session.outgoing import RESEND_AFTER, RESEND_LIMIT, UNSENT, WINDOW
from contract.session.phases import DRAINS, TRANSITIONS, UNMOVED, SessionInput, SessionPhase
from contract.session.session import RESEND, Session, discard, is_overrun, refuse_damaged

__all__ = [
    "DRAINS",
    "RESEND",
    "RESEND_AFTER",
    "RESEND_LIMIT",
    "TRANSITIONS",
    "UNMOVED",
    "UNSENT",
    "WINDOW",
    "Session",
    "SessionInput",
    "SessionPhase",
    "discard",
    "is_overrun",
    "refuse_damaged",
]
