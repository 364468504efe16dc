"""The Intel LBR driver (``arch/x86/events/intel/lbr.c``): who turns the LBR on, and what it saves, restores and clears.

Some behaviour may surprise. ``lbr_add`` runs before the resource test, so an event that does not fit has still put its
software filter into ``br_sel`` and may have reset the ring. ``lbr_del`` uses ``br_sel``, not the event's own filter. A
save stops at the first entry whose FROM is 0, a restore is left out if the ring seems unchanged, and an event that has
been on before takes the ring as it is. None of this holds for a guest whose design keeps the whole ring. A restore
makes the saved copy invalid."""

from __future__ import annotations

from contract.lbr_ring import mended_from
from contract.messages import LbrImage
from contract.provenance import branch_at
from contract.trace import HostLbr, LbrReset, LbrRestore, LbrSave
from contract.x86 import DEBUGCTL_FREEZE_LBRS_ON_PMI, DEBUGCTL_LBR, SELECT_CALL_STACK, SELECT_HARDWARE
from perfcore_svc.machine.cpu import Cpu
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import PerfEvent
from perfcore_svc.perf.saved_lbr import SavedLbr


def attach(ctx: Context, event: PerfEvent, *, with_event: bool) -> None:
    """Space for saved stacks, while the task has an event that needs them (PERF_ATTACH_TASK_DATA). ``with_event``: a
    guest's LBR is saved when its event goes off, and is kept with the event."""
    if not event.task_data:
        return
    if event.guest and with_event:
        event.saved = SavedLbr(whole=event.whole_ring)
        return
    ctx.lbr_events += 1
    if ctx.task:
        ctx.lbr = ctx.lbr or SavedLbr()
        ctx.lbr.whole = ctx.lbr.whole or event.whole_ring


def detach(ctx: Context, event: PerfEvent, *, for_all: bool) -> None:
    """``for_all``: every task has space, because an event profiles a CPU by call stacks; saved stacks then stay."""
    if not event.task_data or event.saved is not None:
        return
    ctx.lbr_events -= 1
    if ctx.lbr is not None and event.whole_ring:
        ctx.lbr.whole = ctx.lbr.valid = False
    if not ctx.lbr_events and not for_all:
        ctx.lbr = None


def lbr_add(machine: Machine, pc: PerfCpu, ctx: Context, event: PerfEvent, *, shut_out: bool, select: bool) -> None:
    """``intel_pmu_lbr_add``. ``shut_out`` and ``select`` are the effects of a guest's event in this design."""
    assert event.filter is not None
    if event.guest:
        pc.save_select = pc.save_select or select
        pc.shut_out = pc.shut_out or shut_out
    pc.br_sel = event.filter
    _count_call_stack(pc, ctx, event, 1)
    if pc.lbr_users == 0 and not event.whole_ring:
        if not event.ran:
            lbr_reset(machine, pc, "first LBR user is new")
        elif pc.of_guest:
            lbr_reset(machine, pc, "the ring is a guest's")
    pc.lbr_users += 1
    if not event.guest:
        pc.host_users += 1


def lbr_del(pc: PerfCpu, ctx: Context, event: PerfEvent) -> None:
    """``intel_pmu_lbr_del``. The shut-out is one flag for all guests' events of the CPU, not a count."""
    if event.guest:
        pc.save_select = False
        pc.shut_out = False
    _count_call_stack(pc, ctx, event, -1)
    pc.lbr_users -= 1
    if not event.guest:
        pc.host_users -= 1


def _count_call_stack(pc: PerfCpu, ctx: Context, event: PerfEvent, step: int) -> None:
    """One user more or less whose stack is saved. It is found by ``br_sel``, which is not the event's own filter when
    the event goes."""
    if pc.br_sel is None or not pc.br_sel.user_call_stack or event.saved is not None:
        return
    if ctx.lbr is not None:
        ctx.lbr.callstack_users += step
    elif event.task_data and not ctx.task:
        pc.callstack_users += step


