"""Records of the driver in words."""

from __future__ import annotations

from msgspec import UnsetType

from client.report.describe.table import text_of
from client.report.describe.values import Values
from contract import trace as t
from contract.control import KvmView


@text_of.register
def setup(r: t.Setup, values: Values) -> str:
    return f"{r.scenario} under {r.design} on {r.lbr}, depth {r.depth}"


@text_of.register
def statement(r: t.Statement, values: Values) -> str:
    return f"{r.actor}: {r.text};"


@text_of.register
def outcome(r: t.Outcome, values: Values) -> str:
    name = f"{r.actor}:{r.register}" if r.register else r.actor
    return f"{name} = {values.outcome(r.value)}"


@text_of.register
def crash(r: t.Crash, values: Values) -> str:
    return f"{r.service} crashes{_by(r.fault)}"


@text_of.register
def restart(r: t.Restart, values: Values) -> str:
    return f"{r.service} begins its life {r.life}{_by(r.fault)}"


@text_of.register
def killed(r: t.Killed, values: Values) -> str:
    return f"the {r.what} ends: {', '.join(r.vcpus)}{_by(r.fault)}"


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
