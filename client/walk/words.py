"""Decisions in words: who does what, and with which message."""

from __future__ import annotations

from client.drive.play import Player
from client.litmus.text import duration_text
from client.report.describe.link import body_text
from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from client.schedule.flight import InFlight
from client.schedule.incidents import (
    Crash,
    Cut,
    EndStall,
    Incident,
    Kill,
    Mend,
    Restart,
    SetClock,
    Shutdown,
    Stall,
    route,
)
from contract.messages import HOST
from contract.network import Fate
from contract.spec import NORMAL_RATE

_FATES = {
    Fate.TAKE: "arrives",
    Fate.DROP: "is lost",
    Fate.DUPLICATE: "arrives, and once more later",
    Fate.OVERTAKE: "arrives before older ones",
    Fate.CORRUPT: "arrives damaged",
    Fate.HOLD: "waits, with all behind it",
    Fate.RELEASE: "no longer waits",
}


def words(decision: Decision, player: Player) -> str:
    """The effect of a decision that is possible now. For a message it begins with ``message_of``."""
    fault = getattr(decision, "fault", "")
    return f"{_words(decision, player)}{f' (fault {fault})' if fault else ''}"


def message_of(decision: Decision, player: Player) -> str:
    """The message in flight that a decision is about; "" for none."""
    return _body(_in_flight(decision, player)) if isinstance(decision, Deliver) else ""


def _words(decision: Decision, player: Player) -> str:
    match decision:
        case Step(thread=thread):
            return _step(thread, player)
        case Deliver():
            return _delivery(decision, player)
        case Fire():
            due = player.flight.timers[decision.session, decision.to_host, decision.timer].due
            end = decision.session if decision.to_host else HOST
            return f"{end}: timer {decision.timer} runs out at {duration_text(due)}"
        case Pass(time=until):
            return f"virtual time advances to {duration_text(until)}"
        case _:
            return _incident(decision)


def _step(thread: str, player: Player) -> str:
    position = player.threads[thread]
    step = position.current
    assert step is not None
    return f"{step.actor}{' goes on with' if position.running else ''}: {step.stmt.text().removesuffix(';')}"


def _delivery(decision: Deliver, player: Player) -> str:
    message = _body(_in_flight(decision, player))
    return f"{message} {_FATES[decision.fate]}{f', another {decision.field}' if decision.field else ''}"


def _in_flight(decision: Deliver, player: Player) -> InFlight:
    queue = player.flight.queues[decision.session, decision.to_host]
    return next(each for each in queue if each.n == decision.n)


def _body(message: InFlight) -> str:
    return f"{route(message.session, message.to_host)} #{message.n} {body_text(message.body)}"


def _incident(incident: Incident) -> str:
    match incident:
        case Crash(service=service):
            return f"the process of {service} ends"
        case Restart(service=service):
            return f"{service} begins a new life"
        case Kill(kind=kind, name=name):
            return f"the thread of vCPU {name} ends" if kind == "thread" else f"all threads of VM {name} end"
        case Cut(session=session, to_host=to_host):
            return f"the link {route(session, to_host)} is cut"
        case Mend(session=session, to_host=to_host):
            return f"the link {route(session, to_host)} is whole again"
        case Stall(service=service):
            return f"{service} stalls"
        case EndStall(service=service):
            return f"{service} continues"
        case Shutdown(service=service):
            return f"{service} is told to stop"
        case SetClock(service=service, rate=rate):
            return f"the clock of {service} goes {rate / NORMAL_RATE:g} times as fast as the host's"
