"""Records of the silicon in words."""

from __future__ import annotations

from client.report.describe.table import text_of
from client.report.describe.values import Values
from contract import trace as t
from contract.x86 import IA32_DEBUGCTL


@text_of.register
def task_exit(r: t.TaskExit, values: Values) -> str:
    return f"{r.task} exits"


@text_of.register
def switch(r: t.Switch, values: Values) -> str:
    return f"switch {r.prev or 'idle'} -> {r.next or 'idle'}"


@text_of.register
def retired(r: t.Retired, values: Values) -> str:
    who = f"{'guest' if r.guest else 'host'} {values.actors[r.actor] or 'idle'}"
    fate = "recorded" if r.recorded else "not recorded"
    last = f"..{r.first + r.count - 1}" if r.count > 1 else ""
    return f"{who} retires {r.count} {r.branch} {r.privilege} #{r.first}{last}, {fate}"


@text_of.register
def vm_entry(r: t.VmEntry, values: Values) -> str:
    passed = "passed through" if r.passthrough else "intercepted"
    passed += ", the whole LBR switched" if r.switched else ""
    guest, host = values.bits(IA32_DEBUGCTL, r.debugctl), values.bits(IA32_DEBUGCTL, r.host_debugctl)
    return f"enter {r.vcpu}: DEBUGCTL {host} -> {guest}, LBR MSRs {passed}"


@text_of.register
def vm_entry_refused(r: t.VmEntryRefused, values: Values) -> str:
    return f"entry of {r.vcpu} refused: {r.reason}"


@text_of.register
def vm_exit(r: t.VmExit, values: Values) -> str:
    msr = f" {values.register(r.msr)}" if r.msr else ""
    cleared = ", overflow cleared guest DEBUGCTL.LBR" if r.frozen else ""
    return f"exit {r.vcpu}: {r.reason}{msr}, DEBUGCTL now {values.bits(IA32_DEBUGCTL, r.debugctl)}{cleared}"


@text_of.register
def guest_msr(r: t.GuestMsr, values: Values) -> str:
    return f"{r.vcpu} {values.access(r.msr, r.value, r.write)}{' -> #GP' if r.fault else ''}"


@text_of.register
def host_msr(r: t.HostMsr, values: Values) -> str:
    for_whom = f" for {r.on_behalf}" if r.on_behalf else ""
    return f"{r.component}{for_whom} {values.access(r.msr, r.value, r.write)}{' faults' if r.fault else ''}"


@text_of.register
def pmi(r: t.Pmi, values: Values) -> str:
    frozen = "LBR frozen" if r.frozen else "LBR not frozen"
    return f"PMI: {', '.join(r.events)} overflowed, {frozen}"


@text_of.register
def throttle(r: t.Throttle, values: Values) -> str:
    return f"{r.name} {'throttled' if r.throttled else 'may overflow again'}"


@text_of.register
def lbr_save(r: t.LbrSave, values: Values) -> str:
    return f"{r.component} saves the LBR of {r.owner}, {r.valid} entries"


@text_of.register
def lbr_restore(r: t.LbrRestore, values: Values) -> str:
    order = [r.image.from_ip[(r.image.tos - i) % values.model.depth] for i in range(len(r.image.from_ip))]
    return f"{r.component} restores the LBR of {r.owner}: {values.stack([v for v in order if v])}"
