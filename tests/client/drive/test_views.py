"""Small views of the player: why a thread cannot step, and what a guest's own look at the LBR counts."""

from __future__ import annotations

from client.drive.values import stack_value
from client.schedule.flight import Flight
from contract.machine import GuestValue
from contract.provenance import branch_base
from contract.trace import AnyRecord, Switch, VcpuLoad, VcpuPut, VcpuWait, VcpuWake
from tests.cases import cases

V = "vm0/0"
ON0, ON1 = Switch(0, "", V), Switch(1, "", V)


@cases(
    ("records", "why"),
    [
        ([], "its thread is on no CPU"),
        ([ON0], "KVM has not taken SchedIn for cpu0"),
        ([ON0, VcpuLoad(V, 0)], ""),
        ([ON0, VcpuLoad(V, 1)], "KVM has not taken SchedIn for cpu0"),
        ([ON0, VcpuLoad(V, 0), Switch(0, V, ""), ON1], "KVM has not taken SchedIn for cpu1"),
        ([ON0, VcpuLoad(V, 0), Switch(0, V, ""), ON1, VcpuPut(V, 0), VcpuLoad(V, 1)], ""),
        ([ON0, VcpuLoad(V, 0), VcpuPut(V, 0)], "KVM has not taken SchedIn for cpu0"),
        ([ON0, VcpuLoad(V, 0), VcpuWait(V, "EventCreated")], "waits for EventCreated"),
        ([ON0, VcpuLoad(V, 0), VcpuWait(V, "EventCreated"), VcpuWake(V)], ""),
    ],
)
def test_why_a_thread_cannot_step(records: list[AnyRecord], why: str) -> None:
    flight = Flight()
    flight.follow(records)
    assert flight.blocked(V) == why


def test_own_counts_this_guest_only() -> None:
    own, other = branch_base(2, True, "jmp", "user"), branch_base(3, True, "jmp", "user")
    its_thread = branch_base(2, False, "jmp", "kernel")
    values = [GuestValue(value) for value in (5, own, own + 2, other, its_thread, 0x1234, 0, 0, 0)]
    assert stack_value(values, 2) == {"tos": 5, "own": 2, "foreign": 2, "written": 1, "empty": 3}
    assert stack_value(values, 3) == {"tos": 5, "own": 1, "foreign": 3, "written": 1, "empty": 3}
