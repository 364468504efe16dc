"""Registers, bits and LBR generations against the published numbers."""

from __future__ import annotations

import pytest

from contract import x86
from contract.x86 import LBR_MODELS, is_canonical, is_lbr_msr, lbr_model, lbr_names, lbr_ranges, msr_name, select_admits
from tests.cases import cases

DEPTH_FORMAT = {
    "none": (0, 0),
    "arch": (32, 0x3F),
    "core2": (4, 2),
    "nehalem": (16, 3),
    "sandybridge": (16, 3),
    "haswell": (16, 4),
    "skylake": (32, 5),
}


def test_msr_addresses() -> None:
    assert (x86.IA32_DEBUGCTL, x86.IA32_PERF_CAPABILITIES) == (0x1D9, 0x345)
    assert (x86.MSR_LBR_SELECT, x86.MSR_LBR_TOS) == (0x1C8, 0x1C9)
    assert (x86.MSR_LBR_FROM, x86.MSR_LBR_TO, x86.MSR_LBR_INFO) == (0x680, 0x6C0, 0xDC0)
    assert (x86.MSR_CORE_LBR_FROM, x86.MSR_CORE_LBR_TO) == (0x40, 0x60)


def test_debugctl_bits() -> None:
    assert [(b.name, int(b).bit_length() - 1) for b in x86.Debugctl] == [
        ("LBR", 0),
        ("BTF", 1),
        ("BUS_LOCK_DETECT", 2),
        ("TR", 6),
        ("BTS", 7),
        ("BTINT", 8),
        ("BTS_OFF_OS", 9),
        ("BTS_OFF_USR", 10),
        ("FREEZE_LBRS_ON_PMI", 11),
        ("FREEZE_PERFMON_ON_PMI", 12),
        ("FREEZE_WHILE_SMM", 14),
        ("RTM_DEBUG", 15),
    ]


def test_bits_3_to_5_and_13_of_debugctl_are_reserved() -> None:
    assert x86.DEBUGCTL_DEFINED == 0xDFC7


def test_lbr_select_bits_in_order() -> None:
    order = ["KERNEL", "USER", "JCC", "REL_CALL", "IND_CALL", "RETURN", "IND_JMP", "REL_JMP", "FAR", "CALL_STACK"]
    assert [b.name for b in x86.LbrSelect] == order
    assert [int(b) for b in x86.LbrSelect] == [1 << i for i in range(10)]
    assert x86.SELECT_HARDWARE == 0x3FF


@cases("kind", x86.BRANCH_KINDS)
def test_a_set_select_bit_suppresses(kind: str) -> None:
    assert select_admits(0, kind, "user")
    assert select_admits(x86.SELECT_CALL_STACK, kind, "kernel")
    assert not select_admits(x86.BRANCH_KINDS[kind], kind, "user")
    others = 0x1FC & ~x86.BRANCH_KINDS[kind]
    assert select_admits(others, kind, "user")
    assert not select_admits(1, kind, "kernel")
    assert select_admits(1, kind, "user")
    assert not select_admits(2, kind, "user")


def test_generations() -> None:
    assert {m.name: (m.depth, m.lbr_fmt) for m in LBR_MODELS.values()} == DEPTH_FORMAT
    assert [m.name for m in LBR_MODELS.values() if m.call_stack] == ["haswell", "skylake", "arch"]
    assert [m.name for m in LBR_MODELS.values() if m.info_base] == ["skylake", "arch"]
    assert [m.name for m in LBR_MODELS.values() if not m.has_lbr] == ["none"]
    assert [m.name for m in LBR_MODELS.values() if m.architectural] == ["arch"]
    assert {m.name: m.select_map for m in LBR_MODELS.values()} == {
        "none": "",
        "core2": "",
        "nehalem": "nhm",
        "sandybridge": "snb",
        "haswell": "hsw",
        "skylake": "hsw",
        "arch": "hsw",
    }


