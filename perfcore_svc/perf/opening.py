"""The checks of ``perf_event_open`` and ``perf_event_create_kernel_counter``, with the kernel's errno, and the event
they create.

The order is the kernel's: attributes (facts/perf 1.15), the driver (facts/perf 2.4), LBR against BTS and PT, the group
on an empty CPU, PMUs that take task events or CPU events only, the mediated vPMU (facts/perf 4.1), two events of such a
PMU in one place. Contention with other groups is not checked: an open succeeds and the event may never be on.
"""

from __future__ import annotations

from contract.control import Open
from contract.design import Admission, Design, HostEvents, Save, Takes
from contract.errors import RefusedError
from contract.messages import CreateCounter
from contract.x86 import PRIVILEGES, LbrModel
from perfcore_svc.perf.branch_filter import branch_filter
from perfcore_svc.perf.event import TRACERS, PerfEvent, State
from perfcore_svc.perf.kernel_rules import KernelRules
from perfcore_svc.perf.pmu import FIXED, FIXED_EVENTS, Pmu
from perfcore_svc.perf.reservations import Reservations

CONFIGS = ("general", *FIXED_EVENTS, *TRACERS)
"""The events that can be counted or traced."""
PRIVATE_SLOT = 1 << 62
"""Linux-only bit that makes a guest's slot value different from every host value (``LBR_VCPU`` of v8)."""


def host_event(
    model: LbrModel,
    pmu: Pmu,
    rules: KernelRules,
    reservations: Reservations,
    number: int,
    attr: Open,
    leader: PerfEvent | None,
) -> PerfEvent:
    """The event that these attributes ask for. Raises RefusedError with the kernel's errno."""
    if unknown := [level for level in attr.privilege if level not in PRIVILEGES]:
        raise RefusedError(f"unknown privilege level {unknown[0]!r}")
    if attr.config not in CONFIGS:
        raise RefusedError(f"unknown counted event {attr.config!r}")
    excluded = {"user": attr.exclude_user, "kernel": attr.exclude_kernel}
    levels = tuple(level for level in PRIVILEGES if not excluded[level])
    wanted = branch_filter(model, attr.branch, attr.privilege or list(levels)) if attr.branch else None
    if wanted is None and attr.privilege:
        levels = tuple(level for level in levels if level in attr.privilege)
    _check_tracer(attr)
    event = PerfEvent(
        number,
        attr.event,
        attr.cpu,
        attr.task,
        attr.pinned,
        State.OFF if attr.disabled else State.INACTIVE,
        exclusive=attr.exclusive,
        filter=wanted,
        slot=wanted.select if wanted else None,
        counters=0 if attr.config in TRACERS else pmu.counters_for(attr.config),
        listed=attr.config not in TRACERS,
        kind="lbr" if wanted else attr.config if attr.config in TRACERS else "",
        includes_guest=not attr.exclude_guest and attr.config != "pt",
        levels=levels,
        counts_host=not attr.exclude_host,
        counts_guest=not attr.exclude_guest,
        period=attr.period,
        overflow_at=attr.period,
        task_data=wanted is not None and wanted.call_stack and (bool(attr.task) or rules.lbr_data_on_task),
    )
    if leader is not None:
        _join(event, leader)
    reservations.check_exclusive(event.kind)
    if not pmu.group_fits(event.leader, event if leader is not None else None):
        raise RefusedError("the group cannot be on even alone")
    return event


def _check_tracer(attr: Open) -> None:
    """The tracers of this model record nothing: an attribute that selects their records is refused, not ignored."""
    if attr.config not in TRACERS:
        return
    levels = bool(attr.privilege) and set(attr.privilege) != set(PRIVILEGES)
    excludes = attr.exclude_host or attr.exclude_user or attr.exclude_kernel
    if attr.branch:
        raise RefusedError(f"{attr.config} has no branch stack")
    if attr.period or levels or excludes or (attr.exclude_guest and attr.config == "pt"):
        raise RefusedError(f"{attr.config} has no period, levels or exclude bits here")


def _join(event: PerfEvent, leader: PerfEvent) -> None:
    if event.pinned or event.exclusive:
        raise RefusedError("only a group leader can be pinned or exclusive")
    if leader.leader is not leader:
        raise RefusedError(f"{leader.name} is not a group leader")
    if (leader.cpu, leader.task) != (event.cpu, event.task):
        raise RefusedError("a sibling has the CPU and task of its leader")
    event.leader = leader


def guest_counter(pmu: Pmu, design: Design, number: int, name: str, request: CreateCounter) -> PerfEvent:
    """The event that counts for a guest's counter (``pmc_reprogram_counter``). If host events make way for guests, it
    stands for a counter that the guest has itself: it takes none from the host, and does not count as an event that
    counts guests."""
    of_host = design.host_events is HostEvents.UNAFFECTED
    fixed = request.counter - FIXED
    config = FIXED_EVENTS[fixed] if fixed >= 0 else "general"
    return PerfEvent(
        number,
        name,
        -1,
        request.task or request.vcpu,
        True,
        State.INACTIVE,
        counters=pmu.counters_for(config) if of_host else 0,
        listed=of_host,
        includes_guest=of_host,
        counts_for=request.vcpu,
        levels=tuple(request.levels),
        counts_host=False,
        period=request.period,
        overflow_at=request.period,
    )


_SLOTS = {Admission.PRIVATE_SLOT: PRIVATE_SLOT, Admission.ORDINARY_SLOT: 0}
_PSEUDO = (Admission.PSEUDO_COUNTER, Admission.ORDINARY_SLOT)


def guest_event(model: LbrModel, pmu: Pmu, number: int, name: str, vcpu: str, design: Design) -> PerfEvent:
    """The event that stands for a guest. KVM asks for call stack and user level: this is not a filter for the guest,
    but makes perf save and restore. Raises RefusedError if the LBR has no call-stack mode."""
    wanted = branch_filter(model, ["call_stack"], ["user"])
    assert wanted.select is not None
    return PerfEvent(
        number,
        name,
        -1,
        vcpu,
        design.pinned,
        State.INACTIVE,
        filter=wanted,
        slot=wanted.select | _SLOTS[design.admission] if design.admission in _SLOTS else None,
        counters=pmu.counters_for("general") if design.takes is Takes.COUNTER else 0,
        pseudo=design.admission in _PSEUDO,
        listed=design.takes is not Takes.NOTHING,
        kind="lbr",
        includes_guest=True,
        guest=vcpu,
        task_data=design.save in (Save.PERF_SWITCH, Save.PERF_EVENT),
        whole_ring=design.whole_ring,
    )
