"""Each CPU's ring as the trace shows it: resets, restores, and perf's LBR_SELECT."""

from __future__ import annotations

from client.check.world import World
from contract.messages import LbrImage
from contract.provenance import branch_base
from contract.trace import AnyRecord, HostLbr, LbrReset, LbrRestore, Setup
from tests.cases import cases

ACTORS = ["", "t0", "vm0/0", "vm1/0"]


def world() -> World:
    return World(Setup("s", "merged", {}, "skylake", 4, 2, ACTORS, ["vm0/0", "vm1/0"]))


def after(*records: AnyRecord) -> World:
    found = world()
    for record in records:
        found.apply(record)
    return found


FULL = LbrImage(6, 2, [1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 1, 1])


@cases(("clears", "select"), [(True, 0), (False, 6)])
def test_a_reset_clears_entries_and_select_where_it_says_so(clears: bool, select: int) -> None:
    lbr = after(LbrRestore(0, "kvm", "vm0/0", FULL, True), LbrReset(0, "why", clears)).cpus[0].lbr
    assert (lbr.select, lbr.tos, lbr.from_ip, lbr.to_ip, lbr.info) == (select, 2, [0] * 4, [0] * 4, [0] * 4)


@cases(("loads", "select"), [(True, 6), (False, 1)])
def test_a_restore_brings_select_where_it_says_so(loads: bool, select: int) -> None:
    found = after(HostLbr(0, True, 1, 1), LbrRestore(0, "kvm", "vm0/0", FULL, loads))
    assert found.cpus[0].lbr.store() == LbrImage(select, 2, FULL.from_ip, FULL.to_ip, FULL.info)


def test_perf_turning_the_lbr_on_programs_select() -> None:
    found = after(HostLbr(1, True, 0x801, 0x1FA))
    assert (found.cpus[1].host_on, found.cpus[1].lbr.select) == (True, 0x1FA)
    assert (found.cpus[0].host_on, found.cpus[0].lbr.select) == (False, 0)
    found.apply(HostLbr(1, False, 0, 3))
    assert (found.cpus[1].host_on, found.cpus[1].lbr.select) == (False, 3)


def test_whoever_is_in_a_restored_image_has_used_the_ring() -> None:
    host, guest = branch_base(1, False, "jmp", "kernel"), branch_base(3, True, "call", "user")
    image = LbrImage(0, 1, [host, guest + 2, 0, 7], [0] * 4, [0] * 4)
    found = after(LbrRestore(0, "perf", "t0", image, False))
    assert found.cpus[0].users == frozenset({(False, 1), (True, 3)})
    assert found.cpus[1].users == frozenset()
