"""The guest's counters: the effects of their MSRs, and the host events that count for them.

Theory of operation. A guest's access to a counter MSR always exits. The table of ``kvm_svc.hypervisor.pmu_msrs`` says
which registers exist and which values they take. A write that changes the counted event only marks the counter. Before
the next VM-entry (KVM_REQ_PMU) its host event is paused, resumed or created again (``reprogram_counter``): task-pinned,
exclude_host, with a period of the two's-complement distance to overflow. Older kernels do this within the write, for
``current``: if another thread of user space writes, the event belongs to that thread and counts nothing of the guest
(rule ``reprograms_at_once``). A creation that fails leaves the mark, and is tried again with the next request; the
counter stands still meanwhile. In a kernel these are calls. Here the thread sleeps until the host has created or
resumed the event, so no branch of the guest retires in between. None of this depends on the LBR.

Any event select counts retired branches, because every event of this model does; so does any fixed counter. Registers:
SDM vol. 3B, "Architectural Performance Monitoring"; ``intel_pmu_set_msr``, ``intel_pmu_get_msr``, ``kvm_pmu_set_msr``,
``intel_rdpmc_ecx_to_pmc``.
"""

from __future__ import annotations

from collections.abc import Generator

from contract.errors import LocalContractError
from contract.machine import AnyReply, AnyRequest, CounterRead, ReadCounter
from contract.messages import CreateCounter, EventCreated, Overflow, PauseCounter, ReleaseEvent, ResumeCounter
from contract.trace import CounterEvent, VcpuWait
from contract.x86 import (
    COUNTER_WIDTH,
    EVENTSEL_EN,
    EVENTSEL_INT,
    EVENTSEL_OS,
    EVENTSEL_USR,
    FIXED_COUNTER,
    PERF_CAP_FULL_WIDTH_WRITES,
)
from kvm_svc.hypervisor.capabilities import read_capabilities
from kvm_svc.hypervisor.guest_pmu import GuestCounter, GuestPmu
from kvm_svc.hypervisor.pmu_msrs import Bank, MsrAccess, PmuMsr, PmuShape, pmu_msrs
from kvm_svc.hypervisor.state import Hypervisor, Vcpu, Vm
from kvm_svc.hypervisor.waiting import wake

Exchange = Generator[AnyRequest, AnyReply, int | None]
FIXED_LEVELS = (("user", 2), ("kernel", 1))
"""Bits of a field of FIXED_CTR_CTRL."""
FIXED_PMI = 8
RDPMC_FIXED = 1 << 30
RDPMC_FAST = 1 << 31


def shape_of(hv: Hypervisor, vm: Vm) -> PmuShape:
    """The PMU that this guest has."""
    full_width = read_capabilities(hv, vm) & PERF_CAP_FULL_WIDTH_WRITES != 0
    return PmuShape(hv.machine.counters, hv.machine.fixed, vm.spec.pmu, full_width, vm.spec.counters, vm.spec.fixed)


def pmu_msr(hv: Hypervisor, vm: Vm, msr: int) -> PmuMsr | None:
    """This guest's register at an address; None if the table has none."""
    return pmu_msrs(hv.rules.pmu, shape_of(hv, vm)).get(msr)


def new_pmu(hv: Hypervisor, vm: Vm) -> GuestPmu:
    """The PMU of a vCPU that has its CPUID (``kvm_pmu_refresh``): every register has its reset value from the table."""
    rows = pmu_msrs(hv.rules.pmu, shape_of(hv, vm)).values()
    return GuestPmu(global_ctrl=next((row.reset for row in rows if row.bank is Bank.GLOBAL_CTRL), 0))


def counter_access(hv: Hypervisor, vcpu: Vcpu, row: PmuMsr, write: int | None, *, by_user: bool = False) -> Exchange:
    """RDMSR, or WRMSR of ``write``. Gives the value that is read or stored. None: #GP for the guest, failed for user
    space."""
    access = row.user if by_user else row.guest
    if access is MsrAccess.NONE:
        return None
    if access in (MsrAccess.ZERO, MsrAccess.ZERO_ONLY):
        return 0 if access is MsrAccess.ZERO or not write else None
    if write is None:
        return (yield from _read(vcpu, row))
    if access is MsrAccess.READ or write & (row.user_reserved if by_user else row.reserved):
        return None
    return (yield from _write(hv, vcpu, row, write, by_user=by_user))


