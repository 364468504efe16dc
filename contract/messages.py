"""The messages of the contract stream, as both cores see them. Wire form: ``protos/lbrlab/v1/contract.proto``."""

from __future__ import annotations

import msgspec

PROTOCOL_VERSION = 5
UNKNOWN_EPOCH = "unknown epoch"
"""The reason of a Welcome that refuses a Resume. KVM then has to begin a new epoch (R21)."""
OVERRUN = "limit unsent: too many messages wait for acknowledgements"
"""The reason of a Welcome that ends an epoch. KVM then has to begin a new one (R26)."""


class LbrImage(msgspec.Struct, array_like=False, gc=False):
    """The contents of one LBR: registers by ring index, not by age. ``select`` is 0 if it was not saved."""

    select: int = 0
    tos: int = 0
    from_ip: list[int] = []
    to_ip: list[int] = []
    info: list[int] = []


class Message(msgspec.Struct, tag_field="kind", tag=True, gc=False):
    """Base of every contract message."""


# KVM to host ---------------------------------------------------------------------------------------------


class Hello(Message):
    """``continues``: the KVM of the epoch before goes on under this one, and its threads with it (R21, R26)."""

    kvm: str
    protocol: int = PROTOCOL_VERSION
    continues: bool = False


class Resume(Message):
    kvm: str
    protocol: int
    epoch: int
    last_seq: int


class RegisterVcpu(Message):
    """The thread of ``vcpu`` is host task ``task``; from now on its preempt notifiers fire (SchedIn, SchedOut)."""

    vcpu: str
    task: str


class CreateEvent(Message):
    """``perf_event_create_kernel_counter`` for host task ``task``, the vCPU's thread if none is named; answered by
    EventCreated with the same ``request``."""

    vcpu: str
    request: int
    task: str = ""


class CreateCounter(Message):
    """``perf_event_create_kernel_counter`` for counter ``counter`` of the guest (fixed ones from 32): it counts
    branches that the guest retires at ``levels``, and overflows after each ``period`` branches. The event follows host
    task ``task``, the vCPU's thread if none is named. Answered by EventCreated with the same ``request``."""

    vcpu: str
    request: int
    counter: int
    levels: list[str]
    period: int
    task: str = ""


class PauseCounter(Message):
    """``perf_event_pause``: a counter's event stops counting, and keeps its count."""

    event: int


class ResumeCounter(Message):
    """``perf_event_period`` and ``perf_event_enable``: the event counts again, and the next overflow is after
    ``period`` branches. Answered by EventCreated with the same ``request``."""

    vcpu: str
    request: int
    event: int
    period: int


class ReleaseEvent(Message):
    event: int


class EnableEvent(Message):
    """``perf_event_enable`` of the guest's event. Answered by EventCreated with the same ``request``."""

    vcpu: str
    request: int
    event: int


class Ack(Message):
    """The end of ``grant`` is carried out: the guest no longer touches the LBR."""

    grant: int


class Renew(Message):
    """``grant`` is still in use. The answer is EventState, or its Revoke once more."""

    grant: int


REQUESTS = CreateEvent | CreateCounter | ResumeCounter | EnableEvent
"""The messages that EventCreated answers (R8)."""


# Host to KVM ---------------------------------------------------------------------------------------------


class Welcome(Message):
    """Answer to Hello and Resume. ``accepted`` false: the session is refused for ``reason``. ``credits``: the number of
    messages that may wait in the inbox of the sender of this. ``acknowledged``: in the answer to Resume, the last place
    of KVM's order that the host has taken."""

    accepted: bool
    protocol: int = PROTOCOL_VERSION
    reason: str = ""
    credits: int = 0
    acknowledged: int = 0


class EventCreated(Message):
    """``event`` is 0 and ``errno`` names the error if creation failed. ``grant`` is 0 unless the event is ACTIVE;
    ``expires`` is the end of its lease in nanoseconds, 0 if it has none."""

    vcpu: str
    request: int
    event: int
    errno: str = ""
    state: str = ""
    grant: int = 0
    expires: int = 0


