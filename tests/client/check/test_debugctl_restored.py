"""debugctl-restored: after a VM-exit the host's DEBUGCTL is what it was before the entry."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.design import Design, HostDebugctl, HostEvents
from contract.machine import Exit, GuestValue
from contract.trace import VmEntry, VmExit
from perfcore_svc.machine.cpu import Cpu, Vmcs
from perfcore_svc.machine.machine import Machine
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, finding, first, ordered, trace
from tests.designs import DESIGNS, KVM_SWITCH, REVOKE_GP, V8

NAME = "debugctl-restored"
BEFORE = HOST + "host: run vm0/0 on cpu0; vm0/0: cpuid; vm0/0: cpuid; host: branch 2;"


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held(design: Design) -> None:
    """The host's LBR was on when the thread was loaded, or it never was on, because the design refuses it."""
    refused = design.host_events is HostEvents.SWITCHED_OUT
    assert finding(trace(ordered(BEFORE), design), NAME).verdict == (IDLE if refused else HELD)
    assert finding(trace(ordered(USE + "vm0/0: cpuid;"), design), NAME).verdict == HELD


def test_held_when_remembered_at_entry() -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), REVOKE_GP), NAME).verdict == HELD
    at_entry = replace(KVM_SWITCH, host_debugctl=HostDebugctl.AT_ENTRY)
    assert finding(trace(ordered(USE + HOST + AGAIN), at_entry), NAME).verdict == HELD


@cases("steps", ["vm0/0: cpuid; vm0/0: cpuid;", "vm0/0: branch 3;"])
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered("host: run vm0/0 on cpu0;" + steps), REVOKE_GP), NAME).verdict == IDLE


@cases("design", [KVM_SWITCH, V8, replace(REVOKE_GP, host_debugctl=HostDebugctl.AT_LOAD)], ids=lambda d: d.name)
def test_violated_by_a_stale_value(design: Design) -> None:
    """Remembered at vcpu_load; the host turned its LBR on since."""
    records = trace(ordered(USE + HOST + AGAIN + "vm0/0: cpuid;"), design)
    violation, record = first(records, NAME)

    assert isinstance(record, VmExit)
    assert violation.text == "DEBUGCTL of cpu0 was 0x801 before the entry and is 0x0 after the exit"
    (entry,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(entry, VmEntry)
    assert (entry.host_debugctl, record.debugctl) == (0x801, 0)


def test_violated_when_the_exit_restores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine._exit

    def forgetful(self: Machine, cpu: Cpu, vmcs: Vmcs, reason: str, values: list[GuestValue], msr: int = 0) -> Exit:
        vmcs.host_debugctl = 0
        return real(self, cpu, vmcs, reason, values, msr)

    monkeypatch.setattr(Machine, "_exit", forgetful)
    assert isinstance(first(trace(ordered(BEFORE), REVOKE_GP), NAME)[1], VmExit)


def test_violated_when_the_guests_value_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine._exit

    def leaky(self: Machine, cpu: Cpu, vmcs: Vmcs, reason: str, values: list[GuestValue], msr: int = 0) -> Exit:
        vmcs.host_debugctl = cpu.debugctl
        return real(self, cpu, vmcs, reason, values, msr)

    monkeypatch.setattr(Machine, "_exit", leaky)
    violation, _ = first(trace(ordered(USE + "vm0/0: cpuid;"), REVOKE_GP), NAME)

    assert violation.text == "DEBUGCTL of cpu0 was 0x0 before the entry and is 0x1 after the exit"
