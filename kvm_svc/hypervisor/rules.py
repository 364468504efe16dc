"""What differs between KVMs of different kernels, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KvmRules:
    """``call_stack_needed``: LBR_FMT is advertised only where the LBR has call-stack mode (2024). ``pdcm_checked``:
    without PDCM in the guest's CPUID PERF_CAPABILITIES reads 0, for KVM itself too, and takes nothing else.
    ``user_debugctl``: a write of DEBUGCTL by user space may set what KVM supports, whatever this guest has (2022).
    ``rtm_debug``: DEBUGCTL.RTM_DEBUG is supported (2025). ``fresh_host_debugctl``: the host's DEBUGCTL is remembered at
    the entry (v6.14)."""

    call_stack_needed: bool
    pdcm_checked: bool
    user_debugctl: bool
    rtm_debug: bool
    fresh_host_debugctl: bool


_OLD = KvmRules(
    call_stack_needed=False, pdcm_checked=False, user_debugctl=False, rtm_debug=False, fresh_host_debugctl=False
)
_NEW = KvmRules(call_stack_needed=True, pdcm_checked=True, user_debugctl=True, rtm_debug=True, fresh_host_debugctl=True)
KVM_RULES = {"v5.3": _OLD, "v5.12": _OLD, "v6.16": _NEW}
