"""The link of a KVM service: the first frame of the host's side, against a host that is made up here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from itertools import count, cycle, islice
from typing import Any

import grpc
import pytest

from contract.messages import PROTOCOL_VERSION
from contract.wire.log import log
from kvm_svc.service.link import Link, LinkLostError, loss_is_no_cancellation, pauses, unavailable
from kvm_svc.service.servicer import KvmShell
from lbrlab.v1 import contract_pb2, info_pb2
from tests.cases import cases
from tests.lines import Lines

KVM = "kvm0"
GOOD = contract_pb2.AttachResponse(kvm=KVM, protocol=PROTOCOL_VERSION)
ENVELOPE = contract_pb2.Envelope(session=KVM, seq=1, epoch=1, welcome=contract_pb2.Welcome())


def changed(**fields: object) -> contract_pb2.AttachResponse:
    frame = contract_pb2.AttachResponse()
    frame.CopyFrom(GOOD)
    frame.MergeFrom(contract_pb2.AttachResponse(**fields))  # type: ignore[arg-type]
    return frame


async def dial(
    first: contract_pb2.AttachResponse | None, *refusals: str
) -> tuple[Link, list[contract_pb2.AttachRequest], list[str]]:
    """The link after its first attempt has come to a result: up, or another attempt. Its own first frames are kept."""
    got: list[contract_pb2.AttachRequest] = []
    lost: list[str] = []
    over = asyncio.Event()

    async def attach(frames: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for frame in frames:
            got.append(contract_pb2.AttachRequest.FromString(frame))
            if len(got) > 1:
                over.set()
            if first is None:
                return
            yield first.SerializeToString()

    async def machine(frames: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for _ in frames:
            yield b""

    server = grpc.aio.server()
    for service, method, handler in (("ContractService", "Attach", attach), ("MachineService", "Run", machine)):
        made = grpc.stream_stream_rpc_method_handler(handler)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"lbrlab.v1.{service}", {method: made}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    link = Link(f"127.0.0.1:{port}", KVM, PROTOCOL_VERSION, lambda frame: None, lost.append, lambda: (0, 0))
    link._refusals.update(refusals)
    running = asyncio.create_task(link.run())
    ends = [asyncio.create_task(event.wait()) for event in (link.up, over)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    seen = link.state, link.detail
    for task in (running, *ends):
        task.cancel()
    await asyncio.gather(running, *ends, return_exceptions=True)
    await server.stop(None)
    link.state, link.detail = seen
    return link, got, lost


def test_a_good_first_frame_brings_the_link_up() -> None:
    link, got, _ = asyncio.run(dial(GOOD))

    assert (link.state, link.detail, link.generation) == (info_pb2.LINK_STATE_UP, "", 1)
    (first,) = got
    assert (first.kvm, first.protocol, first.run, list(first.envelopes)) == (KVM, PROTOCOL_VERSION, 0, [])
    assert first.instance == link.instance


@cases(
    "frame",
    [
        changed(kvm="kvm1"),
        changed(protocol=PROTOCOL_VERSION + 1),
        contract_pb2.AttachResponse(kvm=KVM),
        changed(envelopes=[ENVELOPE]),
        changed(run=1),
        None,
    ],
    ids=["another KVM", "another protocol", "no protocol", "messages", "a run", "no frame"],
)
def test_a_first_frame_that_breaks_a_rule_leaves_the_link_down(frame: contract_pb2.AttachResponse | None) -> None:
    link, got, lost = asyncio.run(dial(frame))

    assert (link.state, link.generation, lost) == (info_pb2.LINK_STATE_DIALLING, 0, [])
    assert link.detail == f"its first frame is not one for {KVM}"
    assert got[0].instance == got[1].instance == link.instance


def test_the_pauses_double_up_to_the_limit_and_none_is_like_another() -> None:
    waits = list(islice(pauses(0.4), 50))
    assert waits[0] <= 0.05
    for longest, wait in zip([0.05, 0.1, 0.2, *[0.4] * 47], waits, strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) > 40
    assert max(islice(pauses(0.01), 5)) <= 0.01


@pytest.mark.parametrize(("refusals", "lines_told"), [((), 1), (("expired",), 0)])
async def test_a_link_that_does_not_come_up_is_told_once(
    refusals: tuple[str, ...], lines_told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvm_svc.service.link.LONG", 0.0)
    lines = Lines(monkeypatch)
    link = Link("unix:x", KVM, PROTOCOL_VERSION, print, print, lambda: (0, 0))
    link._refusals.update(refusals)
    silent = asyncio.Event()

    async def dial() -> grpc.aio.Channel:
        await silent.wait()
        raise AssertionError

    monkeypatch.setattr(link, "_dial", dial)
    running = asyncio.create_task(link.run())
    for _ in range(5):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    log.cache_clear()
    assert len(lines.of("no-link")) == lines_told


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "it speaks TLS: expected --tls DIR"),
        ("unix:x", "no gRPC server answers"),
    ],
)
async def test_a_perf_core_with_tls_does_not_answer_in_plain(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvm_svc.service.link.speaks_tls", lambda asked: asked == address)
    lines = Lines(monkeypatch)
    link = Link(address, KVM, PROTOCOL_VERSION, print, print, lambda: (0, 0))
    await link._tell_absence()
    assert [line["reason"] for line in lines.of("no-link")] == [reason]


async def redials(monkeypatch: pytest.MonkeyPatch, faults: Iterator[str], dials: int) -> list[str]:
    """The reasons in the log of a link that is dialled that often, and turned down each time."""
    lines = Lines(monkeypatch)
    link = Link("127.0.0.1:1", KVM, PROTOCOL_VERSION, print, print, lambda: (0, 0), redial_limit=0.0001)
    enough = asyncio.Event()
    left = iter(range(dials))

    async def dial() -> grpc.aio.Channel:
        if next(left, None) is None:
            enough.set()
        raise unavailable(next(faults))

    monkeypatch.setattr(link, "_dial", dial)
    running = asyncio.create_task(link.run())
    await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    log.cache_clear()
    assert [line["event"] for line in lines.of()][:2] == ["dialling", "link-refused"]
    return [line["reason"] for line in lines.of("link-refused")]


async def test_reasons_that_alternate_are_logged_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    told = await redials(monkeypatch, cycle(["expired", "closed"]), 50)
    assert told == ["perfcore: expired", "perfcore: closed"]


async def test_a_host_that_always_finds_another_reason_does_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(await redials(monkeypatch, map(str, count()), 50)) == 8


def test_a_link_that_is_up_forgets_the_reasons_of_before() -> None:
    link, _, _ = asyncio.run(dial(GOOD, "expired"))
    assert link._refusals == set()


class Dialled(Link):
    """A link whose dials end as a test says: up for ``lasts`` seconds each, or by ``ends``. After ``dials`` of them it
    waits for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dials: int, *, lasts: float = 0.0, ends: Any = None) -> None:
        super().__init__("127.0.0.1:1", KVM, PROTOCOL_VERSION, print, print, lambda: (0, 0), redial_limit=0.0001)
        self.left, self.lasts, self.ends = dials, lasts, ends
        self.afresh = self.waited = 0
        self.enough = asyncio.Event()
        monkeypatch.setattr("kvm_svc.service.link.pauses", self._pauses)

    def _pauses(self, limit: float) -> Iterator[float]:
        self.afresh += 1
        while True:
            self.waited += 1
            yield 0.0

    async def _dial(self) -> Any:
        self.left -= 1
        if self.left < 0:
            self.enough.set()
            await asyncio.Event().wait()
        if self.ends is not None:
            raise self.ends
        return nullcontext()

    async def _connect(self, channel: Any) -> None:
        self.generation += 1
        self.state = info_pb2.LINK_STATE_UP
        self._since = time.monotonic() - self.lasts

    async def see(self) -> None:
        running = asyncio.create_task(self.run())
        await self.enough.wait()
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        log.cache_clear()


