"""Which values WRMSR of an LBR register takes: reserved bits, and addresses that must be canonical."""

from __future__ import annotations

from itertools import combinations

from hypothesis import example, given
from hypothesis import strategies as st

from contract.lbr_ring import LbrRing, select_valid
from contract.x86 import LBR_MODELS, MASK64, MSR_LBR_SELECT, MSR_LBR_TOS, LbrModel, lbr_model, lbr_ranges
from tests.cases import cases

FLAG_ABOVE = {"nehalem", "sandybridge", "haswell"}
"""Parts whose FROM has a mispredict flag in bit 63."""
LOWEST = 47
"""The lowest of the bits that must be equal in an address."""
SINGLE_BITS = [1 << bit for bit in range(64)]
# All of bits 63:47 alike, but for one of them or two.
FLIPS = [(), *combinations(range(LOWEST, 64), 1), *combinations(range(LOWEST, 64), 2)]
ADDRESSES = [
    base ^ sum(1 << bit for bit in flipped) for base in (0x1234, 0xFFFF_8000_0000_5678, 0) for flipped in FLIPS
]

MODELS = [lbr_model(name, 4) for name, model in LBR_MODELS.items() if model.has_lbr]
every_model = cases("model", MODELS, ids=lambda m: m.name)
models = st.sampled_from(MODELS)
values = st.integers(0, MASK64) | st.sampled_from(SINGLE_BITS) | st.integers(0, 1 << 11)


def registers(model: LbrModel) -> set[int]:
    """The MSRs that this LBR has in the hardware."""
    banks = [base for base in (model.from_base, model.to_base, model.info_base) if base]
    there = {base + i for base in banks for i in range(model.depth)}
    return there | ({MSR_LBR_TOS} if model.has_tos else set()) | ({MSR_LBR_SELECT} if model.has_select else set())


def alike(value: int, highest: int) -> bool:
    return {value >> bit & 1 for bit in range(LOWEST, highest + 1)} in ({0}, {1})


@every_model
def test_from_must_be_canonical_but_for_a_flag_above_it(model: LbrModel) -> None:
    highest = 62 if model.name in FLAG_ABOVE else 63
    ring = LbrRing(model)
    for value in ADDRESSES:
        assert ring.takes(model.from_base + 3, value) == alike(value, highest), f"{value:#x}"


@every_model
def test_to_must_be_canonical_whatever_the_format(model: LbrModel) -> None:
    ring = LbrRing(model)
    for value in ADDRESSES:
        assert ring.takes(model.to_base + 3, value) == alike(value, 63), f"{value:#x}"


def test_info_has_cycles_and_three_flags() -> None:
    model = lbr_model("skylake", 4)
    taken = [bit for bit in range(64) if LbrRing(model).takes(model.info_base + 3, 1 << bit)]
    assert taken == [*range(16), 61, 62, 63]
    assert LbrRing(model).takes(model.info_base, sum(1 << bit for bit in taken))


@given(models, values)
@example(lbr_model("nehalem"), 1 << 9)
@example(lbr_model("haswell"), 1 << 9)
@example(lbr_model("core2"), 0)
def test_select_has_nine_bits_and_a_tenth_where_there_is_a_call_stack_mode(model: LbrModel, value: int) -> None:
    limit = 0 if not model.has_select else 1 << 10 if model.call_stack else 1 << 9
    assert LbrRing(model).takes(MSR_LBR_SELECT, value) == (value < limit)


def test_where_there_is_no_select_only_0_can_be_meant_for_it() -> None:
    assert [select_valid(lbr_model("core2"), value) for value in (0, 1)] == [True, False]


@given(models, values)
@example(lbr_model("arch"), 0)
def test_tos_takes_anything_where_there_is_one(model: LbrModel, value: int) -> None:
    assert LbrRing(model).takes(MSR_LBR_TOS, value) == model.has_tos


@given(models, st.integers(0, 0x1000), values)
@example(lbr_model("skylake", 4), 0x684, 0)
@example(lbr_model("haswell"), 0xDC0, 0)
@example(lbr_model("core2"), 0x680, 0)
@example(lbr_model("arch"), MSR_LBR_TOS, 0)
@example(lbr_model("none"), 0x680, 0)
@example(lbr_model("none"), 0, 0)
def test_a_register_that_is_not_there_takes_nothing(model: LbrModel, msr: int, value: int) -> None:
    assert msr in registers(model) or not LbrRing(model).takes(msr, value)


@every_model
def test_asking_changes_nothing(model: LbrModel) -> None:
    ring = LbrRing(model)
    before = ring.store()
    for first, count in lbr_ranges(model):
        for msr in range(first, first + count):
            ring.takes(msr, 1)
    assert ring.store() == before