def _counter(vcpu: Vcpu, number: int) -> GuestCounter:
    counter = vcpu.pmu.counters.setdefault(number, GuestCounter())
    counter.in_use = True
    return counter


def _read(vcpu: Vcpu, row: PmuMsr) -> Generator[AnyRequest, AnyReply, int]:
    pmu = vcpu.pmu
    match row.bank:
        case Bank.EVENTSEL:
            return _counter(vcpu, row.number).eventsel
        case Bank.PMC | Bank.PMC_FULL | Bank.FIXED:
            return (yield from _value(vcpu, _counter(vcpu, row.number)))
        case Bank.FIXED_CTRL:
            return pmu.fixed_ctr_ctrl
        case Bank.GLOBAL_STATUS:
            return pmu.global_status
        case Bank.GLOBAL_CTRL:
            return pmu.global_ctrl
        case _:
            return 0


def _write(
    hv: Hypervisor, vcpu: Vcpu, row: PmuMsr, value: int, *, by_user: bool
) -> Generator[AnyRequest, AnyReply, int]:
    pmu = vcpu.pmu
    match row.bank:
        case Bank.EVENTSEL:
            counter = _counter(vcpu, row.number)
            if value != counter.eventsel:
                counter.eventsel = value
                _mark(vcpu, counter)
        case Bank.PMC | Bank.PMC_FULL | Bank.FIXED:
            if row.bank is Bank.PMC and not by_user:
                low = value & 0xFFFF_FFFF
                value = low | -(low >> 31) << 32
            value &= COUNTER_WIDTH
            yield from _set_value(hv, vcpu, _counter(vcpu, row.number), value)
        case Bank.FIXED_CTRL:
            changed, pmu.fixed_ctr_ctrl = pmu.fixed_ctr_ctrl ^ value, value
            for i in range(shape_of(hv, vcpu.vm).fixed):
                if changed >> 4 * i & 0xF:
                    _mark(vcpu, _counter(vcpu, FIXED_COUNTER + i))
        case Bank.GLOBAL_STATUS:
            pmu.global_status = value
        case Bank.GLOBAL_CTRL:
            changed, pmu.global_ctrl = pmu.global_ctrl ^ value, value
            for number, counter in pmu.counters.items():
                if changed >> number & 1:
                    _mark(vcpu, counter)
        case Bank.OVF_CTRL if not by_user:
            pmu.global_status &= ~value
        case _:
            pass
    return value


def _set_value(hv: Hypervisor, vcpu: Vcpu, counter: GuestCounter, value: int) -> Generator[AnyRequest, AnyReply, None]:
    """``pmc_write_counter``. Up to v5.5 the count of the event since its creation stays added to the value."""
    if counter.running:
        yield from _value(vcpu, counter)
        if hv.rules.pmu.write_replaces_count:
            value = (value + counter.base - counter.begun) & COUNTER_WIDTH
        _mark(vcpu, counter)
    counter.value = value


def rdpmc(hv: Hypervisor, vcpu: Vcpu, index: int) -> Exchange:
    """RDPMC with ``index`` in ECX (``kvm_pmu_rdpmc``): the counter's value; None is #GP. Bit 30 means fixed counters.
    Bit 31 asked for the low 32 bits until v6.8, and is #GP since."""
    shape = shape_of(hv, vcpu.vm)
    fast = index & RDPMC_FAST and hv.rules.pmu.fast_rdpmc
    known = RDPMC_FIXED | (RDPMC_FAST if fast else 0)
    place = index & ~known
    if not shape.version or place >= (shape.fixed if index & RDPMC_FIXED else shape.general):
        return None
    value = yield from _value(vcpu, _counter(vcpu, place + (FIXED_COUNTER if index & RDPMC_FIXED else 0)))
    return value & 0xFFFF_FFFF if fast else value