@cases(
    ("name", "entries", "all_of_them"),
    [("none", 0, 0), ("core2", 8, 9), ("nehalem", 32, 34), ("haswell", 32, 34), ("skylake", 96, 98)],
)
def test_register_counts(name: str, entries: int, all_of_them: int) -> None:
    model = lbr_model(name)
    assert (model.entry_registers, model.registers) == (entries, all_of_them)
    assert sum(count for _, count in lbr_ranges(model)) == all_of_them


LEGACY = [name for name, model in LBR_MODELS.items() if model.has_tos]


@cases("name", LEGACY)
def test_ranges_names_and_membership_agree(name: str) -> None:
    for model in (lbr_model(name), lbr_model(name, 2)):
        named = {msr for msr in lbr_names(model) if msr not in (x86.IA32_DEBUGCTL, x86.IA32_PERF_CAPABILITIES)}
        # KVM calls SELECT valid on a part without one too.
        assert {msr for msr in range(0x2000) if is_lbr_msr(model, msr)} == named | {x86.MSR_LBR_SELECT}


def test_kvm_knows_no_lbr_msr_where_there_is_no_lbr() -> None:
    assert [msr for msr in range(0x2000) if is_lbr_msr(lbr_model("none"), msr)] == []


def test_kvm_takes_an_architectural_lbr_for_a_legacy_one_without_info() -> None:
    taken = {msr for msr in range(0x2000) if is_lbr_msr(lbr_model("arch"), msr)}
    assert taken == {x86.MSR_LBR_SELECT, x86.MSR_LBR_TOS, *range(0x1500, 0x1520), *range(0x1600, 0x1620)}


def test_an_architectural_lbr_has_info_and_a_control_register_and_no_tos() -> None:
    model = lbr_model("arch")
    assert (model.entry_registers, model.registers, model.has_tos, model.has_select) == (96, 97, False, False)


def test_a_machine_without_an_lbr_has_no_depth() -> None:
    with pytest.raises(ValueError, match="depth 4 is impossible on none: it has no LBR"):
        lbr_model("none", 4)


def test_debugctl_is_no_lbr_msr() -> None:
    assert not is_lbr_msr(lbr_model("skylake"), x86.IA32_DEBUGCTL)


def test_names() -> None:
    model = lbr_model("skylake")
    assert [msr_name(model, m) for m in (0x1D9, 0x1C8, 0x1C9, 0x681, 0x6DF, 0xDC2)] == [
        "DEBUGCTL",
        "LBR_SELECT",
        "LBR_TOS",
        "LBR_FROM[1]",
        "LBR_TO[31]",
        "LBR_INFO[2]",
    ]
    assert msr_name(model, 0x123) == "0x123"


@cases("depth", [-2, 1, 3, 12, 64])
def test_impossible_depths_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="depth"):
        lbr_model("skylake", depth)


def test_an_unknown_generation_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'skylark'.*skylake"):
        lbr_model("skylark")


def test_a_cut_ring_is_otherwise_the_same() -> None:
    assert lbr_model("skylake", 4).depth == 4
    assert lbr_model("skylake", 4).info_base == x86.MSR_LBR_INFO
    assert lbr_model("skylake", 32) is lbr_model("skylake")


def test_canonical_means_bits_63_to_47_alike() -> None:
    assert all(is_canonical(v) for v in (0, (1 << 47) - 1, x86.MASK64, 0x1FFFF << 47))
    assert not any(is_canonical(v) for v in (1 << 47, 1 << 63, x86.MASK64 >> 1, 0xFFFF << 47, 0xFFFF << 48))


def test_the_version_of_performance_monitoring() -> None:
    """From version 4 on FREEZE_LBRS_ON_PMI sets LBR_FRZ; before, it clears DEBUGCTL.LBR."""
    versions = {"core2": 2, "nehalem": 3, "sandybridge": 3, "haswell": 3, "skylake": 4, "arch": 5}
    assert {m.name: m.perfmon for m in LBR_MODELS.values() if m.has_lbr} == versions
    assert [m.name for m in LBR_MODELS.values() if m.streamlined_freeze] == ["skylake", "arch"]
