"""Faults by rules: which message meets which fault, and the decisions that carry it out on a default schedule.

A rule sees each message when it is sent. It counts those that fit it, and draws where it has a probability. The first
rule that meets a message decides; the others count it, but do nothing to it. The id of a fault is ``f1.2``: the second
message that rule 1 has met. A message that is held back arrives at the latest when nothing else can happen, because a
run must end. Then virtual time advances to the end of a delay. A rule of a link, a service or a clock strikes when such
a message is sent, or at its moment; ``client.schedule.striker`` carries that out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.schedule.choices import deliver, onward
from client.schedule.decisions import Decision, Pass
from client.schedule.flight import Flight, InFlight
from client.schedule.incidents import Incident
from client.schedule.striker import End, Striker
from contract.checksum import changeable
from contract.messages import EventCreated
from contract.network import Fate

STRIKES_LIMIT = 100
"""How often a rule strikes a link or a service. A KVM that is cut off at each greeting greets for ever."""


class RuleState:
    """One rule in one run."""

    def __init__(self, rule: FaultRule, number: int) -> None:
        self.rule = rule
        self.number = number
        """From 1, in the order given."""
        self.fitting = 0
        """Messages so far that fit the rule."""
        self.met = 0
        """Those of them that have met it."""
        self.random = Random(rule.seed)
        self.strikes = FAULT_KINDS[rule.kind].strikes != "message"
        """Whether it is of a link, a service or a clock."""

    def meets(self, message: InFlight, about: About) -> bool:
        """Count the message and draw, if it fits."""
        rule = self.rule
        if not fits(rule, message, about):
            return False
        self.fitting += 1
        if self.fitting < rule.first or (rule.last and self.fitting > rule.last):
            return False
        if rule.chance < 1 and self.random.random() >= rule.chance:
            return False
        self.met += 1
        return True

    def is_due(self, flight: Flight) -> bool:
        """Whether its moment has come."""
        return self.rule.at_time <= flight.now and self.rule.at_record <= flight.record


class About(NamedTuple):
    """The subject of a message: a vCPU ("": none) and a guest's event (0: none)."""

    vcpu: str
    event: int


NO_SUBJECT = About("", 0)


def fits(rule: FaultRule, message: InFlight, about: About) -> bool:
    return (
        (not rule.messages or message.message in rule.messages)
        and (rule.session in ("", message.session))
        and (rule.to_host is None or rule.to_host == message.to_host)
        and (rule.vcpu in ("", about.vcpu))
        and (rule.event in (0, about.event))
        and (not rule.field or rule.field in changeable(type(message.body)))
        and rule.after <= message.time
        and (not rule.before or message.time < rule.before)
        and rule.after_record <= message.record
        and (not rule.before_record or message.record < rule.before_record)
    )


@dataclass(slots=True)
class Injection:
    """A fault that a message in flight will meet."""

    id: str
    rule: FaultRule
    left: int
    """The part of ``by`` that is still to come."""
    from_decision: int
    """Number of the decision from which ``left`` counts, where the wait is of decisions."""
    release_at: int
    """The virtual time up to which the message is held back, nanoseconds; 0: none."""


