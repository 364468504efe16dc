"""The guest's general counters: their MSRs, and the host events that count for them.

Theory of operation. A guest's access of a counter MSR always exits. A write that changes what is to be counted only
marks the counter; before the next VM-entry (KVM_REQ_PMU) its host event is paused, resumed or created anew
(``reprogram_counter``): task-pinned, exclude_host, with a period of the two's-complement distance to overflow. A
creation that fails leaves the mark, and is tried again with the next request; the counter stands still meanwhile. In
one kernel these are calls; here the thread sleeps until the host has created or resumed the event, so that no branch of
the guest's falls between.
Nothing of this looks at the LBR.

Any event select counts retired branches, as every event of this model does. Fixed counters are not offered to guests.
Registers: SDM vol. 3B, "Architectural Performance Monitoring"; ``intel_pmu_set_msr``, ``intel_pmu_get_msr``.
"""

from __future__ import annotations

from collections.abc import Generator

from contract.errors import LocalContractError
from contract.machine import AnyReply, AnyRequest, CounterRead, Exit, ReadCounter
from contract.messages import CreateCounter, EventCreated, Overflow, PauseCounter, ReleaseEvent, ResumeCounter
from contract.trace import CounterEvent, VcpuWait, VcpuWake
from contract.x86 import (
    EVENTSEL_EN,
    EVENTSEL_INT,
    EVENTSEL_OS,
    EVENTSEL_RAW,
    EVENTSEL_RESERVED,
    EVENTSEL_USR,
    MSR_EVENTSEL,
    MSR_GLOBAL_CTRL,
    MSR_GLOBAL_OVF_CTRL,
    MSR_GLOBAL_STATUS,
    MSR_PMC,
    MSR_PMC_FULL,
    PERF_CAP_FULL_WIDTH_WRITES,
)
from kvm_svc.hypervisor.capabilities import read_capabilities
from kvm_svc.hypervisor.guest_pmu import GuestCounter
from kvm_svc.hypervisor.state import Hypervisor, Vcpu

Exchange = Generator[AnyRequest, AnyReply, int | None]
GENERAL_MOST = 8
WIDTH = (1 << 48) - 1
CONDITION_CHANGED = 3 << 62


def is_counter_msr(hv: Hypervisor, vcpu: Vcpu, msr: int) -> bool:
    """Whether this guest has this register: none without a PMU, the global ones from version 2 on."""
    if msr in (MSR_GLOBAL_CTRL, MSR_GLOBAL_STATUS, MSR_GLOBAL_OVF_CTRL):
        return vcpu.vm.spec.pmu > 1
    return _counter(hv, vcpu, msr) is not None


def _general(hv: Hypervisor, vcpu: Vcpu) -> int:
    return min(hv.machine.counters, GENERAL_MOST) if vcpu.vm.spec.pmu else 0


def _counter(hv: Hypervisor, vcpu: Vcpu, msr: int) -> tuple[int, int] | None:
    """The bank and the number of a counter's own register."""
    banks = [MSR_EVENTSEL, MSR_PMC]
    if read_capabilities(hv, vcpu.vm) & PERF_CAP_FULL_WIDTH_WRITES:
        banks.append(MSR_PMC_FULL)
    return next(((base, msr - base) for base in banks if 0 <= msr - base < _general(hv, vcpu)), None)


def counter_access(hv: Hypervisor, vcpu: Vcpu, exit_: Exit) -> Exchange:
    """The guest's RDMSR or WRMSR of such a register: what is read, or stored; None is #GP."""
    pmu, msr, value = vcpu.pmu, exit_.msr, exit_.value
    if (place := _counter(hv, vcpu, msr)) is not None:
        bank, number = place
        counter = pmu.counters.setdefault(number, GuestCounter())
        counter.in_use = True
        if bank == MSR_EVENTSEL:
            return _write_eventsel(vcpu, counter, value) if exit_.write else counter.eventsel
        shown = yield from _value(vcpu, counter)
        return _write_pmc(vcpu, counter, bank, value) if exit_.write else shown
    valid = (1 << _general(hv, vcpu)) - 1
    if not exit_.write:
        return {MSR_GLOBAL_CTRL: pmu.global_ctrl, MSR_GLOBAL_STATUS: pmu.global_status}.get(msr, 0)
    if msr == MSR_GLOBAL_STATUS or value & ~(valid if msr == MSR_GLOBAL_CTRL else valid | CONDITION_CHANGED):
        return None
    if msr == MSR_GLOBAL_OVF_CTRL:
        pmu.global_status &= ~value
        return value
    for number, counter in pmu.counters.items():
        if (pmu.global_ctrl ^ value) >> number & 1:
            _mark(vcpu, counter)
    pmu.global_ctrl = value
    return value


def _write_eventsel(vcpu: Vcpu, counter: GuestCounter, value: int) -> int | None:
    if value & EVENTSEL_RESERVED:
        return None
    if value != counter.eventsel:
        counter.eventsel = value
        _mark(vcpu, counter)
    return value


def _write_pmc(vcpu: Vcpu, counter: GuestCounter, bank: int, value: int) -> int | None:
    """The old register takes 32 bits and extends their sign; the other takes the full width and no more."""
    if bank == MSR_PMC:
        low = value & 0xFFFF_FFFF
        value = (low | -(low >> 31) << 32) & WIDTH
    elif value & ~WIDTH:
        return None
    counter.value = value
    if counter.running:
        _mark(vcpu, counter)
    return value


def _mark(vcpu: Vcpu, counter: GuestCounter) -> None:
    """``kvm_pmu_request_counter_reprogram``."""
    counter.reprogram = vcpu.pmu.requested = True