@pytest.mark.parametrize(("lasts", "afresh"), [(0.5, 1), (2.0, 3)], ids=["dropped at once", "steady"])
async def test_pauses_are_short_again_after_a_steady_link_only(
    lasts: float, afresh: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Dialled(monkeypatch, 3, lasts=lasts)
    await link.see()
    assert (link.afresh, link.waited) == (afresh, 3)


@pytest.mark.parametrize("code", ["ALREADY_EXISTS", "FAILED_PRECONDITION", "PERMISSION_DENIED"])
async def test_a_link_that_the_host_refuses_says_so_and_waits(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = grpc.aio.Metadata()
    link = Dialled(monkeypatch, 3, ends=grpc.aio.AioRpcError(grpc.StatusCode[code], empty, empty, "not you"))
    await link.see()
    assert (link.state, link.detail, link.waited) == (info_pb2.LINK_STATE_REFUSED, "not you", 3)


async def test_another_failure_of_a_dial_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = grpc.aio.Metadata()
    link = Dialled(monkeypatch, 3, ends=grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, empty, empty, "gone"))
    await link.see()
    assert (link.state, link.detail, link.waited) == (info_pb2.LINK_STATE_DIALLING, "gone", 3)


async def test_a_link_that_is_lost_and_does_not_come_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvm_svc.service.link.LONG", 0.0)
    lines = Lines(monkeypatch)
    monkeypatch.setattr("kvm_svc.service.link.speaks_tls", lambda address: False)
    link = Dialled(monkeypatch, 1)
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(10):
        while "no-link" not in [line["event"] for line in lines.of()]:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    log.cache_clear()


async def test_a_call_whose_channel_closes_is_a_lost_link() -> None:
    async def call() -> None:
        raise asyncio.CancelledError

    with pytest.raises(LinkLostError, match="its channel is closed"), loss_is_no_cancellation():
        await call()


async def test_a_caller_that_is_cancelled_is_cancelled() -> None:
    async def caller() -> None:
        with loss_is_no_cancellation():
            await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_sent_on_a_link_that_the_core_does_not_know() -> None:
    shell = KvmShell("127.0.0.1:1", KVM)
    sent: list[int] = []
    shell.link.send = lambda run, envelopes: sent.append(run)  # type: ignore[method-assign]
    shell.send(shell.run, [])
    shell.run.lose(KVM, False)
    shell.send(shell.run, [])
    await shell.close()

    assert sent == [0]
