"""The answers of a service to the commands of ``contract.control``."""

from __future__ import annotations

import msgspec

from contract.control import VcpuImage
from contract.machine import GuestValue


class Result(msgspec.Struct, tag_field="result", tag=True, gc=False):
    """Base of answers to commands."""


class Done(Result):
    """``errno`` not empty: the call failed with that errno, as in the kernel, and changed nothing."""

    value: int = 0
    errno: str = ""


IN_PROGRESS = Done(errno="EINPROGRESS")
"""The call sleeps. The same command continues it."""


class Counted(Result):
    """``read(2)``: branches counted, and nanoseconds that the event was enabled and running."""

    count: int = 0
    enabled: int = 0
    running: int = 0
    errno: str = ""


class Branches(Result):
    """A sample's branch stack, newest first: FROM and TO of each entry. ``sampled`` false: the event is not on, no
    sample."""

    sampled: bool
    from_ip: list[int] = []
    to_ip: list[int] = []


class Stepped(Result):
    """``finished``: the ops are done, with a value for each; a fault ends them early. Not finished: step again."""

    finished: bool
    values: list[GuestValue] = []


class MsrsRead(Result):
    """The values of the registers up to the first that KVM rejects."""

    values: list[int] = []
    errno: str = ""


class VcpuSaved(Result):
    image: VcpuImage


class EventView(msgspec.Struct):
    """A guest's event in the host's view. ``grant`` outlives switches of the thread (R6)."""

    event: int
    vcpu: str
    state: str
    cpu: int
    grant: int


class PerfView(Result):
    """The host's view: the guests' events, the states of its own events by name, tasks by CPU; and the silicon's counts
    so far, by operation."""

    guest_events: list[EventView]
    host_events: dict[str, str]
    running: dict[int, str]
    operations: dict[str, int]


class VcpuView(msgspec.Struct):
    """KVM's view of one vCPU. ``state`` is the state that a message or a look last reported ("" if none did)."""

    vcpu: str
    cpu: int
    event: int
    state: str
    grant: int
    passthrough: bool
    debugctl: int


class KvmView(Result):
    vcpus: list[VcpuView]


AnyResult = Done | Counted | Branches | Stepped | MsrsRead | VcpuSaved | PerfView | KvmView
