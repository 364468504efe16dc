"""The differences between the KVMs of different kernels, as data."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from contract.kernels import KERNELS


class PmuRules(msgspec.Struct, frozen=True):
    """The rules of a guest's PMU MSRs (``kvm_svc.hypervisor.pmu_msrs`` makes the table of them).

    ``reset_enables_fixed``: a refresh sets PERF_GLOBAL_CTRL to the bits of the fixed counters too
    (``intel_pmu_refresh`` up to v5.19). ``fixed_bits_of_existing``: FIXED_CTR_CTRL takes the bits of existing fixed
    counters only; before, the bits of three, even if the guest has fewer. ``status_checked``: a write of
    PERF_GLOBAL_STATUS by user space has reserved bits. ``full_width``: the counters have a second address of full width
    (v5.8, 27461da31089). ``write_replaces_count``: a write of a running counter adds the count of its event since
    creation to the value; fixed in v5.6 by 4400cf546b4b. ``fast_rdpmc``: bit 31 of an index of RDPMC asks for the low
    32 bits (until v6.8). ``refresh_resets``: a refresh resets the PMU first (v6.8, 1647b52757d5).
    ``reprograms_at_once``: a write of a register that switches counters creates the perf event within the write, for
    the thread that writes (``reprogram_counter`` called by ``intel_pmu_set_msr`` in v5.3 and v5.12); in v6.16 the next
    KVM_RUN creates it.

    The contents of KVM_GET_MSR_INDEX_LIST: ``saves_counters``: the PMU MSRs (e2ada66ec418, after v5.3).
    ``saves_ovf_ctrl``: PERF_GLOBAL_OVF_CTRL among them. ``saves_pebs``: the PEBS MSRs, which no guest has here.
    ``saves_debugctl``: DEBUGCTL and 0x1db to 0x1de (v7.1, 3700f0788da6). ``absent_reads_zero``: user space reads 0 from
    a listed MSR that the guest lacks, and can write 0 to it (``kvm_do_msr_access``, v6.3)."""

    reset_enables_fixed: bool
    fixed_bits_of_existing: bool
    status_checked: bool
    full_width: bool
    write_replaces_count: bool
    fast_rdpmc: bool
    refresh_resets: bool
    reprograms_at_once: bool
    saves_counters: bool
    saves_ovf_ctrl: bool
    saves_pebs: bool
    saves_debugctl: bool
    absent_reads_zero: bool


class KvmRules(msgspec.Struct, frozen=True):
    """``call_stack_needed``: LBR_FMT is advertised only if the LBR has call-stack mode (2024). ``legacy_lbr_only``: and
    not if it is architectural (v6.4, 098f4c061ea1). ``pdcm_checked``: without PDCM in the guest's CPUID
    PERF_CAPABILITIES reads 0, for KVM itself too, and takes nothing else.

    ``user_debugctl``: a write of DEBUGCTL by user space may set all bits that KVM supports, even if this guest lacks
    the feature (v6.1, b333b8ebb85d). ``btf_drops_lbr``: a write of DEBUGCTL that sets one of LBR and BTF without
    support loses both, so that BTF, which no KVM here supports, takes a supported LBR with it (until v6.17,
    8a4351ac302c). ``bus_lock_debug``: DEBUGCTL.BUS_LOCK_DETECT is supported (2021, 76ea438b4afc). ``rtm_debug``:
    DEBUGCTL.RTM_DEBUG is supported (2025). ``fresh_host_debugctl``: the host's DEBUGCTL is saved at the entry (v6.14).

    ``nmi_before_debugctl``: an NMI that ends guest mode is handled before the host's DEBUGCTL is written back (v6.3,
    11df586d774f). ``pmi_masks_lvtpc``: a PMI that the local APIC accepts masks LVTPC (v6.6, a16eb25b09c0).

    ``cpuid_after_run``: KVM_SET_CPUID2 and PERF_CAPABILITIES can change after the first KVM_RUN. v5.15 took the CPUID
    with a warning (63f5a1909f9e), v5.16 none (feb627e8d6f6), later ones take identical data (c6617c61e8fe); v6.4 froze
    PERF_CAPABILITIES (0094f62c7eaa). ``refresh_clears_lbr``: a refresh takes the LBR away before it looks for a PMU
    (v6.4, 957d0f70e97b). ``capabilities_need_pmu``: PERF_CAPABILITIES is 0 in a guest without a PMU (until v6.8)."""

    call_stack_needed: bool
    legacy_lbr_only: bool
    pdcm_checked: bool
    user_debugctl: bool
    btf_drops_lbr: bool
    bus_lock_debug: bool
    rtm_debug: bool
    fresh_host_debugctl: bool
    nmi_before_debugctl: bool
    pmi_masks_lvtpc: bool
    cpuid_after_run: bool
    refresh_clears_lbr: bool
    capabilities_need_pmu: bool
    pmu: PmuRules


_V5_3 = KvmRules(
    call_stack_needed=False,
    legacy_lbr_only=False,
    pdcm_checked=False,
    user_debugctl=False,
    btf_drops_lbr=True,
    bus_lock_debug=False,
    rtm_debug=False,
    fresh_host_debugctl=False,
    nmi_before_debugctl=False,
    pmi_masks_lvtpc=False,
    cpuid_after_run=True,
    refresh_clears_lbr=False,
    capabilities_need_pmu=True,
    pmu=PmuRules(
        reset_enables_fixed=True,
        fixed_bits_of_existing=False,
        status_checked=False,
        full_width=False,
        write_replaces_count=True,
        fast_rdpmc=True,
        refresh_resets=False,
        reprograms_at_once=True,
        saves_counters=False,
        saves_ovf_ctrl=False,
        saves_pebs=False,
        saves_debugctl=False,
        absent_reads_zero=False,
    ),
)
_V5_12 = replace(
    _V5_3,
    bus_lock_debug=True,
    pmu=replace(_V5_3.pmu, full_width=True, write_replaces_count=False, saves_counters=True, saves_ovf_ctrl=True),
)
_V6_16 = KvmRules(
    call_stack_needed=True,
    legacy_lbr_only=True,
    pdcm_checked=True,
    user_debugctl=True,
    btf_drops_lbr=True,
    bus_lock_debug=True,
    rtm_debug=True,
    fresh_host_debugctl=True,
    nmi_before_debugctl=True,
    pmi_masks_lvtpc=True,
    cpuid_after_run=False,
    refresh_clears_lbr=True,
    capabilities_need_pmu=False,
    pmu=PmuRules(
        reset_enables_fixed=False,
        fixed_bits_of_existing=True,
        status_checked=True,
        full_width=True,
        write_replaces_count=False,
        fast_rdpmc=False,
        refresh_resets=True,
        reprograms_at_once=False,
        saves_counters=True,
        saves_ovf_ctrl=False,
        saves_pebs=True,
        saves_debugctl=False,
        absent_reads_zero=True,
    ),
)
_V7_1 = replace(_V6_16, btf_drops_lbr=False, pmu=replace(_V6_16.pmu, saves_debugctl=True))
KVM_RULES: dict[str, KvmRules] = dict(zip(KERNELS, (_V5_3, _V5_12, _V6_16, _V7_1), strict=True))
