"""One end of a contract session as a state machine without IO, the same for KVM's end and the host's.

``phases``: where a session stands, and what moves it. ``outgoing``: numbers, order, window and repetition of what this
end sends. ``incoming``: each message counts once. ``session``: all of that together, with effects.
"""

from contract.session.outgoing import RESEND_AFTER, RESEND_LIMIT, WINDOW
from contract.session.phases import DRAINS, TRANSITIONS, UNMOVED, Input, Phase
from contract.session.session import RESEND, Session, discard

__all__ = [
    "DRAINS",
    "RESEND",
    "RESEND_AFTER",
    "RESEND_LIMIT",
    "TRANSITIONS",
    "UNMOVED",
    "WINDOW",
    "Input",
    "Phase",
    "Session",
    "discard",
]
