"""A branch address says who executed the branch, through every FROM format."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contract.lbr_ring import from_field
from contract.provenance import ACTOR_LIMIT, SERIAL_LIMIT, Origin, branch_at, branch_base, origin_of, sign_extended
from contract.x86 import BRANCH_KINDS, MASK64, PRIVILEGES, is_canonical
from tests.cases import cases

origins = st.builds(
    Origin,
    actor=st.integers(0, ACTOR_LIMIT - 1),
    guest=st.booleans(),
    kind=st.sampled_from(sorted(BRANCH_KINDS)),
    privilege=st.sampled_from(sorted(PRIVILEGES)),
    serial=st.integers(0, SERIAL_LIMIT - 1),
)
formats = st.sampled_from([2, 3, 4, 5])


def address(o: Origin) -> int:
    return branch_base(o.actor, o.guest, o.kind, o.privilege) + 2 * o.serial


@given(origins, formats)
def test_an_origin_survives_the_way_into_from(origin: Origin, lbr_fmt: int) -> None:
    assert origin_of(from_field(lbr_fmt, address(origin))) == origin


@given(origins)
def test_to_has_the_origin_of_its_from(origin: Origin) -> None:
    assert origin_of(address(origin) + 1) == origin


@given(origins, formats)
def test_addresses_are_canonical_and_of_their_privilege(origin: Origin, lbr_fmt: int) -> None:
    value = address(origin)
    assert is_canonical(value)
    assert (value >> 63 == 1) == (origin.privilege == "kernel")
    assert sign_extended(from_field(lbr_fmt, value)) == value


@given(origins, origins)
def test_no_two_origins_share_an_address(a: Origin, b: Origin) -> None:
    assert (address(a) == address(b)) == (a == b)


@given(origins, st.integers(0, 7))
def test_flags_above_the_address_do_not_matter(origin: Origin, flags: int) -> None:
    value = address(origin) & MASK64 >> 3 | flags << 61
    assert origin_of(value) == origin


@given(origins)
def test_the_address_stands_for_the_instruction(origin: Origin) -> None:
    assert branch_at(address(origin)) == (origin.kind, origin.privilege)


@cases("value", [0, 1, 2, 0x1234, MASK64 << 47 & MASK64])
def test_where_no_branch_can_lie(value: int) -> None:
    assert origin_of(value) is None
    assert branch_at(value) is None


@cases(("lbr_fmt", "clear"), [(2, 0), (3, 1 << 63), (4, 7 << 61), (5, 0)])
def test_flag_bits_of_from_by_format(lbr_fmt: int, clear: int) -> None:
    assert from_field(lbr_fmt, MASK64) == MASK64 & ~clear
