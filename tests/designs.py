"""Named designs under the names that tests use for them."""

from __future__ import annotations

from client.designs import DESIGNS, design_named

V7 = DESIGNS["v7"]
V7_PINNED = DESIGNS["v7-pinned"]
V8 = DESIGNS["v8"]
MERGED = DESIGNS["merged"]
MERGED_2023 = DESIGNS["merged-2023"]
FIRST_COME = DESIGNS["first-come"]
KVM_SWITCH = DESIGNS["kvm-switch"]
VMX_TRANSITION = DESIGNS["vmx-transition"]
MEDIATED = DESIGNS["mediated"]
REVOKE_GP = DESIGNS["revoke-gp"]
REVOKE_ZERO = DESIGNS["revoke-zero"]
REVOKE_ACK = DESIGNS["revoke-ack"]
FAIL_ENTRY = DESIGNS["fail-entry"]
FENCED = DESIGNS["fenced"]

__all__ = [
    "DESIGNS",
    "FAIL_ENTRY",
    "FENCED",
    "FIRST_COME",
    "KVM_SWITCH",
    "MEDIATED",
    "MERGED",
    "MERGED_2023",
    "REVOKE_ACK",
    "REVOKE_GP",
    "REVOKE_ZERO",
    "V7",
    "V7_PINNED",
    "V8",
    "VMX_TRANSITION",
    "design_named",
]
