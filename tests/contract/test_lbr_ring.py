"""Laws of the ring, and the ring against a plain list of records."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.lbr_ring import LbrRing, from_field, is_image
from contract.provenance import branch_base
from contract.x86 import (
    BRANCH_KINDS,
    MSR_LBR_SELECT,
    MSR_LBR_TOS,
    PRIVILEGES,
    SELECT_CALL_STACK,
    LbrModel,
    lbr_model,
    lbr_ranges,
    select_admits,
)
from tests.cases import cases

CALL_STACK_USER = 0x3C5

models = st.builds(lbr_model, st.sampled_from(["haswell", "skylake", "nehalem"]), st.sampled_from([2, 4, 8]))
kinds = st.sampled_from(sorted(BRANCH_KINDS))
privileges = st.sampled_from(sorted(PRIVILEGES))
bursts = st.lists(st.tuples(st.integers(1, 20), kinds, privileges), max_size=8)
selects = st.sampled_from([0, 1, 2, 0x1ED, 0x0E4, CALL_STACK_USER, 0x3C4, 0x3C6])

Record = tuple[int, int]


def run(ring: LbrRing, burst: list[tuple[int, str, str]], *, singly: bool) -> list[bool]:
    recorded, serial = [], 0
    for count, kind, privilege in burst:
        address = branch_base(1, False, kind, privilege) + 2 * serial
        if singly:
            recorded.append([ring.retire(address + 2 * i, 1, kind, privilege) for i in range(count)][-1])
        else:
            recorded.append(ring.retire(address, count, kind, privilege))
        serial += count
    return recorded


class Naive:
    """A slot a list element, one branch at a time; ``top`` is the newest."""

    def __init__(self, model: LbrModel, select: int) -> None:
        self.model, self.select = model, select
        self.slots: list[Record] = [(0, 0)] * model.depth
        self.top = 0

    def branch(self, address: int, kind: str, privilege: str) -> None:
        if not select_admits(self.select, kind, privilege):
            return
        if self.select & SELECT_CALL_STACK and kind == "return":
            self.slots[self.top] = (0, 0)
            self.top = (self.top - 1) % self.model.depth
        elif not self.select & SELECT_CALL_STACK or kind in ("call", "ind_call"):
            self.top = (self.top + 1) % self.model.depth
            self.slots[self.top] = (from_field(self.model.lbr_fmt, address), address + 1)

    def run(self, burst: list[tuple[int, str, str]]) -> None:
        serial = 0
        for count, kind, privilege in burst:
            for _ in range(count):
                self.branch(branch_base(1, False, kind, privilege) + 2 * serial, kind, privilege)
                serial += 1


@given(models, selects, bursts)
def test_retiring_at_once_is_retiring_one_by_one(
    model: LbrModel, select: int, burst: list[tuple[int, str, str]]
) -> None:
    at_once, singly = LbrRing(model), LbrRing(model)
    at_once.select = singly.select = select
    assert run(at_once, burst, singly=False) == run(singly, burst, singly=True)
    assert at_once.store() == singly.store()


@given(models, selects, bursts)
def test_the_ring_is_a_list_with_a_top(model: LbrModel, select: int, burst: list[tuple[int, str, str]]) -> None:
    ring, naive = LbrRing(model), Naive(model, select)
    ring.select = select
    run(ring, burst, singly=False)
    naive.run(burst)
    assert list(zip(ring.from_ip, ring.to_ip, strict=True)) == naive.slots
    assert ring.tos == naive.top


@given(models, bursts)
def test_info_accompanies_every_record_where_it_exists(model: LbrModel, burst: list[tuple[int, str, str]]) -> None:
    ring = LbrRing(model)
    run(ring, burst, singly=False)
    assert [bool(i) for i in ring.info] == [bool(model.info_base and f) for f in ring.from_ip]


@given(models, selects, bursts, bursts)
def test_load_undoes_what_came_after_store(
    model: LbrModel, select: int, before: list[tuple[int, str, str]], after: list[tuple[int, str, str]]
) -> None:
    ring = LbrRing(model)
    ring.select = select
    run(ring, before, singly=False)
    image = ring.store()
    kept = copy.deepcopy(image)
    ring.select ^= 0x1FC
    run(ring, after, singly=False)
    ring.load(image, with_select=True)
    assert ring.store() == kept
    run(ring, after, singly=False)
    assert image == kept, "an image shares nothing with the ring"


def test_load_without_select_leaves_select() -> None:
    ring = LbrRing(lbr_model("skylake", 4))
    image = ring.store()
    ring.select = 5
    ring.load(image, with_select=False)
    assert ring.select == 5


@given(models, bursts)
def test_reset_clears_entries_but_not_tos_and_select(model: LbrModel, burst: list[tuple[int, str, str]]) -> None:
    ring = LbrRing(model)
    ring.select = 2
    run(ring, burst, singly=False)
    tos = ring.tos
    ring.reset()
    assert (ring.tos, ring.select) == (tos, 2)
    assert not any(ring.from_ip + ring.to_ip + ring.info)


def test_call_stack_mode_holds_the_open_calls() -> None:
    ring = LbrRing(lbr_model("haswell", 4))
    ring.select = CALL_STACK_USER
    for address, kind in ((10, "call"), (20, "ind_call"), (30, "jmp"), (40, "return"), (50, "call")):
        ring.retire(address, 1, kind, "user")
    assert [ring.from_ip[i] for i in ring.newest_first()] == [50, 10, 0, 0]


def test_newest_first_goes_back_from_tos() -> None:
    ring = LbrRing(lbr_model("skylake", 4))
    ring.retire(100, 6, "jmp", "user")
    assert [ring.from_ip[i] for i in ring.newest_first()] == [110, 108, 106, 104]


@cases("name", ["core2", "nehalem", "haswell", "skylake"])
def test_every_register_is_there_once(name: str) -> None:
    ring = LbrRing(lbr_model(name))
    registers = [first + i for first, count in lbr_ranges(ring.model) for i in range(count)]
    for value, msr in enumerate(registers, start=1):
        ring.put(msr, value)
    kept = [value & (ring.model.depth - 1) if m == MSR_LBR_TOS else value for value, m in enumerate(registers, start=1)]
    assert [ring.get(m) for m in registers] == kept


def test_registers_that_are_not_there() -> None:
    assert LbrRing(lbr_model("core2")).get(MSR_LBR_SELECT) is None
    assert LbrRing(lbr_model("haswell")).get(0xDC0) is None
    assert LbrRing(lbr_model("skylake", 4)).get(0x684) is None


def test_an_architectural_lbr_ignores_writes_of_registers_that_it_does_not_have() -> None:
    ring = LbrRing(lbr_model("arch"))
    before = ring.store()
    ring.put(MSR_LBR_TOS, 3)
    ring.put(MSR_LBR_SELECT, 2)
    assert ring.store() == before
    assert ring.get(MSR_LBR_TOS) is None
    assert ring.get(MSR_LBR_SELECT) is None
    ring.put(ring.model.from_base, 7)
    assert ring.store().from_ip[0] == 7


@cases("name", ["core2", "nehalem", "haswell", "skylake", "arch"])
def test_an_image_fits_the_lbr_that_it_is_of(name: str) -> None:
    model = lbr_model(name)
    image = LbrRing(model).store()
    assert is_image(model, image)
    for wrong in (
        replace(image, tos=model.depth),
        replace(image, tos=-1),
        replace(image, from_ip=image.from_ip[1:]),
        replace(image, to_ip=[*image.to_ip, 0]),
        replace(image, info=image.info[1:]),
    ):
        assert not is_image(model, wrong)
    assert is_image(model, replace(image, select=2)) == model.filters
    assert is_image(model, replace(image, info=[1, *image.info[1:]])) == bool(model.info_base)
