"""The order of blocks from several services."""

from __future__ import annotations

from client.live.blocks import Merge
from lbrlab.v1 import live_pb2, trace_pb2


def happened(time: int, clock: int) -> live_pb2.LiveBlock:
    return live_pb2.LiveBlock(clock=clock, time_ns=time, command=clock)


def passed(clock: int, *times: int) -> live_pb2.LiveBlock:
    records = [trace_pb2.TraceRecord(time_ns=time) for time in times]
    return live_pb2.LiveBlock(clock=clock, until_ns=times[-1], records=records)


def report(now: int, clock: int, *blocks: live_pb2.LiveBlock) -> live_pb2.LiveResponse:
    return live_pb2.LiveResponse(now_ns=now, clock=clock, blocks=blocks)


def places(merge: Merge) -> list[tuple[str, int, int]]:
    return [(placed.service, placed.place.time, placed.place.clock) for placed in merge.ready()]


def test_a_block_waits_until_all_services_have_passed_it() -> None:
    merge = Merge(["perfcore", "kvm0"], 0)
    merge.put("perfcore", report(300, 4, happened(100, 2), happened(300, 4)))
    assert places(merge) == []

    merge.put("kvm0", report(100, 2))
    assert places(merge) == [("perfcore", 100, 2)]

    merge.put("kvm0", report(300, 3, happened(200, 3)))
    assert places(merge) == [("kvm0", 200, 3)]

    merge.put("kvm0", report(301, 0))
    assert places(merge) == [("perfcore", 300, 4)]


def test_at_one_time_the_clock_decides_and_then_the_service() -> None:
    merge = Merge(["perfcore", "kvm0"], 0)
    merge.put("kvm0", report(500, 0, happened(100, 7), happened(100, 9)))
    merge.put("perfcore", report(500, 0, happened(100, 8), happened(100, 9)))

    assert places(merge) == [("kvm0", 100, 7), ("perfcore", 100, 8), ("perfcore", 100, 9), ("kvm0", 100, 9)]


def test_time_that_passed_comes_before_all_else_at_its_time() -> None:
    merge = Merge(["perfcore", "kvm0"], 0)
    merge.put("perfcore", report(300, 9, passed(9, 100, 200, 200, 300)))
    merge.put("kvm0", report(250, 2, happened(200, 1), happened(250, 2)))

    assert places(merge) == [
        ("perfcore", 100, 9), ("perfcore", 200, 9), ("perfcore", 200, 9), ("kvm0", 200, 1), ("kvm0", 250, 2)
    ]  # fmt: skip


def test_the_end_gives_what_is_left_and_the_latest_time() -> None:
    merge = Merge(["perfcore", "kvm0"], 0)
    merge.put("perfcore", report(400, 9, happened(300, 9)))
    merge.put("kvm0", report(250, 2, happened(250, 2)))
    assert len(places(merge)) == 1

    left, reached = merge.end()

    assert [placed.place.time for placed in left] == [300]
    assert reached == 400
