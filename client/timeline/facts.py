"""The state of both sides after each record, as named facts, and the belief of each side about the other.

A fact of ``host`` or ``kvm`` is the state of that side. A fact of ``belief`` compares the two sides for one vCPU: the
state of the guest's event and its grant in perf, and the last that KVM was told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from client.check.world import World
from client.report.describe.values import Values
from contract import messages as m
from contract import trace as t
from contract.spec import NORMAL_RATE
from contract.x86 import IA32_DEBUGCTL

DISAGREE = "NO"
"""The value of a belief that the two sides do not share."""


class Fact(msgspec.Struct):
    """``side``: host, kvm, wire or belief. ``changes``: number of a record, and the value after it."""

    side: str
    name: str
    changes: list[tuple[int, str]] = []

    def at(self, seq: int) -> str:
        """The value after record ``seq``; "" before the first."""
        return next((value for at, value in reversed(self.changes) if at <= seq), "")


class Facts:
    """Takes records in order, each after ``world`` has taken it."""

    def __init__(self, setup: t.Setup, world: World) -> None:
        self._world = world
        self._values = Values(setup)
        self.facts: dict[tuple[str, str], Fact] = {}
        self._granted: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._told_grant: dict[str, int] = {}
        self._events: dict[int, str] = {}
        self._seq = 1
        for cpu in range(setup.cpus):
            self._put("host", f"cpu{cpu} runs", "idle")
            self._put("host", f"cpu{cpu} LBR of the host", "off")
            self._put("host", f"cpu{cpu} DEBUGCTL", "0")
        for vcpu in setup.vcpus:
            self._put("kvm", f"{vcpu} claim", "none")
            self._put("kvm", f"{vcpu} LBR MSRs", "intercepted")
            self._put("kvm", f"{vcpu} grant", "none")
            self._put("kvm", f"{vcpu} mode", "not loaded")
            self._beliefs(vcpu)

    def _put(self, side: str, name: str, value: str) -> None:
        fact = self.facts.get((side, name))
        if fact is None:
            fact = self.facts[side, name] = Fact(side, name, [])
        if not fact.changes or fact.changes[-1][1] != value:
            fact.changes.append((self._seq, value))

    def take(self, r: t.AnyRecord) -> None:
        self._seq = r.seq
        act = _ACTS.get(type(r))
        if act is not None:
            act(self, r)

    def _bits(self, debugctl: int) -> str:
        return self._values.bits(IA32_DEBUGCTL, debugctl)

    # Host ------------------------------------------------------------------------------------------------

    def _switch(self, r: t.Switch) -> None:
        self._put("host", f"cpu{r.cpu} runs", r.next or "idle")

    def _host_lbr(self, r: t.HostLbr) -> None:
        self._put("host", f"cpu{r.cpu} LBR of the host", "on" if r.enabled else "off")
        self._put("host", f"cpu{r.cpu} DEBUGCTL", self._bits(r.debugctl))

    def _entry(self, r: t.VmEntry) -> None:
        self._put("host", f"cpu{r.cpu} runs", f"{r.vcpu}, guest mode")
        self._put("host", f"cpu{r.cpu} DEBUGCTL", self._bits(r.debugctl))
        self._put("kvm", f"{r.vcpu} mode", f"guest on cpu{r.cpu}")
        self._put("kvm", f"{r.vcpu} DEBUGCTL", self._bits(r.debugctl))

    def _exit(self, r: t.VmExit) -> None:
        self._put("host", f"cpu{r.cpu} runs", self._world.cpus[r.cpu].task or "idle")
        self._put("host", f"cpu{r.cpu} DEBUGCTL", self._bits(r.debugctl))
        self._put("kvm", f"{r.vcpu} mode", f"host on cpu{r.cpu}")

    def _event(self, r: t.EventOpen | t.EventChange | t.EventWaits) -> None:
        view = self._world.events.get(r.event)
        if view is None:
            return
        refused = f" ({view.refused})" if view.refused else ""
        on = f" on cpu{view.cpu}" if view.state == "ACTIVE" and view.cpu >= 0 else ""
        self._put("host", f"event {r.event} {r.name}", f"{view.state}{on}{refused}")
        if view.opened.guest:
            self._events[r.event] = view.opened.guest
            self._beliefs(view.opened.guest)

    def _close(self, r: t.EventClose) -> None:
        self._put("host", f"event {r.event} {r.name}", "closed")
        if (vcpu := self._events.get(r.event)) is not None:
            self._beliefs(vcpu)

    # Wire ------------------------------------------------------------------------------------------------

    def _send(self, r: t.Send) -> None:
        self._in_flight()
        if not r.to_host:
            for vcpu, _, grant in self._news(r.body):
                if grant is not None:
                    self._granted[vcpu] = grant
                    self._beliefs(vcpu)

    def _delivery(self, r: t.Delivery) -> None:
        self._in_flight()
        message = self._world.delivered
        if message is None or r.to_host:
            return
        for vcpu, state, grant in self._news(message.body):
            if state:
                self._told[vcpu] = state
            if grant is not None:
                self._told_grant[vcpu] = grant
            self._beliefs(vcpu)

    def _in_flight(self) -> None:
        found = [
            f"{f'{s}>host' if to_host else f'host>{s}'} #{n} {type(message.body).__name__}"
            for (s, to_host, n), messages in self._world.in_flight.items()
            for message in messages
        ]
        shown = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
        self._put("wire", "in flight", shown or "nothing")

    def _news(self, body: m.AnyMessage) -> list[tuple[str, str, int | None]]:
        """Vcpu, new state ("": none is told) and grant (None: none is told)."""
        if isinstance(body, m.EventCreated) and body.event:
            vcpu = self._events.get(body.event)
            return [(vcpu, body.state, body.grant)] if vcpu else []
        if isinstance(body, m.EventState):
            vcpu = self._events.get(body.event)
            return [(vcpu, body.state, body.grant)] if vcpu else []
        if isinstance(body, m.Revoke):
            vcpu = self._events.get(body.event)
            return [(vcpu, "revoked", 0)] if vcpu else []
        if isinstance(body, m.Available):
            vcpu = self._events.get(body.event)
            return [(vcpu, "available", None)] if vcpu else []
        return [(body.vcpu, "", body.grant)] if isinstance(body, m.SchedIn) and body.grant else []

    # Sessions --------------------------------------------------------------------------------------------

    def _session(self, r: t.SessionChange) -> None:
        self._sees(r, f"{r.new}, epoch {r.epoch}")

    def _silent(self, r: t.PeerSilent) -> None:
        self._sees(r, f"silent, epoch {r.epoch}")

    def _sees(self, r: t.SessionChange | t.PeerSilent, value: str) -> None:
        seen = f"the host as {r.session} sees it" if r.to_host else f"{r.session} as the host sees it"
        self._put("belief", seen, value)

    # KVM -------------------------------------------------------------------------------------------------

    def _claim(self, r: t.ClaimChange) -> None:
        self._put("kvm", f"{r.vcpu} claim", r.new)

    def _passthrough(self, r: t.PassthroughSet) -> None:
        self._put("kvm", f"{r.vcpu} LBR MSRs", "passed through" if r.enabled else "intercepted")

    def _granted_to(self, r: t.Granted) -> None:
        self._put("kvm", f"{r.vcpu} grant", str(r.grant) if r.grant else "none")
        self._told_grant[r.vcpu] = r.grant
        self._beliefs(r.vcpu)

    def _mode(self, r: t.VcpuLoad | t.VcpuPut | t.UserExit | t.UserReturn) -> None:
        words = {t.VcpuLoad: "host", t.VcpuPut: "not loaded", t.UserExit: "user space", t.UserReturn: "host"}
        where = "" if isinstance(r, t.VcpuPut) else f" on cpu{r.cpu}"
        self._put("kvm", f"{r.vcpu} mode", f"{words[type(r)]}{where}")

    def _wait(self, r: t.VcpuWait) -> None:
        self._put("kvm", f"{r.vcpu} mode", f"waits for {r.message}")

    def _wake(self, r: t.VcpuWake) -> None:
        self._put("kvm", f"{r.vcpu} mode", "host")

    # Crashes ---------------------------------------------------------------------------------------------

    def _link(self, r: t.LinkCut | t.LinkMended) -> None:
        way = "" if r.to_host is None else " to the host" if r.to_host else " from the host"
        self._put("wire", f"link of {r.session}", f"cut{way}" if isinstance(r, t.LinkCut) else "up")
        self._in_flight()

    def _service(self, r: t.Stalled | t.Continued | t.ShuttingDown | t.Restart | t.Crash) -> None:
        words = {t.Stalled: "stalled", t.ShuttingDown: "stops", t.Crash: "down"}
        side = "host" if r.service.startswith("perfcore") else "kvm"
        self._put(side, f"service {r.service}", words.get(type(r), "runs"))

    def _clock(self, r: t.ClockSet) -> None:
        self._put("kvm", f"clock of {r.service}", f"{r.rate / NORMAL_RATE:g} times the host's")

    def _crash(self, r: t.Crash) -> None:
        self._service(r)
        for cpu in self._world.cpus_of(r):
            self._put("host", f"cpu{cpu} runs", "no power")
            self._put("host", f"cpu{cpu} LBR of the host", "off")
            self._put("host", f"cpu{cpu} DEBUGCTL", "0")
        for (side, name), fact in self.facts.items():
            number = int(name.split(" ")[1]) if side == "host" and name.startswith("event ") else 0
            if number and number not in self._world.events and fact.changes[-1][1] != "closed":
                self._put(side, name, "closed")
        if r.host < 0:
            for vcpu in r.vcpus:
                self._gone(vcpu)
        for vcpu in r.vcpus:
            if r.host >= 0:
                self._granted.pop(vcpu, None)
            self._beliefs(vcpu)
        self._in_flight()

    def _killed(self, r: t.Killed) -> None:
        for vcpu in r.vcpus:
            self._gone(vcpu)
            self._beliefs(vcpu)

    def _gone(self, vcpu: str) -> None:
        for name, value in (("claim", "none"), ("LBR MSRs", "intercepted"), ("grant", "none"), ("mode", "gone")):
            self._put("kvm", f"{vcpu} {name}", value)
        self._told.pop(vcpu, None)
        self._told_grant.pop(vcpu, None)

    # Beliefs ---------------------------------------------------------------------------------------------

    def _beliefs(self, vcpu: str) -> None:
        views = [e for e in self._world.events.values() if e.opened.guest == vcpu]
        in_perf = f"{views[-1].state}" if views else "no event"
        told = self._told.get(vcpu, "nothing yet")
        self._put("belief", f"{vcpu} in perf", f"{in_perf}{_grant(self._granted.get(vcpu, 0))}")
        self._put("belief", f"{vcpu} as KVM was told", f"{told}{_grant(self._told_grant.get(vcpu, 0))}")
        same = told == in_perf or (told in ("revoked", "available", "nothing yet") and in_perf != "ACTIVE")
        same = same and self._granted.get(vcpu, 0) == self._told_grant.get(vcpu, 0)
        self._put("belief", f"{vcpu} the two agree", "yes" if same else DISAGREE)


def _grant(grant: int) -> str:
    return f", grant {grant}" if grant else ""


_ACTS: Mapping[type, Callable[[Facts, Any], None]] = {
    t.Switch: Facts._switch,
    t.HostLbr: Facts._host_lbr,
    t.VmEntry: Facts._entry,
    t.VmExit: Facts._exit,
    t.EventOpen: Facts._event,
    t.EventChange: Facts._event,
    t.EventWaits: Facts._event,
    t.EventClose: Facts._close,
    t.Send: Facts._send,
    t.Delivery: Facts._delivery,
    t.ClaimChange: Facts._claim,
    t.PassthroughSet: Facts._passthrough,
    t.Granted: Facts._granted_to,
    t.VcpuLoad: Facts._mode,
    t.VcpuPut: Facts._mode,
    t.UserExit: Facts._mode,
    t.UserReturn: Facts._mode,
    t.VcpuWait: Facts._wait,
    t.VcpuWake: Facts._wake,
    t.SessionChange: Facts._session,
    t.PeerSilent: Facts._silent,
    t.LinkCut: Facts._link,
    t.LinkMended: Facts._link,
    t.Stalled: Facts._service,
    t.Continued: Facts._service,
    t.ShuttingDown: Facts._service,
    t.Restart: Facts._service,
    t.ClockSet: Facts._clock,
    t.Crash: Facts._crash,
    t.Killed: Facts._killed,
}