def lbr_reset(machine: Machine, pc: PerfCpu, why: str) -> None:
    """``intel_pmu_lbr_reset``: FROM, TO and INFO to zero; for an architectural LBR by a write of IA32_LBR_DEPTH. TOS
    stays, and so does LBR_SELECT unless a guest's event is on."""
    cpu = machine.cpus[pc.index]
    cpu.lbr.reset()
    machine.count("wrmsr", 1 if machine.model.architectural else machine.model.entry_registers)
    machine.count("lbr-reset")
    pc.last_saved, pc.last_log_id, pc.of_guest = None, 0, False
    clears = pc.reset_clears_select and pc.save_select
    if clears:
        cpu.lbr.select = 0
    machine.effects.add(LbrReset(pc.index, why, clears))


Standing = tuple[bool, int]
"""Whether the LBR is on for the host's events, and DEBUGCTL."""


def disable_all(machine: Machine, pc: PerfCpu) -> Standing:
    """Turn the LBR off. Gives the state before, for ``enable_all``."""
    cpu = machine.cpus[pc.index]
    on, debugctl = pc.host_users > 0 and not pc.shut_out, cpu.debugctl
    if on:
        _switch(machine, cpu, on=False, freeze=0)
    return on, debugctl


def enable_all(machine: Machine, pc: PerfCpu, before: Standing) -> None:
    """Turn the LBR on for the host's events, unless there are none or a guest's event shuts the host out."""
    cpu = machine.cpus[pc.index]
    select = cpu.lbr.select
    on = pc.host_users > 0 and not pc.shut_out
    if on:
        freeze = DEBUGCTL_FREEZE_LBRS_ON_PMI
        if machine.model.filters:
            cpu.lbr.select = pc.slot & SELECT_HARDWARE
            machine.count("wrmsr")
            if cpu.lbr.select & SELECT_CALL_STACK:
                freeze = 0
        _switch(machine, cpu, on=True, freeze=freeze)
    if (on, cpu.debugctl) != before or cpu.lbr.select != select:
        machine.effects.add(HostLbr(pc.index, on, cpu.debugctl, cpu.lbr.select))


def _switch(machine: Machine, cpu: Cpu, *, on: bool, freeze: int) -> None:
    """Switch the enable bit, in DEBUGCTL or in IA32_LBR_CTL, and in DEBUGCTL the bit ``freeze``."""
    bits = freeze
    if not machine.model.architectural:
        bits |= DEBUGCTL_LBR if on else 0
    elif cpu.lbr.enabled != on:
        cpu.lbr.enabled = on
        machine.count("wrmsr")
    value = cpu.debugctl & ~(DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI) | bits
    if value != cpu.debugctl:
        machine.count("wrmsr")
        cpu.debugctl = value


# Task switch ---------------------------------------------------------------------------------------------


def sched_task(machine: Machine, pc: PerfCpu, ctx: Context | None, wide_users: int, *, switch_in: bool) -> None:
    """``intel_pmu_lbr_sched_task``: save or restore for a task with call-stack data, else reset on switch-in. An LBR
    kept with a guest's event was saved or restored as the event went off or on. ``wide_users``: number of CPU-wide
    call-stack events that are on, on any CPU (``x86_pmu.lbr_callstack_users``)."""
    if pc.lbr_users == 0:
        return
    if pc.kept_with_event:
        if ctx is not None and ctx.lbr is not None:
            ctx.lbr.valid = False
        return
    if ctx is None or ctx.lbr is None:
        if switch_in:
            lbr_reset(machine, pc, "switch to a task without LBR data")
        return
    wanted = ctx.lbr.callstack_users + wide_users > 0
    if not switch_in:
        if wanted:
            _save(machine, pc, ctx.lbr, ctx.task)
        else:
            ctx.lbr.valid = False
    elif not wanted or not ctx.lbr.valid:
        lbr_reset(machine, pc, "nothing saved for this task")
    elif ctx.lbr.whole or not _untouched(machine, pc, ctx.lbr):
        _restore(machine, pc, ctx.lbr, ctx.task)
    else:
        ctx.lbr.valid = False


def guest_off(machine: Machine, pc: PerfCpu, event: PerfEvent) -> None:
    """The guest's event is about to go off."""
    pc.kept_with_event = False
    if event.saved is not None:
        _save(machine, pc, event.saved, event.guest)