class SchedIn(Message):
    """The vCPU's thread was switched to ``cpu``. ``debugctl``: the host's DEBUGCTL at that moment (``vmx_vcpu_load``).
    ``grant``: the current grant of the vCPU's event, 0 for none, in designs that tell KVM of grants; ``expires`` as in
    EventCreated."""

    vcpu: str
    cpu: int
    debugctl: int
    grant: int = 0
    expires: int = 0


class SchedOut(Message):
    """The vCPU thread left ``cpu``. ``lbr``: the contents of the LBR at that moment, in designs in which KVM saves
    it."""

    vcpu: str
    cpu: int
    lbr: LbrImage | None = None


class EventState(Message):
    """The guest's event changed state, or its lease was renewed. ``grant`` is the fencing token of an ACTIVE event,
    else 0; ``expires`` as in EventCreated."""

    event: int
    state: str
    cpu: int
    grant: int = 0
    expires: int = 0


class Revoke(Message):
    """The host takes the LBR back: ``grant`` ends."""

    event: int
    grant: int
    reason: str


class Available(Message):
    """The LBR that ``event`` lost is free again on ``cpu``."""

    event: int
    cpu: int


class Overflow(Message):
    """A guest counter's event overflowed: the PMI of ``kvm_perf_overflow``."""

    event: int
    cpu: int


# Either way ----------------------------------------------------------------------------------------------


class Drain(Message):
    """The sender wants to end the session in order: no request begins any more. Answered by Drained."""

    reason: str = ""


class Drained(Message):
    """Answer to Drain: nothing is outstanding, and nothing more comes from this end."""


class Received(Message):
    """In designs that repair the stream: all messages up to place ``acknowledged`` of the opposite direction's order
    were taken (R9)."""

    acknowledged: int


KVM_TO_HOST = (
    Hello
    | Resume
    | RegisterVcpu
    | CreateEvent
    | CreateCounter
    | PauseCounter
    | ResumeCounter
    | ReleaseEvent
    | EnableEvent
    | Ack
    | Renew
    | Drain
    | Drained
    | Received
)
HOST_TO_KVM = (
    Welcome
    | EventCreated
    | SchedIn
    | SchedOut
    | EventState
    | Revoke
    | Available
    | Overflow
    | Drain
    | Drained
    | Received
)
AnyMessage = (
    Hello
    | Resume
    | RegisterVcpu
    | CreateEvent
    | CreateCounter
    | PauseCounter
    | ResumeCounter
    | ReleaseEvent
    | EnableEvent
    | Ack
    | Renew
    | Welcome
    | EventCreated
    | SchedIn
    | SchedOut
    | EventState
    | Revoke
    | Available
    | Overflow
    | Drain
    | Drained
    | Received
)
MESSAGES: dict[str, type[Message]] = {m.__name__: m for m in AnyMessage.__args__}
"""By name."""
MESSAGE_KINDS: tuple[str, ...] = tuple(MESSAGES)


class Envelope(msgspec.Struct, gc=False):
    """One message in flight. ``session`` names the KVM service; ``to_host`` is its direction; ``seq`` counts from 1 in
    each direction of a (session, epoch). ``order``: in designs that repair the stream, its place among the messages of
    this direction, kept when it is sent again (R9); else 0. ``checksum``: of its content at the sender (R25); 0
    within one process, where only a fault can damage it."""

    session: str
    to_host: bool
    epoch: int
    seq: int
    body: AnyMessage
    order: int = 0
    checksum: int = 0

    @property
    def kind(self) -> str:
        return type(self.body).__name__

    @property
    def receiver(self) -> str:
        return HOST if self.to_host else self.session

    @property
    def sender(self) -> str:
        return self.session if self.to_host else HOST


HOST = "host"
