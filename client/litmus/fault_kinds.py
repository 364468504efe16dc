"""The kinds of faults: one row each, which the parser, the documents and ``lbrlab faults`` read."""

from __future__ import annotations

import msgspec


class FaultKind(msgspec.Struct, frozen=True):
    """``amount``: the meaning of the number after ``by``; "" if a rule of this kind has no ``by``. ``usual``: the
    number of a rule without ``by``; 0: the rule must give one. ``timed``: a time may stand after ``by``. ``strikes``:
    the kind of thing that the fault breaks, a key of ``TARGETS``."""

    name: str
    about: str
    example: str
    amount: str = ""
    usual: int = 0
    timed: bool = False
    strikes: str = "message"


TARGETS: dict[str, str] = {
    "message": "",
    "link": "a KVM or one way of its link: kvm0, kvm0>host, host>kvm0, >host, host>",
    "service": "a KVM or a perf core: kvm0, perfcore, perfcore1",
    "clock": "a KVM: kvm0",
    "thread": "a thread or a VM: thread vm0/0, vm vm0",
}
"""The name that follows the kind in a rule; "": none."""

FAULT_KINDS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind("drop", "the message is lost", "drop Revoke 1"),
        FaultKind("duplicate", "the message is taken twice", "duplicate Ack kvm0>host"),
        FaultKind(
            "reorder",
            "messages sent later overtake it",
            "reorder Revoke 1 by 2",
            amount="messages that overtake",
            usual=1,
        ),
        FaultKind(
            "delay",
            "it is taken later, and so is all that is sent behind it",
            "delay EventState by 4ms",
            amount="decisions, or time since it was sent",
            timed=True,
        ),
        FaultKind(
            "corrupt",
            "one of its bits is flipped on its way, or one of its fields changed",
            "corrupt SchedIn vm0/0 p=0.1",
        ),
        FaultKind(
            "hold",
            "its direction delivers nothing from it on, and all of it later",
            "hold Revoke host>kvm0 1 by 4ms",
            amount="decisions, or time until the release",
            timed=True,
        ),
        FaultKind(
            "cut",
            "a link is cut, or one way of it: it loses all that it carries until it is mended",
            "cut kvm0>host at Revoke 1 by 20ms",
            amount="decisions, or time until the mend",
            usual=10,
            timed=True,
            strikes="link",
        ),
        FaultKind(
            "stall",
            "a service takes and sends nothing, its timers run out late, then it continues",
            "stall kvm0 at Revoke 1 by 20ms",
            amount="decisions, or time until it continues",
            usual=10,
            timed=True,
            strikes="service",
        ),
        FaultKind(
            "clock",
            "the clock of a KVM runs at another rate than the host's",
            "clock kvm0 rate 1.25",
            strikes="clock",
        ),
        FaultKind(
            "crash",
            "a service is gone with its state, as after SIGKILL, until it starts again",
            "crash kvm0 at Revoke 1 by 5",
            amount="decisions, or time until the restart",
            usual=1,
            timed=True,
            strikes="service",
        ),
        FaultKind(
            "shutdown",
            "a service ends its sessions in order, as after SIGTERM; then it is gone, and starts again",
            "shutdown kvm0 at Revoke 1 by 20ms",
            amount="decisions, or time until it is gone",
            usual=10,
            timed=True,
            strikes="service",
        ),
        FaultKind(
            "end",
            "the thread of a vCPU ends, or all threads of a VM, and the vCPUs with them",
            "end thread vm0/0 at Revoke 1",
            strikes="thread",
        ),
    )
}

SELECTORS: tuple[tuple[str, str, str], ...] = (
    ("MESSAGE,...", "these kinds of messages", "drop Revoke,EventState"),
    ("KVM>host", "one direction of a session; >host and host> are of all sessions", "drop kvm0>host"),
    ("session KVM", "both directions of a session", "drop session kvm0"),
    ("VM/N", "messages about this vCPU, also by its event or grant", "drop vm0/0"),
    ("event N", "messages about this event of a guest", "drop event 3"),
    ("N", "only the Nth message that matches", "drop Revoke 2"),
    ("first N", "the first N that match; without N the first", "drop Revoke first 2"),
    ("from N", "the Nth that matches and all later ones", "drop Revoke from 3"),
    ("all", "all that match, the default", "drop Revoke all"),
    ("after TIME", "messages sent at this virtual time or later", "drop after 4ms"),
    ("before TIME", "messages sent before this virtual time", "drop before 4ms"),
    ("after record N", "messages sent in this record or a later one", "drop after record 40"),
    ("before record N", "messages sent in an earlier record", "drop before record 40"),
    ("at ...", "strike a link or a service when this message is sent", "cut kvm0 at Revoke 1"),
    ("at all", "strike at each message", "stall kvm0 at all by 2"),
    ("at TIME", "strike at this virtual time", "stall perfcore at 4ms"),
    ("at record N", "strike after this record", "cut kvm0 at record 40"),
    ("rate R", "the rate of the clock, 1 is the host's; clock only", "clock kvm0 rate 0.8"),
    ("field NAME", "messages that have this field; corrupt changes it", "corrupt Revoke field grant"),
    ("p=P", "each message that matches, with this probability", "drop p=0.1"),
    ("seed=N", "draw with this seed", "drop p=0.1 seed=7"),
)
"""The selectors in a rule: form, meaning, example."""
