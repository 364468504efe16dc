"""Records of the driver in words."""

from __future__ import annotations

from msgspec import UnsetType

from client.report.describe.table import text_of
from client.report.describe.values import Values
from client.schedule.incidents import route
from contract import trace as t
from contract.results import KvmView
from contract.spec import NORMAL_RATE


@text_of.register
def setup(r: t.Setup, values: Values) -> str:
    return f"{r.scenario} under {r.design} on {r.lbr}, depth {r.depth}"


@text_of.register
def statement(r: t.Statement, values: Values) -> str:
    return f"{r.actor}: {r.text};"


@text_of.register
def link_cut(r: t.LinkCut, values: Values) -> str:
    return f"{_link(r)} is CUT{_by(r.fault)}"


@text_of.register
def link_mended(r: t.LinkMended, values: Values) -> str:
    return f"{_link(r)} is mended{_by(r.fault)}"


@text_of.register
def stalled(r: t.Stalled, values: Values) -> str:
    return f"{r.service} STALLS{_by(r.fault)}"


@text_of.register
def continued(r: t.Continued, values: Values) -> str:
    return f"{r.service} goes on{_by(r.fault)}"


@text_of.register
def shutting_down(r: t.ShuttingDown, values: Values) -> str:
    return f"{r.service} is told to stop{_by(r.fault)}"


@text_of.register
def clock_set(r: t.ClockSet, values: Values) -> str:
    return f"the clock of {r.service} runs at {r.rate / NORMAL_RATE:g} times the host's{_by(r.fault)}"


def _link(r: t.LinkCut | t.LinkMended) -> str:
    return f"the link of {r.session}" if r.to_host is None else f"the way {route(r.session, r.to_host)}"


@text_of.register
def outcome(r: t.Outcome, values: Values) -> str:
    name = f"{r.actor}:{r.register}" if r.register else r.actor
    return f"{name} = {values.outcome(r.value)}"


@text_of.register
def crash(r: t.Crash, values: Values) -> str:
    return f"{r.service} {'has stopped' if r.orderly else 'crashes'}{_by(r.fault)}"


@text_of.register
def restart(r: t.Restart, values: Values) -> str:
    return f"{r.service} begins its life {r.life}{_by(r.fault)}"


@text_of.register
def killed(r: t.Killed, values: Values) -> str:
    return f"the {r.scope} ends: {', '.join(r.vcpus)}{_by(r.fault)}"


def _by(fault: str | UnsetType) -> str:
    return f" (fault {fault})" if fault else ""


@text_of.register
def end(r: t.End, values: Values) -> str:
    left = ", ".join(f"{thread} ({why})" for thread, why in r.unfinished.items())
    return f"not finished: {left}" if left else "all threads finished"


@text_of.register
def rest(r: t.Rest, values: Values) -> str:
    return f"host: {_events(r)}; kvm: {_vcpus(r.kvm)}"


def _events(r: t.Rest) -> str:
    events = [f"event {e.event} of {e.vcpu} {e.state}" for host in r.hosts for e in host.guest_events]
    events += [f"{name} {state}" for host in r.hosts for name, state in host.host_events.items()]
    return ", ".join(events) or "no events"


def _vcpus(views: list[KvmView]) -> str:
    vcpus = [v for view in views for v in view.vcpus]
    shown = [
        f"{v.vcpu} event {v.event or 'none'}{f' grant {v.grant}' if v.grant else ''}"
        f"{', passed through' if v.passthrough else ''}"
        for v in vcpus
    ]
    return "; ".join(shown) or "none"
