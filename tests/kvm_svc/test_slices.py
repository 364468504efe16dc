"""Around a slice of the vCPU's thread: when an unused event goes, and what of DEBUGCTL the host is left with."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import GetMsr, Retire
from contract.design import Design, HostDebugctl, Release
from contract.machine import Cpuid, Nop
from contract.trace import Granted, GuestEvent, Retired, VmExit
from contract.x86 import MSR_LBR_TOS
from tests.cases import cases
from tests.designs import DESIGNS, MERGED, MERGED_2023, REVOKE_GP
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import loaded

UNUSED_SLICE = replace(MERGED, release=Release.UNUSED_SLICE)
NEVER = replace(MERGED, release=Release.NEVER)
KEPT = replace(MERGED, host_debugctl=HostDebugctl.NOT_SWITCHED)


def used(design: Design) -> Rig:
    """The guest has read its LBR, which is off."""
    rig = Rig(design)
    rig.rdmsr(FROM0)
    return rig


def released(rig: Rig) -> list[str]:
    return [r.reason for r in rig.records(GuestEvent) if r.change == "released"]


def next_slice(rig: Rig) -> list[str]:
    """The guest is entered in a new slice; which releases there were by then."""
    rig.slice()
    rig.guest(Nop())
    return released(rig)


# The event ---------------------------------------------------------------------------------------------------


def test_an_event_that_was_used_in_the_slice_before_is_kept() -> None:
    assert next_slice(used(UNUSED_SLICE)) == []


def test_an_event_that_was_not_used_in_the_slice_before_goes() -> None:
    rig = used(UNUSED_SLICE)
    next_slice(rig)
    assert next_slice(rig) == ["LBR off, and not seen in use in the slice before"]
    assert rig.vcpu().lbr_desc.event == 0


def test_a_use_that_is_passed_through_is_not_seen() -> None:
    rig = used(UNUSED_SLICE)
    next_slice(rig)
    rig.rdmsr(MSR_LBR_TOS)
    assert len(next_slice(rig)) == 1


def test_an_event_whose_lbr_is_on_stays() -> None:
    rig = Rig(UNUSED_SLICE)
    rig.debugctl(1)
    assert [next_slice(rig), next_slice(rig), next_slice(rig)] == [[], [], []]


def test_only_the_first_entry_of_a_slice_looks() -> None:
    rig = used(UNUSED_SLICE)
    next_slice(rig)
    rig.guest(Cpuid(), Cpuid(), Nop())
    assert released(rig) == []


def test_as_merged_the_event_goes_though_it_was_used() -> None:
    assert next_slice(used(MERGED)) == ["LBR off at the first entry of a slice"]


def test_where_it_never_goes_it_stays() -> None:
    rig = used(NEVER)
    assert [next_slice(rig), next_slice(rig), next_slice(rig)] == [[], [], []]


def test_a_use_by_user_space_is_seen() -> None:
    rig = used(UNUSED_SLICE)
    next_slice(rig)
    rig.kvm(GetMsr(VCPU, FROM0))
    assert next_slice(rig) == []
    assert len(next_slice(rig)) == 1


def test_an_event_takes_its_grant_along() -> None:
    rig = Rig(replace(REVOKE_GP, release=Release.UNUSED_SLICE))
    rig.rdmsr(FROM0)
    next_slice(rig)
    next_slice(rig)
    assert (rig.vcpu().claim.phase, rig.vcpu().grant.number) == ("none", 0)
    assert rig.records(Granted)[-1].grant == 0


def test_an_event_that_was_made_in_the_slice_before_counts_as_used() -> None:
    rig = Rig(MERGED_2023)
    rig.debugctl(1)
    rig.debugctl(0)
    assert next_slice(rig) == []
    assert len(next_slice(rig)) == 1


# DEBUGCTL ----------------------------------------------------------------------------------------------------


AT_LOAD = (HostDebugctl.AT_LOAD, HostDebugctl.AT_ENTRY_SINCE_V6_14)
"""On the kernel of the rig."""


@cases("design", [*DESIGNS.values(), KEPT], ids=[*DESIGNS, "kept"])
def test_the_guest_s_value_is_kept_only_where_none_is_switched(design: Design) -> None:
    told = loaded(design)
    told.vcpu().host_debugctl = 0x801
    controls = told.enter().controls

    assert controls.keep_debugctl == (design is KEPT)
    assert controls.host_debugctl == (0x801 if design.host_debugctl in AT_LOAD else None)


def test_the_guest_s_value_stays_on_in_the_host() -> None:
    rig = Rig(KEPT)
    rig.debugctl(1)
    rig.guest(Cpuid())
    rig.perf(Retire(0, 2))

    assert rig.records(VmExit)[-1].debugctl == 1
    assert rig.records(Retired)[-1].recorded


def test_the_host_s_value_is_gone_where_the_guest_s_is_off() -> None:
    rig = Rig(KEPT)
    rig.host_event()
    rig.guest(Cpuid())
    assert rig.wire.host.machine.cpus[0].debugctl == 0
