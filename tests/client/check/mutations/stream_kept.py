from __future__ import annotations

from typing import Any

from contract.messages import Received
from contract.session.incoming import Incoming
from contract.session.outgoing import Numbered, Outgoing
from contract.session.session import Session
from kvm_svc import endpoint
from tests.client.check.mutations import Mutation, attribute
from tests.client.check.runs import AGAIN, HOST, USE, ordered, scenario
from tests.designs import FENCED, REVOKE_GP

PLAIN = ordered(USE + HOST + AGAIN)
TWO = scenario(
    "host { run vm0/0 on cpu0; advance 5ms; run vm0/1 on cpu1; } "
    "vm0/0 { wrmsr DEBUGCTL, LBR; } vm0/1 { wrmsr DEBUGCTL, LBR; }",
    head="machine { cpus = 2; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }",
)
"""The first vCPU asks for an event, and the second one asks later."""
AGAIN_IN_ORDER = Outgoing.again


def newest_again(self: Outgoing, now: int) -> list[Numbered]:
    return AGAIN_IN_ORDER(self, now)[-1:]


def all_again(self: Outgoing, now: int) -> list[Numbered]:
    repeats, self.repeats = self.repeats, 0
    again = AGAIN_IN_ORDER(self, now)
    self.repeats = repeats + bool(again)
    self.postpone(now)
    return again


def takes_it_again(self: Incoming, n: int) -> tuple[str, str]:
    return "", ""


def one_too_far(self: Session, effects: Any) -> None:
    if self.incoming.owes:
        self.incoming.owes = False
        self.answer(Received(self.incoming.expected), effects)


def skips_a_number(self: Outgoing, body: Any) -> Numbered:
    self.n += 2
    return Numbered(self.n, 0, body)


MUTATIONS = [
    Mutation(
        "newest-again", "an end repeats its newest message only", attribute(Outgoing, "again", newest_again),
        PLAIN, FENCED, alone=True, faults=("drop:Hello:1",),
    ),
    Mutation(
        "all-again", "an end repeats all its messages to a silent end", attribute(Outgoing, "again", all_again),
        TWO, FENCED, alone=True, faults=("cut kvm0>host at CreateEvent 1 by 600ms",),
    ),
    Mutation(
        "takes-twice", "an end takes a message that comes twice", attribute(Incoming, "_as_it_comes", takes_it_again),
        PLAIN, REVOKE_GP, alone=True, faults=("duplicate:SchedIn:1",),
    ),
    Mutation(
        "acknowledges-more", "an end acknowledges a place that has not come",
        attribute(Session, "acknowledge", one_too_far), PLAIN, FENCED, alone=True,
    ),
    Mutation(
        "asks-on", "KVM asks for an event after it has taken Drain", attribute(endpoint, "_NO_REQUESTS", ()),
        TWO, FENCED, alone=True, faults=("delay CreateEvent 1 by 30ms", "shutdown perfcore at CreateEvent 1 by 80ms"),
    ),
    Mutation(
        "skips-numbers", "an end leaves out each second number", attribute(Outgoing, "unplaced", skips_a_number),
        PLAIN, REVOKE_GP, alone=True,
    ),
]  # fmt: skip