def _mark(vcpu: Vcpu, counter: GuestCounter) -> None:
    """``kvm_pmu_request_counter_reprogram``."""
    counter.reprogram = vcpu.pmu.requested = True


def _field(vcpu: Vcpu, number: int) -> int:
    """The bits of FIXED_CTR_CTRL for a fixed counter."""
    return vcpu.pmu.fixed_ctr_ctrl >> 4 * (number - FIXED_COUNTER) & 0xF


def _levels(vcpu: Vcpu, number: int, counter: GuestCounter) -> list[str]:
    """The privilege levels at which the counter counts."""
    if number >= FIXED_COUNTER:
        return [name for name, bit in FIXED_LEVELS if _field(vcpu, number) & bit]
    return [name for name, bit in (("user", EVENTSEL_USR), ("kernel", EVENTSEL_OS)) if counter.eventsel & bit]


def _switched_on(vcpu: Vcpu, number: int, counter: GuestCounter) -> bool:
    """``pmc_speculative_in_use``: the counter's own register enables it."""
    if number >= FIXED_COUNTER:
        return bool(_field(vcpu, number) & 3)
    return bool(counter.eventsel & EVENTSEL_EN)


def _enabled(vcpu: Vcpu, number: int, counter: GuestCounter) -> bool:
    by_all = vcpu.vm.spec.pmu < 2 or vcpu.pmu.global_ctrl >> number & 1
    return bool(by_all and _switched_on(vcpu, number, counter))


def _wants_pmi(vcpu: Vcpu, number: int, counter: GuestCounter) -> bool:
    if number >= FIXED_COUNTER:
        return bool(_field(vcpu, number) & FIXED_PMI)
    return bool(counter.eventsel & EVENTSEL_INT)


def _shown(vcpu: Vcpu, counter: GuestCounter) -> Generator[AnyRequest, AnyReply, int]:
    """The count of the host's event."""
    reply = yield ReadCounter(vcpu.name, vcpu.cpu, counter.event)
    if not isinstance(reply, CounterRead):
        raise LocalContractError(f"{vcpu.name}: a counter was answered with {type(reply).__name__}")
    return reply.count


def _value(vcpu: Vcpu, counter: GuestCounter) -> Generator[AnyRequest, AnyReply, int]:
    """``pmc_read_counter``; the counter's value is now up to date."""
    if counter.running:
        shown = yield from _shown(vcpu, counter)
        counter.value = (counter.value + shown - counter.base) & COUNTER_WIDTH
        counter.base = shown
    return counter.value


# Before a VM-entry -------------------------------------------------------------------------------------------


def reprogram_counters(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, bool]:
    """``kvm_pmu_handle_event``. True: the thread now sleeps until the host has created events."""
    pmu = vcpu.pmu
    if not pmu.requested:
        return False
    yield from _reprogram_marked(hv, vcpu)
    if pmu.cleanup:
        _cleanup(hv, vcpu)
    if pmu.waiting:
        hv.effects.add(VcpuWait(vcpu.name, "EventCreated"))
    return pmu.waiting


def switches_counters(row: PmuMsr) -> bool:
    """Whether a write of this register enables or disables counters."""
    return row.bank in (Bank.EVENTSEL, Bank.FIXED_CTRL, Bank.GLOBAL_CTRL)


def reprogram_at_once(hv: Hypervisor, vcpu: Vcpu, thread: str) -> Generator[AnyRequest, AnyReply, None]:
    """User space has written a register that enables or disables counters, under the rule ``reprograms_at_once``.
    ``thread``: ``current``, "" for the vCPU's own. The vCPU continues when the host has answered."""
    if vcpu.pmu.requested:
        yield from _reprogram_marked(hv, vcpu, thread)
        if vcpu.pmu.waiting:
            hv.effects.add(VcpuWait(vcpu.name, "EventCreated"))


def _reprogram_marked(hv: Hypervisor, vcpu: Vcpu, thread: str = "") -> Generator[AnyRequest, AnyReply, None]:
    vcpu.pmu.requested = False
    for number, counter in vcpu.pmu.counters.items():
        if counter.reprogram:
            yield from _reprogram(hv, vcpu, number, counter, thread)