class Injector:
    def __init__(self, rules: Sequence[FaultRule]) -> None:
        states = [RuleState(rule, number) for number, rule in enumerate(rules, 1)]
        self.momentary = [state for state in states if state.strikes and not state.rule.of_messages]
        """The rules that strike at a moment, which has not come. None of them has a probability."""
        self.rules = [state for state in states if state not in self.momentary]
        self.by_subject = any(state.rule.vcpu or state.rule.event for state in self.rules)
        """Whether a rule asks for the subject of a message."""
        self.striker = Striker()
        self.seen = 0
        """Messages that the rules have seen."""
        self.decisions = 0
        """Decisions so far."""
        self.holds = True
        """Whether messages are held back. False when a run would not end otherwise."""
        self.planned: dict[int, Injection] = {}
        """By the order of the message."""
        self.events: dict[tuple[str, int], str] = {}
        """Session and event of a guest, to its vCPU."""
        self.grants: dict[tuple[str, int], int] = {}
        """Session and grant, to the event."""

    def see(self, flight: Flight) -> None:
        """Show new messages to the rules, before each decision."""
        self.decisions += 1
        sent = flight.messages
        if sent == self.seen:
            return
        for message in flight.sent_since(self.seen):
            about = self._about(message) if self.by_subject else NO_SUBJECT
            for state in self.rules:
                if not state.meets(message, about):
                    continue
                if state.strikes and state.met <= STRIKES_LIMIT:
                    self.striker.plan(state.rule, f"f{state.number}.{state.met}", flight, message)
                elif not state.strikes and message.order not in self.planned:
                    self.planned[message.order] = self._injection(state, message)
        self.seen = sent

    def strike(self, flight: Flight) -> Incident | None:
        """The incident that comes now, or the end of one."""
        if self.momentary:
            for state in [state for state in self.momentary if state.is_due(flight)]:
                self.momentary.remove(state)
                self.striker.plan(state.rule, f"f{state.number}.1", flight, None)
        striker = self.striker
        return striker.next(flight, self.decisions) if striker.planned or striker.endings else None

    def end(self, flight: Flight, ends: Sequence[End], timer_due: int | None) -> Decision | None:
        """Nothing else can happen: end the incidents that have struck. ``timer_due``: as for ``at_last``."""
        return self.striker.end(flight, ends, timer_due)

    def _injection(self, state: RuleState, message: InFlight) -> Injection:
        rule = state.rule
        until = message.time + rule.time if rule.time else 0
        return Injection(f"f{state.number}.{state.met}", rule, rule.amount or 1, self.decisions, until)

    def _about(self, message: InFlight) -> About:
        """Messages name an event or a grant by its number. Earlier messages say whose it is."""
        session, body = message.session, message.body
        grant, event = (int(getattr(body, name, 0)) for name in ("grant", "event"))
        vcpu: str = getattr(body, "vcpu", "")
        if isinstance(body, EventCreated) and event:
            self.events[session, event] = vcpu
        event = event or self.grants.get((session, grant), 0)
        if grant and event:
            self.grants[session, grant] = event
        return About(vcpu or self.events.get((session, event), ""), event)

    def decide(self, flight: Flight, message: InFlight) -> Decision | None:
        """The fate of the oldest message of a direction. None holds it back."""
        injection = self.planned.get(message.order)
        if injection is None or (not self.holds and injection.rule.kind not in _FATES):
            return onward(flight, message)
        return _KINDS[injection.rule.kind](self, flight, message, injection)

    def at_last(self, flight: Flight, held: list[InFlight], timer_due: int | None) -> Decision | None:
        """Nothing else can happen: end the wait of one of the messages that were held back. ``timer_due``: when the
        first timer that somebody waits for runs out. None: that timer comes first."""
        waits = [self.planned[message.order].release_at for message in held]
        if 0 in waits:
            message = held[waits.index(0)]
            injection = self.planned.pop(message.order)
            # A message that no other message has overtaken has met no fault.
            return replace(onward(flight, message), fault="" if injection.rule.kind == "reorder" else injection.id)
        if timer_due is not None and timer_due <= min(waits):
            return None
        return Pass(min(waits))

    def _once(self, flight: Flight, message: InFlight, injection: Injection) -> Decision | None:
        del self.planned[message.order]
        return replace(deliver(_FATES[injection.rule.kind], message, injection.id), field=injection.rule.field)

    def _reorder(self, flight: Flight, message: InFlight, injection: Injection) -> Decision | None:
        behind = flight.behind(message)
        if not behind:
            return None
        injection.left -= 1
        if not injection.left:
            del self.planned[message.order]
        return deliver(Fate.OVERTAKE, behind[0], injection.id)

    def _delay(self, flight: Flight, message: InFlight, injection: Injection) -> Decision | None:
        if self._waits(flight, injection):
            return None
        del self.planned[message.order]
        return deliver(Fate.TAKE, message, injection.id)

    def _hold(self, flight: Flight, message: InFlight, injection: Injection) -> Decision | None:
        if not flight.is_held(message):
            injection.from_decision = self.decisions + 1
            injection.release_at = flight.now + injection.rule.time if injection.rule.time else 0
            return deliver(Fate.HOLD, message, injection.id)
        if self._waits(flight, injection):
            return None
        del self.planned[message.order]
        return deliver(Fate.RELEASE, message, injection.id)

    def _waits(self, flight: Flight, injection: Injection) -> bool:
        if injection.release_at:
            return flight.now < injection.release_at
        return self.decisions < injection.from_decision + injection.left


_FATES = {"drop": Fate.DROP, "duplicate": Fate.DUPLICATE, "corrupt": Fate.CORRUPT}
_KINDS: dict[str, Callable[[Injector, Flight, InFlight, Injection], Decision | None]] = {
    **dict.fromkeys(_FATES, Injector._once),
    "reorder": Injector._reorder,
    "delay": Injector._delay,
    "hold": Injector._hold,
}
"""The effect of each kind on a message that is the oldest of its direction."""
