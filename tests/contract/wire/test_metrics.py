"""The counts of a service: messages by fate, revokes, exits, runs, and what stands when somebody asks."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from contract.effects import StepResult
from contract.messages import Ack, AnyMessage, Envelope, Renew, Revoke, SchedIn
from contract.network import Fate
from contract.session import Session, SessionPhase
from contract.trace import AnyRecord, Discard, Send, VmEntry, VmEntryRefused, VmExit
from contract.wire.authority import Authority
from contract.wire.methods import Decide
from contract.wire.metrics import PENDING, Metrics
from contract.wire.tls import CA, CERTIFICATE, KEY, Identity
from tests.contract.wire.echo import COMMAND, Echo, failing, message, stamp


def values(metrics: Metrics, name: str) -> dict[str, float]:
    """The samples of one metric that are not 0, by their labels in alphabetic order."""
    text = generate_latest(metrics.registry).decode()
    return {
        " ".join(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
        if sample.name == name and sample.value
    }


def sent(body: AnyMessage, order: int = 0, *, time: int = 0, to_host: bool = False, session: str = "kvm0") -> Send:
    made = Send(session, to_host, 1, 1, 0, body, order)
    made.time = time
    return made


async def measured() -> tuple[Echo, Metrics]:
    shell = Echo()
    shell.metrics = Metrics(shell)
    await shell.configure(stamp(), COMMAND)
    return shell, shell.metrics


async def test_a_message_that_is_sent_again_is_counted_as_that() -> None:
    shell, metrics = await measured()
    effects: list[AnyRecord] = [sent(Revoke(1, 2, "why"), order) for order in (1, 2, 1, 2, 3)]
    effects += [sent(Revoke(1, 2, "why"), 1, session="kvm1"), sent(Ack(2), 1, to_host=True), sent(SchedIn("v", 0, 0))]
    shell.act = lambda run: shell.done(run, StepResult(None, effects[:1], 0))
    await shell.command(stamp(), COMMAND)
    metrics.see(effects[1:])

    assert values(metrics, "lbrlab_messages_total") == {
        "to_kvm sent Revoke": 4,
        "to_kvm resent Revoke": 2,
        "to_host sent Ack": 1,
        "to_kvm sent SchedIn": 1,
    }


async def test_each_fate_is_counted_once() -> None:
    shell, metrics = await measured()
    shell.run.receive(message(n) for n in (1, 2, 3))
    for fate, n in (("duplicate", 1), ("take", 1), ("drop", 2), ("take", 3)):
        await shell.decide(stamp(), Decide("kvm0", n, Fate(fate)))

    assert values(metrics, "lbrlab_messages_total") == {
        "to_host duplicate Drain": 1,
        "to_host take Drain": 2,
        "to_host drop Drain": 1,
    }


async def test_a_new_run_begins_with_the_first_place() -> None:
    shell, metrics = await measured()
    for _ in range(2):
        metrics.see([sent(Revoke(1, 2, "why"), 1)])
        await shell.configure(stamp(), COMMAND)

    assert values(metrics, "lbrlab_messages_total") == {"to_kvm sent Revoke": 2}


def test_a_revoke_lasts_from_its_first_copy_to_its_ack() -> None:
    metrics = Metrics(Echo())

    def acked(grant: int, now: int, session: str = "kvm0") -> None:
        metrics.taken(Envelope(session, True, 1, 1, Ack(grant)), now)

    metrics.see([sent(Revoke(1, 7, ""), 1, time=1_000_000), sent(Revoke(1, 7, ""), 1, time=11_000_000)])
    metrics.see([sent(Revoke(1, 7, ""), 1, time=0, session="kvm1"), sent(Revoke(2, 8, ""), time=2_000_000)])
    metrics.taken(Envelope("kvm0", True, 1, 1, Renew(7)), 5)
    acked(7, 21_000_000)
    metrics.see([sent(Revoke(1, 7, ""), 1, time=30_000_000)])
    acked(7, 99_000_000)
    acked(9, 99_000_000)
    acked(7, 500_000, "kvm1")

    assert values(metrics, "lbrlab_revoke_seconds_count") == {"": 2}
    assert values(metrics, "lbrlab_revoke_seconds_sum") == {"": pytest.approx(0.0205)}


def test_what_is_remembered_of_revokes_is_bounded() -> None:
    metrics = Metrics(Echo())
    metrics.see([sent(Revoke(1, grant, "")) for grant in range(PENDING + 50)])
    assert len(metrics._revoked) == PENDING


def test_entries_exits_and_discards() -> None:
    metrics = Metrics(Echo())
    exits: list[AnyRecord] = [VmExit(0, "vm0/0", reason, 0) for reason in ("HLT", "MSR_WRITE", "HLT")]
    metrics.see([*exits, VmEntry(0, "vm0/0", 0, False, 0), VmEntryRefused(0, "vm0/0", "no")])
    metrics.see([Discard("kvm0", True, 1, "Ack", "R3", "taken before")])

    assert values(metrics, "lbrlab_exits_total") == {"HLT": 2, "MSR_WRITE": 1}
    assert values(metrics, "lbrlab_entries_total") == {"": 1}
    assert values(metrics, "lbrlab_entries_refused_total") == {"": 1}
    assert values(metrics, "lbrlab_discards_total") == {"Ack R3": 1}


async def test_a_run_that_fails_is_not_one_that_is_replaced() -> None:
    shell, metrics = await measured()
    await shell.configure(stamp(), COMMAND)
    assert values(metrics, "lbrlab_run_failed") == {}
    await failing(shell, lambda run: 1 / 0, run=2)

    assert values(metrics, "lbrlab_runs_total") == {"begun": 2, "replaced": 1, "failed": 1}
    assert (values(metrics, "lbrlab_run_failed"), values(metrics, "lbrlab_run_number")) == ({"": 1}, {"": 2})


async def test_what_stands_is_looked_at_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    shell, metrics = await measured()
    session = Session("kvm0", is_host=True, repaired=True)
    session.phase = SessionPhase.OPEN
    for _ in range(70):
        session.outgoing.send(Revoke(1, 1, ""), 0)
    monkeypatch.setattr(shell, "sessions", lambda run: [session])
    shell.run.receive(message(n) for n in (1, 2, 3))
    shell.run.log.now = 1_500_000_000
    shell.drivers = 2

    found = {
        name: values(metrics, f"lbrlab_{name}")
        for name in (
            "sessions", "session_window_messages", "session_waiting_messages", "session_paused",
            "session_inbox_messages", "run_time_seconds", "driver_streams", "ready",
        )
    }  # fmt: skip
    assert found == {
        "sessions": {"open": 1},
        "session_window_messages": {"kvm0": 64},
        "session_waiting_messages": {"kvm0": 6},
        "session_paused": {"kvm0": 1},
        "session_inbox_messages": {"kvm0": 3},
        "run_time_seconds": {"": 1.5},
        "driver_streams": {"": 2},
        "ready": {"": 1},
    }
    assert values(metrics, "process_resident_memory_bytes")[""] > 1_000_000


def test_under_tls_only_those_with_a_certificate_of_the_ca_get_them(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours", 1), Authority(tmp_path / "theirs", 1)
    service = Identity(ours.sign("perfcore", "perfcore", ["127.0.0.1"]))
    prometheus, stranger = (each.sign("prometheus", "viewer") for each in (ours, theirs))
    address = Metrics(Echo()).serve("127.0.0.1:0", service)

    def scraped(scheme: str, folder: Path | None = None) -> str:
        context = ssl.create_default_context(cafile=ours.folder / CA)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # The default from Python 3.13 on.
        if folder is not None:
            context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
        try:
            with urllib.request.urlopen(f"{scheme}://{address}/metrics", context=context, timeout=10) as answer:
                return str(answer.status)
        except OSError:
            return "refused"

    assert [scraped("https", prometheus), scraped("https", stranger), scraped("https")] == ["200", "refused", "refused"]
    assert scraped("http") == "refused"
