"""The kinds of faults: one row each, which the parser, the documents and ``lbrlab faults`` read."""

from __future__ import annotations

import msgspec


class FaultKind(msgspec.Struct, frozen=True):
    """``by``: what ``by`` gives in a rule of this kind; "" where such a rule has none. ``usual``: its value where the
    rule gives none; 0: the rule must give one. ``timed``: it may also be a time."""

    name: str
    about: str
    example: str
    by: str = ""
    usual: int = 0
    timed: bool = False


KINDS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind("drop", "the message is lost", "drop Revoke 1"),
        FaultKind("duplicate", "the message is taken twice", "duplicate Ack kvm0>host"),
        FaultKind(
            "reorder", "messages sent later overtake it", "reorder Revoke 1 by 2", by="messages that overtake", usual=1
        ),
        FaultKind(
            "delay",
            "it is taken later, and so is all that is sent behind it",
            "delay EventState by 4ms",
            by="decisions, or time since it was sent",
            timed=True,
        ),
        FaultKind("corrupt", "one of its bits is flipped on its way", "corrupt SchedIn vm0/0 p=0.1"),
        FaultKind(
            "hold",
            "its direction delivers nothing from it on, then goes on with all of it",
            "hold Revoke host>kvm0 1 by 4ms",
            by="decisions, or time until the release",
            timed=True,
        ),
    )
}