def _enabled(vcpu: Vcpu, number: int, counter: GuestCounter) -> bool:
    by_all = vcpu.vm.spec.pmu < 2 or vcpu.pmu.global_ctrl >> number & 1
    return bool(counter.eventsel & EVENTSEL_EN and by_all)


def _shown(vcpu: Vcpu, counter: GuestCounter) -> Generator[AnyRequest, AnyReply, int]:
    """What the host's event has counted."""
    reply = yield ReadCounter(vcpu.name, vcpu.cpu, counter.event)
    if not isinstance(reply, CounterRead):
        raise LocalContractError(f"{vcpu.name}: a counter was answered with {type(reply).__name__}")
    return reply.count


def _value(vcpu: Vcpu, counter: GuestCounter) -> Generator[AnyRequest, AnyReply, int]:
    """``pmc_read_counter``; the counter's value is now up to date."""
    if counter.running:
        shown = yield from _shown(vcpu, counter)
        counter.value = (counter.value + shown - counter.since) & WIDTH
        counter.since = shown
    return counter.value


# Before a VM-entry -------------------------------------------------------------------------------------------


def reprogram_counters(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, bool]:
    """``kvm_pmu_handle_event``. True: the thread now sleeps until the host has created events."""
    pmu = vcpu.pmu
    if not pmu.requested:
        return False
    pmu.requested = False
    for number, counter in pmu.counters.items():
        if counter.reprogram:
            yield from _reprogram(hv, vcpu, number, counter)
    if pmu.cleanup:
        _cleanup(hv, vcpu)
    if pmu.waiting:
        hv.log.add(VcpuWait(vcpu.name, "EventCreated"))
    return pmu.waiting


def _reprogram(hv: Hypervisor, vcpu: Vcpu, number: int, counter: GuestCounter) -> Generator[AnyRequest, AnyReply, None]:
    counter.reprogram = False
    if counter.running:
        yield from _value(vcpu, counter)
        counter.running = False
        hv.outgoing.append(PauseCounter(counter.event))
        hv.log.add(CounterEvent(vcpu.name, number, counter.event, "paused"))
    if not _enabled(vcpu, number, counter):
        return
    config = counter.eventsel & EVENTSEL_RAW
    period = -counter.value & WIDTH or WIDTH + 1
    if counter.event and counter.config == config:
        counter.since = yield from _shown(vcpu, counter)
        hv.requests += 1
        counter.asked = hv.requests
        hv.outgoing.append(ResumeCounter(vcpu.name, counter.asked, counter.event, period))
        return
    _release(hv, vcpu, number, counter)
    hv.requests += 1
    counter.asked, counter.config = hv.requests, config
    levels = [name for name, bit in (("user", EVENTSEL_USR), ("kernel", EVENTSEL_OS)) if counter.eventsel & bit]
    hv.outgoing.append(CreateCounter(vcpu.name, counter.asked, number, levels, period))


def _release(hv: Hypervisor, vcpu: Vcpu, number: int, counter: GuestCounter) -> None:
    if counter.event:
        hv.outgoing.append(ReleaseEvent(counter.event))
        hv.log.add(CounterEvent(vcpu.name, number, counter.event, "released"))
        counter.event, counter.running = 0, False


def release_counters(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``kvm_pmu_reset``, as far as host events go."""
    for number, counter in vcpu.pmu.counters.items():
        _release(hv, vcpu, number, counter)


def _cleanup(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``kvm_pmu_cleanup``: what a whole slice did not touch and the guest has not enabled goes."""
    vcpu.pmu.cleanup = False
    for number, counter in vcpu.pmu.counters.items():
        if not counter.in_use and not counter.eventsel & EVENTSEL_EN:
            _release(hv, vcpu, number, counter)
        counter.in_use = False


# News from the host ------------------------------------------------------------------------------------------


def counter_created(hv: Hypervisor, vcpu: Vcpu, message: EventCreated) -> bool:
    """Whether this answers a request of a counter's."""
    for number, counter in vcpu.pmu.counters.items():
        if counter.asked == message.request:
            resumed = message.event != 0 and message.event == counter.event
            if not resumed:
                counter.event, counter.since = message.event, 0
            counter.asked, counter.running = 0, message.event != 0
            counter.reprogram = counter.reprogram or not message.event
            what = "resumed" if resumed else "created" if message.event else "failed"
            hv.log.add(CounterEvent(vcpu.name, number, message.event, what, message.errno))
            if not vcpu.waiting:
                hv.log.add(VcpuWake(vcpu.name))
            return True
    return False


def overflow(hv: Hypervisor, message: Overflow) -> None:
    """``kvm_perf_overflow``: ignored while a reprogramming is pending. The counter is programmed anew for the distance
    that it now has."""
    for vcpu in hv.vcpus.values():
        for number, counter in vcpu.pmu.counters.items():
            if counter.event == message.event and message.event and not counter.reprogram:
                if vcpu.vm.spec.pmu > 1:
                    vcpu.pmu.global_status |= 1 << number
                vcpu.pmu.pmi = vcpu.pmu.pmi or bool(counter.eventsel & EVENTSEL_INT)
                vcpu.kick = vcpu.kick or vcpu.guest_mode
                _mark(vcpu, counter)


def slice_begins(vcpu: Vcpu) -> None:
    """The thread was scheduled in: KVM_REQ_PMU, if any event counts for the guest (``kvm_arch_sched_in``)."""
    if any(counter.event or counter.reprogram for counter in vcpu.pmu.counters.values()):
        vcpu.pmu.cleanup = vcpu.pmu.requested = True
