"""One run of a service: its core, its records, and the messages and links that it knows of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import grpc

from contract.effects import StepResult
from contract.errors import PeerContractError, RefusedError
from contract.messages import Envelope, Hello, Resume, Welcome
from contract.network import Network
from contract.results import AnyResult
from contract.session import SessionPhase
from contract.trace import Recorder
from contract.wire.limits import DEFAULT, Limits
from contract.wire.records import RecordBlock
from contract.wire.status import CallError

if TYPE_CHECKING:
    from contract.wire.live import ServiceFreeRun


class ServiceCore(Protocol):
    def take(self, envelope: Envelope, now: int) -> StepResult[None]: ...


C = TypeVar("C", bound=ServiceCore)


class ServiceRun(Generic[C]):
    """One run of the service. ``log``: its records. ``network``: messages that have arrived. ``owner``: the token of
    its driver. ``cut``: sessions that have lost a link, whose core does not know it yet. ``parted``: those whose core
    does, until the link is mended: their streams do not count. ``deaf``: those whose messages of before that are still
    to come, and are dropped until a greeting or its answer comes. ``drains``: the sessions have to end in order;
    ``drained``: they have ended. ``ended`` is called when the run fails. ``free``: the free run that is under way.
    ``timers``: those of this end, (session, name) to the nanosecond at which they run out; they are noted for free
    runs only. ``heard``: the latest clock and time that peers in a free run have told.
    ``phases``: those of its sessions, as far as they are in the log."""

    __slots__ = (
        "_core", "arrived", "cut", "deaf", "drained", "drains", "ended", "failed", "free", "heard", "log", "network",
        "number", "owner", "parted", "phases", "timers",
    )  # fmt: skip

    def __init__(self, number: int, owner: str = "", limits: Limits = DEFAULT) -> None:
        self.number = number
        self.owner = owner
        self._core: C | None = None
        self.log = Recorder()
        self.network = Network(limits.inbox)
        self.failed: CallError | None = None
        self.cut: set[str] = set()
        self.parted: set[str] = set()
        self.deaf: set[str] = set()
        self.arrived = asyncio.Event()
        self.ended: Callable[[], None] = lambda: None
        self.drains = False
        self.phases: dict[str, SessionPhase] = {}
        self.drained = asyncio.Event()
        self.free: ServiceFreeRun | None = None
        self.timers: dict[tuple[str, str], int] = {}
        self.heard = 0, 0

    @property
    def core(self) -> C:
        """The core. Raises RefusedError before the first Configure."""
        if self._core is None:
            raise RefusedError("not configured yet", "ENXIO")
        return self._core

    @core.setter
    def core(self, core: C) -> None:
        self._core = core

    def fail(self, error: CallError) -> None:
        """Mark the run as failed. The first failure stays."""
        if self.failed is None:
            self.failed = error
            self.ended()
        self.arrived.set()

    def check(self) -> None:
        if self.failed:
            raise CallError(self.failed.code, self.failed.message)

    def receive(self, envelopes: Iterable[Envelope]) -> None:
        """A received message waits in the network until a decision names it. Raises CallError RESOURCE_EXHAUSTED if too
        many of that session wait: its link is to end. Other sessions are not concerned."""
        try:
            for envelope in envelopes:
                if self.deaf and envelope.session in self.deaf:
                    if not isinstance(envelope.body, Hello | Resume | Welcome):
                        continue
                    self.deaf.discard(envelope.session)
                self.network.put(envelope)
        except PeerContractError as error:
            raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"limit inbox: {error} (--max-inbox)") from None
        finally:
            self.arrived.set()

    def hear(self, clock: int, now: int) -> None:
        """The clocks of a peer, which came with messages. They count in a free run only; otherwise the driver's do."""
        self.heard = max(self.heard[0], clock), max(self.heard[1], now)
        if self.free is not None:
            self.free.hear(clock, now)

    def clocks(self) -> tuple[int, int]:
        """The logical clock and the time to tell a peer, in a free run; else zeros."""
        return (self.log.clock, self.log.now) if self.free is not None else (0, 0)

    async def arrival(self, session: str, to_host: bool, n: int) -> None:
        """Wait until message ``n`` has arrived, its link is lost, or the run has failed."""
        while not (self.failed or session in self.cut or self.network.has(session, to_host, n)):
            self.arrived.clear()
            await self.arrived.wait()

    def lose(self, session: str, to_host: bool) -> None:
        """A link is lost, with the messages that have come over it."""
        if session in self.parted:
            return
        self.network.cut(session, to_host)
        self.cut.add(session)
        self.arrived.set()


Performed = tuple[ServiceRun[C], AnyResult | None, RecordBlock]
"""The run that a command belonged to, its result (a decision has none), and the records that it made."""
