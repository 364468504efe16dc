"""Records of the host perf core in words."""

from __future__ import annotations

from client.report.describe.table import text_of
from client.report.describe.values import Values
from contract import trace as t
from contract.x86 import IA32_DEBUGCTL


@text_of.register
def event_open(r: t.EventOpen, values: Values) -> str:
    scope = f"task {r.task}" if r.task else f"cpu{r.cpu}"
    select = f"LBR_SELECT {r.select:#x}" if r.select >= 0 else "counter"
    how = ("pinned" if r.pinned else "flexible") + (" exclusive" if r.exclusive else "")
    return f"open {r.name} on {scope}, {how}, {select}, {r.state}"


@text_of.register
def event_failed(r: t.EventFailed, values: Values) -> str:
    return f"{r.name}: {r.errno}{f', {r.holder} has it' if r.holder else ''}"


@text_of.register
def host_wait(r: t.HostWait, values: Values) -> str:
    return f"{r.name} waits for the end of grant {', '.join(map(str, r.grants))}"


@text_of.register
def host_wake(r: t.HostWake, values: Values) -> str:
    return f"{r.name} resumes: {r.reason}"


@text_of.register
def event_change(r: t.EventChange, values: Values) -> str:
    return f"{r.name} {r.old} -> {r.new}{f' ({r.reason})' if r.reason else ''}"


@text_of.register
def event_waits(r: t.EventWaits, values: Values) -> str:
    return f"{r.name} stays off ({r.reason})" if r.reason else f"{r.name} may be put on again"


@text_of.register
def event_close(r: t.EventClose, values: Values) -> str:
    return f"close {r.name}"


@text_of.register
def host_lbr(r: t.HostLbr, values: Values) -> str:
    debugctl = values.bits(IA32_DEBUGCTL, r.debugctl)
    return f"host LBR {'on' if r.enabled else 'off'}, DEBUGCTL {debugctl}, LBR_SELECT {r.select:#x}"


@text_of.register
def sample_taken(r: t.SampleTaken, values: Values) -> str:
    stale = " (shut out: not read)" if r.shut_out else ""
    return f"sample of {r.name}{stale}: {values.stack(r.from_ip)}"


@text_of.register
def lbr_reset(r: t.LbrReset, values: Values) -> str:
    return f"LBR reset: {r.reason}{', LBR_SELECT too' if r.select else ''}"
