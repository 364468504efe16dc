"""Records of KVM in words."""

from __future__ import annotations

from client.report.describe.table import text_of
from client.report.describe.values import Values
from contract import trace as t
from contract.x86 import IA32_DEBUGCTL

_RESULTS = {"done": "done", "zero": "reads as 0", "dropped": "write dropped", "gp": "#GP"}


@text_of.register
def vcpu_load(r: t.VcpuLoad, values: Values) -> str:
    return f"{r.vcpu} loaded"


@text_of.register
def vcpu_put(r: t.VcpuPut, values: Values) -> str:
    return f"{r.vcpu} put"


@text_of.register
def user_exit(r: t.UserExit, values: Values) -> str:
    return f"{r.vcpu} leaves to user space, {r.reason}"


@text_of.register
def user_return(r: t.UserReturn, values: Values) -> str:
    return f"{r.vcpu} comes back from user space"


@text_of.register
def vcpu_wait(r: t.VcpuWait, values: Values) -> str:
    return f"{r.vcpu} waits for {r.message}"


@text_of.register
def vcpu_wake(r: t.VcpuWake, values: Values) -> str:
    return f"{r.vcpu} wakes"


@text_of.register
def access(r: t.Access, values: Values) -> str:
    result = f"{_RESULTS[r.result]}{' (denied)' if r.denied else ''}"
    return f"{r.vcpu} {values.access(r.msr, r.value, r.write)}: {result}"


@text_of.register
def user_msr(r: t.UserMsr, values: Values) -> str:
    whose = f"{values.register(r.msr)} of {r.vcpu}" + (f" from {r.task}" if r.task else "")
    if r.read:
        return f"user space gets {whose}: {values.value(r.msr, r.value) if r.processed else 'rejected'}"
    taken = "taken" if r.processed else "rejected"
    return f"user space sets {whose} <- {values.value(r.msr, r.value)}: {taken}"


@text_of.register
def counter_event(r: t.CounterEvent, values: Values) -> str:
    why = f" ({r.reason})" if r.reason else ""
    return f"{r.vcpu}: event {r.event} of counter {r.counter} {r.change}{why}"


@text_of.register
def guest_pmi(r: t.GuestPmi, values: Values) -> str:
    frozen = ", LBR frozen" if r.frozen else ""
    masked = ", LVTPC masked: not delivered" if r.masked else ", masks LVTPC" if r.masks_lvtpc else ""
    return f"PMI for {r.vcpu}, PERF_GLOBAL_STATUS {r.status:#x}{frozen}{masked}"


@text_of.register
def vcpu_moved(r: t.VcpuMoved, values: Values) -> str:
    having = f"with its LBR, DEBUGCTL {values.bits(IA32_DEBUGCTL, r.debugctl)}" if r.lbr else "without its LBR"
    return f"{r.vcpu} {r.action} {having}"


@text_of.register
def passthrough_set(r: t.PassthroughSet, values: Values) -> str:
    return f"{r.vcpu}: passthrough {'on' if r.enabled else 'off'}, {r.reason}"


@text_of.register
def guest_event(r: t.GuestEvent, values: Values) -> str:
    return f"{r.vcpu}: event {r.event or ''} {r.change}{', ' + r.reason if r.reason else ''}".replace("  ", " ")


@text_of.register
def claim_change(r: t.ClaimChange, values: Values) -> str:
    return f"{r.vcpu}: claim {r.old} -> {r.new}, {r.reason}"


@text_of.register
def vcpu_reset(r: t.VcpuReset, values: Values) -> str:
    return f"{r.vcpu} is reset"


@text_of.register
def cpuid_set(r: t.CpuidSet, values: Values) -> str:
    what = f"PMU version {r.pmu}, {r.counters} + {r.fixed} counters, {'' if r.pdcm else 'no '}PDCM"
    lbr = f"{'an' if r.lbr else 'no'} LBR"
    done = f"rejected, {r.errno}" if r.errno else lbr
    return f"user space sets the CPUID of {r.vm} to {what}, model {r.model}: {done}"


@text_of.register
def granted(r: t.Granted, values: Values) -> str:
    return f"{r.vcpu}: {f'holds grant {r.grant}' if r.grant else 'holds no grant'}, {r.reason}"


@text_of.register
def warn(r: t.Warn, values: Values) -> str:
    return f"{r.vcpu}: warns '{r.text}'"
