"""The contents of a sample: the ring, newest first, after the software filter."""

from __future__ import annotations

from tests.perfcore_svc.hosts import Host, make_host


def stack(host: Host, name: str) -> list[int]:
    sample = host.sample(name)
    assert sample.sampled
    return sample.from_ip


def test_a_sample_is_newest_first() -> None:
    host = make_host()
    host.open("P", "any")
    host.retire(6)
    from_ip = stack(host, "P")
    assert len(from_ip) == 4
    assert from_ip == sorted(from_ip, reverse=True)


def test_samples_need_an_active_branch_event() -> None:
    host = make_host()
    host.open("plain")
    host.open("off", "any", disabled=True)
    assert not host.sample("plain").sampled
    assert not host.sample("off").sampled


def test_the_software_filter_compacts_the_list() -> None:
    host = make_host(lbr="core2")
    host.open("P", "any_call", privilege=["user"])
    for kind, level in (("call", "user"), ("jmp", "user"), ("call", "kernel"), ("ind_call", "user")):
        host.retire(1, kind, level)
    sample = host.sample("P")
    ring = host.machine.cpus[0].lbr
    assert (sample.from_ip, sample.to_ip) == ([ring.from_ip[0], ring.from_ip[1]], [ring.to_ip[0], ring.to_ip[1]])


def test_nehalems_extra_jumps_are_filtered_out() -> None:
    host = make_host(lbr="nehalem")
    host.open("P", "any_call", privilege=["user"])
    host.retire(1, "call")
    host.retire(1, "jmp")
    assert sum(map(bool, host.machine.cpus[0].lbr.from_ip)) == 2
    assert len(stack(host, "P")) == 1


def test_call_stack_mode_reads_up_to_the_first_hole() -> None:
    host = make_host()
    host.open("P", "call_stack", privilege=["user"])
    host.retire(4, "call")
    ring = host.machine.cpus[0].lbr
    ring.from_ip[(ring.tos - 1) & 3] = 0
    assert stack(host, "P") == [ring.from_ip[ring.tos]]


def test_other_modes_read_past_a_hole() -> None:
    host = make_host()
    host.open("P", "any", privilege=["user"])
    host.retire(4)
    ring = host.machine.cpus[0].lbr
    ring.from_ip[(ring.tos - 1) & 3] = 0
    assert len(stack(host, "P")) == 3


def test_nothing_is_filtered_where_every_type_and_level_is_wanted() -> None:
    host = make_host()
    host.open("P", "any", privilege=["user", "kernel"])
    host.retire(3)
    ring = host.machine.cpus[0].lbr
    assert stack(host, "P") == [ring.from_ip[i] for i in ring.newest_first()], "the zero entry included"