def _reprogram(
    hv: Hypervisor, vcpu: Vcpu, number: int, counter: GuestCounter, thread: str
) -> Generator[AnyRequest, AnyReply, None]:
    counter.reprogram = False
    if counter.running:
        yield from _value(vcpu, counter)
        counter.running = False
        hv.outgoing.append(PauseCounter(counter.event))
        hv.effects.add(CounterEvent(vcpu.name, number, counter.event, "paused"))
    if not _enabled(vcpu, number, counter):
        return
    config = _field(vcpu, number) if number >= FIXED_COUNTER else counter.eventsel
    period = -counter.value & COUNTER_WIDTH or COUNTER_WIDTH + 1
    if counter.event and counter.config == config:
        counter.base = counter.begun = yield from _shown(vcpu, counter)
        counter.request = hv.next_request()
        hv.outgoing.append(ResumeCounter(vcpu.name, counter.request, counter.event, period))
        return
    _release(hv, vcpu, number, counter)
    counter.request, counter.config = hv.next_request(), config
    levels = _levels(vcpu, number, counter)
    hv.outgoing.append(CreateCounter(vcpu.name, counter.request, number, levels, period, thread))


def _release(hv: Hypervisor, vcpu: Vcpu, number: int, counter: GuestCounter) -> None:
    if counter.event:
        hv.outgoing.append(ReleaseEvent(counter.event))
        hv.effects.add(CounterEvent(vcpu.name, number, counter.event, "released"))
        counter.event, counter.running = 0, False


def release_counters(hv: Hypervisor, vcpu: Vcpu) -> None:
    """The part of ``kvm_pmu_reset`` for host events."""
    for number, counter in vcpu.pmu.counters.items():
        _release(hv, vcpu, number, counter)


def _cleanup(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``kvm_pmu_cleanup``: release the counters that a whole slice did not touch and the guest has not enabled."""
    vcpu.pmu.cleanup = False
    for number, counter in vcpu.pmu.counters.items():
        if not counter.in_use and not _switched_on(vcpu, number, counter):
            _release(hv, vcpu, number, counter)
        counter.in_use = False


# News from the host ------------------------------------------------------------------------------------------


def counter_created(hv: Hypervisor, vcpu: Vcpu, message: EventCreated) -> bool:
    """Whether this answers a request of a counter."""
    for number, counter in vcpu.pmu.counters.items():
        if counter.request == message.request:
            resumed = message.event != 0 and message.event == counter.event
            if not resumed:
                if counter.event:
                    hv.effects.add(CounterEvent(vcpu.name, number, counter.event, "released", message.errno))
                counter.event, counter.base, counter.begun = message.event, 0, 0
            counter.request, counter.running = 0, message.event != 0
            counter.reprogram = counter.reprogram or not message.event
            what = "resumed" if resumed else "created" if message.event else "failed"
            hv.effects.add(CounterEvent(vcpu.name, number, message.event, what, message.errno))
            if not vcpu.waiting:
                wake(hv, vcpu)
            return True
    return False


def overflow(hv: Hypervisor, message: Overflow) -> None:
    """``kvm_perf_overflow``: ignored while a reprogramming is pending. The counter is programmed again for its new
    distance to overflow."""
    for vcpu in hv.vcpus.values():
        for number, counter in vcpu.pmu.counters.items():
            if counter.event == message.event and message.event and not counter.reprogram:
                if vcpu.vm.spec.pmu > 1:
                    vcpu.pmu.global_status |= 1 << number
                vcpu.pmu.pmi = vcpu.pmu.pmi or _wants_pmi(vcpu, number, counter)
                vcpu.kick = vcpu.kick or vcpu.guest_mode
                _mark(vcpu, counter)


def slice_begins(vcpu: Vcpu) -> None:
    """The thread was scheduled in: KVM_REQ_PMU, if any event counts for the guest (``kvm_arch_sched_in``)."""
    if any(counter.event or counter.reprogram for counter in vcpu.pmu.counters.values()):
        vcpu.pmu.cleanup = vcpu.pmu.requested = True
