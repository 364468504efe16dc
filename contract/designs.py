"""The named designs. Facts on v7, v8 and merged: Wei Wang's and Like Xu's postings and the v5.12 source."""

from __future__ import annotations

from difflib import get_close_matches

from contract.design import (
    Admission,
    DebugctlWrite,
    Denial,
    Design,
    Enablement,
    EntryCheck,
    Event,
    FirstAccess,
    HostDebugctl,
    LosingAdd,
    Notifier,
    Passthrough,
    Recovery,
    Release,
    Save,
)
from contract.errors import InputError

V7 = Design(
    name="v7",
    about="Wei Wang, July 2019: a task-flexible event that takes no resource and shuts the host out while it is on",
    event=Event.TASK_FLEXIBLE,
    admission=Admission.BYPASS,
    shut_out=True,
    first_access=FirstAccess.ACCESS_THEN_CREATE,
    release=Release.IDLE_SLICES,
    passthrough=Passthrough.ON_ACCESS,
    denial=Denial.SILENT,
    enablement=Enablement.KVM_CAP,
    debugctl_write=DebugctlWrite.MASK,
    info_known=False,
)

V8 = Design(
    name="v8",
    about="Wei Wang, August 2019: a task-pinned event that competes for the LBR; entry check inverted as posted",
    event=Event.TASK_PINNED,
    admission=Admission.PRIVATE_SLOT,
    shut_out=True,
    release=Release.IDLE_SLICES,
    passthrough=Passthrough.ON_ACCESS,
    entry_check=EntryCheck.INVERTED,
    denial=Denial.GP,
    enablement=Enablement.KVM_CAP,
    debugctl_write=DebugctlWrite.MASK,
    info_known=False,
)

MERGED = Design(
    name="merged",
    about="Like Xu, Linux 5.12: a task-pinned event on pseudo counter 58 that never meets the LBR slot",
    event=Event.TASK_PINNED,
    admission=Admission.PSEUDO_COUNTER,
    save_select=False,
    shut_out=True,
    release=Release.SCHED_IN_LBR_OFF,
    passthrough=Passthrough.AT_ENTRY,
    entry_check=EntryCheck.EVENT_STATE,
    denial=Denial.READ_ZERO,
)

KVM_SWITCH = Design(
    name="kvm-switch",
    about="Wei Wang's alternative: KVM's own sched-in/out callbacks save and restore, perf is not told",
    event=Event.NONE,
    save=Save.KVM_SWITCH,
    passthrough=Passthrough.ON_ACCESS,
    denial=Denial.SILENT,
)

REVOKE_GP = Design(
    name="revoke-gp",
    about="The option agreed in the thread: perf notifies KVM, which ends passthrough; guest access gets #GP",
    event=Event.TASK_PINNED,
    admission=Admission.PRIVATE_SLOT,
    shut_out=True,
    losing_add=LosingAdd.UNDONE,
    passthrough=Passthrough.ON_GRANT,
    notifier=Notifier.ASYNC,
    denial=Denial.GP,
    recovery=Recovery.AVAILABLE,
    host_debugctl=HostDebugctl.AT_ENTRY,
)

DESIGNS: dict[str, Design] = {d.name: d for d in (V7, V8, MERGED, KVM_SWITCH, REVOKE_GP)}


def design_named(name: str) -> Design:
    """The named design. Raises InputError listing the names there are."""
    try:
        return DESIGNS[name]
    except KeyError:
        near = get_close_matches(name, DESIGNS, n=1)
        meant = f", did you mean {near[0]!r}?" if near else f", expected one of {', '.join(DESIGNS)}"
        raise InputError(f"unknown design {name!r}{meant}") from None