def guest_on(machine: Machine, pc: PerfCpu, event: PerfEvent) -> None:
    """A guest's event has gone on. The first time it finds the ring as ``lbr_add`` left it; or an empty one, cleared
    here because only now no other user has the LBR."""
    pc.kept_with_event, pc.of_guest = event.saved is not None, event.whole_ring
    if event.saved is not None and event.saved.valid:
        _restore(machine, pc, event.saved, event.guest)
    elif event.whole_ring and not event.ran:
        nothing = LbrImage()
        machine.cpus[pc.index].lbr.load(nothing, with_select=True)
        machine.count("wrmsr", machine.model.registers)
        machine.count("lbr-reset")
        machine.effects.add(LbrRestore(pc.index, "perf", event.guest, nothing, True))


def _save(machine: Machine, pc: PerfCpu, saved: SavedLbr, owner: str) -> None:
    """``__intel_pmu_lbr_save``."""
    lbr = machine.cpus[pc.index].lbr
    order = lbr.newest_first()
    ages = len(order)
    if not saved.whole:
        ages = next((age for age, i in enumerate(order) if lbr.from_ip[i] == 0), len(order))
    kept = order[:ages]
    saved.from_ip = [lbr.from_ip[i] for i in kept]
    saved.to_ip = [lbr.to_ip[i] for i in kept]
    saved.info = [lbr.info[i] for i in kept]
    saved.tos, saved.valid = lbr.tos, True
    saved.select = lbr.select if pc.save_select else 0
    saved.log_id += 1
    pc.last_saved, pc.last_log_id = saved, saved.log_id
    per_entry = 3 if machine.model.info_base else 2
    machine.count("rdmsr", 1 + per_entry * ages + (ages < len(order)) + pc.save_select)
    machine.count("lbr-save")
    machine.effects.add(LbrSave(pc.index, "perf", owner, ages))


def _untouched(machine: Machine, pc: PerfCpu, saved: SavedLbr) -> bool:
    """Whether the ring seems unchanged since it was saved: perf's fast path."""
    lbr = machine.cpus[pc.index].lbr
    machine.count("rdmsr", 2)
    return pc.last_saved is saved and pc.last_log_id == saved.log_id and lbr.from_ip[lbr.tos] != 0


def _restore(machine: Machine, pc: PerfCpu, saved: SavedLbr, owner: str) -> None:
    """``__intel_pmu_lbr_restore``."""
    lbr = machine.cpus[pc.index].lbr
    saved.valid = False
    depth = machine.model.depth
    image = LbrImage(saved.select if pc.save_select else lbr.select, saved.tos, [0] * depth, [0] * depth, [0] * depth)
    for age, value in enumerate(saved.from_ip):
        i = (saved.tos - age) & (depth - 1)
        image.from_ip[i] = mended_from(machine.model, value)
        image.to_ip[i] = saved.to_ip[age]
        image.info[i] = saved.info[age]
    lbr.load(image, pc.save_select)
    machine.count("wrmsr", machine.model.entry_registers + 1 + pc.save_select)
    machine.count("lbr-restore")
    machine.effects.add(LbrRestore(pc.index, "perf", owner, image, pc.save_select))


# PMI -----------------------------------------------------------------------------------------------------


def lbr_read(machine: Machine, pc: PerfCpu) -> bool:
    """``intel_pmu_lbr_read`` into the per-CPU buffer, newest first. False if a guest's event shuts the host out; the
    buffer then keeps its contents. Call-stack mode stops at the first zero FROM; otherwise the software filter drops
    zeros."""
    if pc.host_users == 0 or pc.shut_out:
        return False
    lbr = machine.cpus[pc.index].lbr
    wanted = pc.br_sel
    assert wanted is not None
    from_ip: list[int] = []
    to_ip: list[int] = []
    call_stack, everything = wanted.call_stack, wanted.everything
    read = 0
    for i in lbr.newest_first():
        read += 1
        value = lbr.from_ip[i]
        if value == 0 and call_stack:
            break
        if everything or (value and (branch := branch_at(value)) is not None and wanted.wants(*branch)):
            from_ip.append(value)
            to_ip.append(lbr.to_ip[i])
    machine.count("rdmsr", read * (3 if machine.model.info_base else 2))
    pc.lbr_stack = (from_ip, to_ip)
    return True
