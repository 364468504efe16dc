"""A record in words: one line, the terms of the kernel and the SDM, registers by name."""

from __future__ import annotations

from client.litmus.expression import MsrRef
from client.litmus.msr import bit_names
from client.litmus.text import duration_text
from contract import trace as t
from contract.control import KvmView
from contract.provenance import origin_of
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_SELECT, MSR_LBR_TOS, lbr_model, msr_name

_BITS = {IA32_DEBUGCTL: bit_names(MsrRef("DEBUGCTL")), MSR_LBR_SELECT: bit_names(MsrRef("LBR_SELECT"))}


class Describer:
    """Needs the run's setup for register and actor names."""

    def __init__(self, setup: t.Setup) -> None:
        self.model = lbr_model(setup.lbr, setup.depth)
        self.actors = setup.actors

    def text(self, record: t.AnyRecord) -> str:
        match record:
            case t.Setup():
                return f"{record.scenario} under {record.design} on {record.lbr}, depth {record.depth}"
            case t.Statement():
                return f"{record.actor}: {record.text};"
            case t.Outcome():
                name = f"{record.actor}:{record.register}" if record.register else record.actor
                return f"{name} = {self._outcome(record.value)}"
            case t.End():
                left = ", ".join(f"{thread} ({why})" for thread, why in record.unfinished.items())
                return f"not finished: {left}" if left else "all threads finished"
            case t.Rest():
                return f"host: {self._host(record)}; kvm: {self._kvm(record.kvm)}"
            case t.Send() | t.Delivery() | t.Discard() | t.Timer() | t.SessionChange():
                return self._message(record)
            case t.UserExit() | t.UserReturn():
                return self._kvm_record(record)
            case t.VcpuLoad() | t.VcpuPut() | t.VcpuWait() | t.VcpuWake() | t.Access() | t.UserMsr():
                return self._kvm_record(record)
            case (
                t.VcpuMoved()
                | t.PassthroughSet()
                | t.GuestEvent()
                | t.CounterEvent()
                | t.GuestPmi()
                | t.ClaimChange()
                | t.VcpuReset()
                | t.CpuidSet()
                | t.Granted()
                | t.Warn()
            ):
                return self._kvm_record(record)
            case t.EventOpen() | t.EventFailed() | t.EventChange() | t.EventClose() | t.HostLbr() | t.SampleTaken():
                return self._perf_record(record)
            case t.HostWait() | t.HostWake() | t.EventWaits():
                return self._perf_record(record)
            case _:
                return self._silicon_record(record)

    # Values ----------------------------------------------------------------------------------------------

    def bits(self, msr: int, value: int) -> str:
        names = [name for name, bit in _BITS.get(msr, {}).items() if value & bit]
        rest = value & ~sum(_BITS.get(msr, {}).get(name, 0) for name in names)
        return "|".join([*names, *([f"{rest:#x}"] if rest else [])]) or "0"

    def value(self, msr: int, value: int) -> str:
        if msr in _BITS:
            return self.bits(msr, value)
        return str(value) if msr == MSR_LBR_TOS else self.branch(value)

    def branch(self, value: int) -> str:
        """An LBR entry: 0, or whose branch it is."""
        origin = origin_of(value) if value else None
        if origin is None or origin.actor >= len(self.actors):
            return f"{value:#x}" if value else "0"
        mode = "guest" if origin.guest else "host"
        return f"{mode} {self.actors[origin.actor] or 'idle'} #{origin.serial}"

    def _outcome(self, value: int | str | dict[str, int | str]) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{field} {v}" for field, v in value.items())
        return value if isinstance(value, str) else self.branch(value) if value >> 32 else str(value)

    def _register(self, msr: int) -> str:
        return msr_name(self.model, msr)

    def _stack(self, from_ip: list[int]) -> str:
        """Runs of entries of one origin, newest first: ``4 guest vm0/0, 8 host vm0/0``."""
        runs: list[tuple[str, int]] = []
        for value in from_ip:
            who = self.branch(value).split(" #")[0]
            if runs and runs[-1][0] == who:
                runs[-1] = (who, runs[-1][1] + 1)
            else:
                runs.append((who, 1))
        return ", ".join(f"{n} {'empty' if who == '0' else who}" for who, n in runs) or "empty"

    # Records by source -----------------------------------------------------------------------------------

    def _message(self, r: t.Send | t.Delivery | t.Discard | t.Timer | t.SessionChange) -> str:
        way = f"{r.session}>host" if r.to_host else f"host>{r.session}"
        match r:
            case t.Send(body=body):
                shown = ((f, getattr(body, f)) for f in body.__struct_fields__)
                parts = [f"{f}={v}" for f, v in shown if f not in _HIDDEN and v not in ("", None)]
                return f"{way} #{r.n} {type(body).__name__} {' '.join(parts)}".rstrip()
            case t.Delivery():
                return f"{way} #{r.n} {r.message}: {_FATES[r.how]}"
            case t.Timer():
                return f"{way} timer {r.what} {f'runs out at {duration_text(r.due)}' if r.due >= 0 else 'off'}"
            case t.SessionChange():
                end = r.session if r.to_host else "host"
                return f"session {r.session}, epoch {r.epoch}, at {end}: {r.old} -> {r.new}, {r.why}"
            case t.Discard():
                return f"{way} #{r.n} {r.message}: discarded by {r.rule}, {r.why}"

    def _silicon_record(self, r: t.AnyRecord) -> str:
        match r:
            case t.TaskExit():
                return f"{r.task} exits"
            case t.Switch():
                return f"switch {r.prev or 'idle'} -> {r.next or 'idle'}"
            case t.Retired():
                who = f"{'guest' if r.guest else 'host'} {self.actors[r.actor] or 'idle'}"
                fate = "recorded" if r.recorded else "not recorded"
                last = f"..{r.first + r.count - 1}" if r.count > 1 else ""
                return f"{who} retires {r.count} {r.branch} {r.privilege} #{r.first}{last}, {fate}"
            case t.VmEntry():
                passed = "passed through" if r.passthrough else "intercepted"
                passed += ", the whole LBR switched" if r.switched else ""
                guest, host = self.bits(IA32_DEBUGCTL, r.debugctl), self.bits(IA32_DEBUGCTL, r.host_debugctl)
                return f"enter {r.vcpu}: DEBUGCTL {host} -> {guest}, LBR MSRs {passed}"
            case t.VmEntryRefused():
                return f"entry of {r.vcpu} refused: {r.reason}"
            case t.VmExit():
                msr = f" {self._register(r.msr)}" if r.msr else ""
                cleared = ", overflow cleared guest DEBUGCTL.LBR" if r.frozen else ""
                return f"exit {r.vcpu}: {r.reason}{msr}, DEBUGCTL now {self.bits(IA32_DEBUGCTL, r.debugctl)}{cleared}"
            case t.GuestMsr():
                return f"{r.vcpu} {self._access(r.msr, r.value, r.write)}{' -> #GP' if r.fault else ''}"
            case t.HostMsr():
                for_whom = f" for {r.on_behalf}" if r.on_behalf else ""
                return f"{r.by}{for_whom} {self._access(r.msr, r.value, r.write)}{' faults' if r.fault else ''}"
            case t.Pmi():
                frozen = "LBR frozen" if r.frozen else "LBR not frozen"
                return f"PMI: {', '.join(r.events)} overflowed, {frozen}"
            case t.Throttle():
                return f"{r.name} {'throttled' if r.on else 'may overflow again'}"
            case t.LbrReset():
                return f"LBR reset: {r.why}{', LBR_SELECT too' if r.select else ''}"
            case t.LbrSave():
                return f"{r.by} saves the LBR of {r.owner}, {r.valid} entries"
            case t.LbrRestore():
                order = [r.image.from_ip[(r.image.tos - i) % self.model.depth] for i in range(len(r.image.from_ip))]
                return f"{r.by} restores the LBR of {r.owner}: {self._stack([v for v in order if v])}"
            case _:
                raise TypeError(type(r).__name__)

    def _access(self, msr: int, value: int, write: bool) -> str:
        verb = "writes" if write else "reads"
        return f"{verb} {self._register(msr)} {'<-' if write else '='} {self.value(msr, value)}"

    def _perf_record(self, r: t.AnyRecord) -> str:
        match r:
            case t.EventOpen():
                scope = f"task {r.task}" if r.task else f"cpu{r.cpu}"
                select = f"LBR_SELECT {r.select:#x}" if r.select >= 0 else "counter"
                how = ("pinned" if r.pinned else "flexible") + (" exclusive" if r.exclusive else "")
                return f"open {r.name} on {scope}, {how}, {select}, {r.state}"
            case t.EventFailed():
                return f"{r.name}: {r.errno}{f', {r.holder} has it' if r.holder else ''}"
            case t.HostWait():
                return f"{r.name} waits for the end of grant {', '.join(map(str, r.grants))}"
            case t.HostWake():
                return f"{r.name} resumes: {r.why}"
            case t.EventChange():
                return f"{r.name} {r.old} -> {r.new}{f' ({r.why})' if r.why else ''}"
            case t.EventWaits():
                return f"{r.name} stays off ({r.why})" if r.why else f"{r.name} may be put on again"
            case t.EventClose():
                return f"close {r.name}"
            case t.HostLbr():
                debugctl = self.bits(IA32_DEBUGCTL, r.debugctl)
                return f"host LBR {'on' if r.on else 'off'}, DEBUGCTL {debugctl}, LBR_SELECT {r.select:#x}"
            case t.SampleTaken():
                stale = " (shut out: not read)" if r.shut_out else ""
                return f"sample of {r.name}{stale}: {self._stack(r.from_ip)}"
            case _:
                raise TypeError(type(r).__name__)

    def _kvm_record(self, r: t.AnyRecord) -> str:
        match r:
            case t.VcpuLoad():
                return f"{r.vcpu} loaded"
            case t.VcpuPut():
                return f"{r.vcpu} put"
            case t.UserExit():
                return f"{r.vcpu} leaves to user space, {r.reason}"
            case t.UserReturn():
                return f"{r.vcpu} comes back from user space"
            case t.VcpuWait():
                return f"{r.vcpu} waits for {r.message}"
            case t.VcpuWake():
                return f"{r.vcpu} wakes"
            case t.Access():
                result = f"{_RESULTS[r.result]}{' (denied)' if r.denied else ''}"
                return f"{r.vcpu} {self._access(r.msr, r.value, r.write)}: {result}"
            case t.UserMsr():
                whose = f"{self._register(r.msr)} of {r.vcpu}" + (f" from {r.task}" if r.task else "")
                if r.read:
                    return f"user space gets {whose}: {self.value(r.msr, r.value) if r.taken else 'rejected'}"
                taken = "taken" if r.taken else "rejected"
                return f"user space sets {whose} <- {self.value(r.msr, r.value)}: {taken}"
            case t.CounterEvent():
                why = f" ({r.why})" if r.why else ""
                return f"{r.vcpu}: event {r.event} of counter {r.counter} {r.what}{why}"
            case t.GuestPmi():
                frozen = ", LBR frozen" if r.frozen else ""
                masked = ", LVTPC masked: not delivered" if r.masked else ""
                return f"PMI for {r.vcpu}, PERF_GLOBAL_STATUS {r.status:#x}{frozen}{masked}"
            case t.VcpuMoved():
                having = (
                    f"with its LBR, DEBUGCTL {self.bits(IA32_DEBUGCTL, r.debugctl)}" if r.lbr else "without its LBR"
                )
                return f"{r.vcpu} {r.what} {having}"
            case t.PassthroughSet():
                return f"{r.vcpu}: passthrough {'on' if r.on else 'off'}, {r.why}"
            case t.GuestEvent():
                return f"{r.vcpu}: event {r.event or ''} {r.what}{', ' + r.why if r.why else ''}".replace("  ", " ")
            case t.ClaimChange():
                return f"{r.vcpu}: claim {r.old} -> {r.new}, {r.why}"
            case t.VcpuReset():
                return f"{r.vcpu} is reset"
            case t.CpuidSet():
                what = f"PMU version {r.pmu}, {r.counters} + {r.fixed} counters, {'' if r.pdcm else 'no '}PDCM"
                lbr = f"{'an' if r.lbr else 'no'} LBR"
                done = f"rejected, {r.errno}" if r.errno else lbr
                return f"user space sets the CPUID of {r.vm} to {what}, model {r.model}: {done}"
            case t.Granted():
                return f"{r.vcpu}: {f'holds grant {r.grant}' if r.grant else 'holds no grant'}, {r.why}"
            case t.Warn():
                return f"{r.vcpu}: warns '{r.text}'"
            case _:
                raise TypeError(type(r).__name__)

    def _host(self, r: t.Rest) -> str:
        events = [f"event {e.event} of {e.vcpu} {e.state}" for host in r.hosts for e in host.guest_events]
        events += [f"{name} {state}" for host in r.hosts for name, state in host.host_events.items()]
        return ", ".join(events) or "no events"

    def _kvm(self, views: list[KvmView]) -> str:
        vcpus = [v for view in views for v in view.vcpus]
        shown = [
            f"{v.vcpu} event {v.event or 'none'}{f' grant {v.grant}' if v.grant else ''}"
            f"{', passed through' if v.passthrough else ''}"
            for v in vcpus
        ]
        return "; ".join(shown) or "none"


_HIDDEN = ("lbr", "debugctl", "kvm", "until")
_FATES = {"take": "taken", "drop": "LOST", "double": "taken, and stays", "overtake": "taken before older ones"}
_RESULTS = {"done": "done", "zero": "reads as 0", "dropped": "write dropped", "gp": "#GP"}
