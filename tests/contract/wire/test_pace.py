"""The lanes in which work of no value waits."""

from __future__ import annotations

from contract.wire.pace import BURST, FORGET, PIECE, SHARE, PeerLanes


def test_a_peer_that_asks_now_and_then_waits_for_nothing() -> None:
    lanes = PeerLanes()
    assert [lanes.delay("a", 0.0, now * PIECE) for now in range(1000)] == [0.0] * 1000


def test_a_burst_is_free_and_then_each_piece_waits_for_the_one_before() -> None:
    lanes = PeerLanes()
    delays = [lanes.delay("a", 0.0, 0.0) for _ in range(20)]
    free = int(BURST / PIECE) + 1

    assert delays[:free] == [0.0] * free
    assert [round(b - a, 6) for a, b in zip(delays[free:], delays[free + 1 :], strict=False)] == [PIECE] * (19 - free)


def test_long_work_takes_a_part_of_the_time() -> None:
    lanes = PeerLanes()
    lanes.delay("a", 1.0, 0.0)
    assert round(lanes.delay("a", 0.0, 0.0), 6) == SHARE * 1.0 - BURST


def test_a_flood_delays_no_other_peer() -> None:
    lanes = PeerLanes()
    for _ in range(1000):
        lanes.delay("a", 0.1, 0.0)
    assert lanes.delay("b", 0.0, 0.0) == 0.0


def test_free_lanes_are_forgotten_and_busy_ones_are_not() -> None:
    lanes = PeerLanes()
    lanes.delay("busy", 1e6, 0.0)
    for n in range(2 * FORGET):
        lanes.delay(str(n), 0.0, n * 1.0)

    assert len(lanes.free) <= FORGET + 1
    assert "busy" in lanes.free
