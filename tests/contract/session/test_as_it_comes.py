"""The rules R1 to R6 of the contract stream, and what the schedule can do to a message in the inbox."""

from __future__ import annotations

from contract.control import ConfigureKvm, MachineSpec, VmSpec
from contract.effects import Clock, Effects
from contract.messages import (
    PROTOCOL_VERSION,
    CreateEvent,
    EnableEvent,
    Envelope,
    EventCreated,
    EventState,
    Hello,
    RegisterVcpu,
    SchedIn,
    Welcome,
)
from contract.session.incoming import REMEMBERED
from contract.trace import Discard, Recorder, Send
from kvm_svc.core import KvmCore
from kvm_svc.hypervisor.lbr import ask_for_event
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import revocable
from tests.sessions import End

BODY = RegisterVcpu("v", "v")
ANOTHER = PROTOCOL_VERSION + 1


def pair() -> tuple[End, End, Effects]:
    return End("k", is_host=False), End("k", is_host=True), Effects(Clock())


def discards(log: Recorder | Effects) -> list[tuple[int, str]]:
    return [(r.n, r.rule) for r in log.records if isinstance(r, Discard)]


def host_takes(core: Host, *bodies: Hello | RegisterVcpu | CreateEvent) -> list[Envelope]:
    """One session sends all of these, the host takes each; its answers."""
    kvm = End("k", is_host=False)
    for body in bodies:
        envelope = kvm.one(body, core.elsewhere)
        core.take(envelope)
    return core.drain()


# Rules ---------------------------------------------------------------------------------------------------


def test_R1_nothing_is_taken_before_hello() -> None:
    core = make_host()
    assert host_takes(core, BODY, CreateEvent("v", 1)) == []
    assert discards(core.log) == [(1, "R1"), (2, "R1")]
    assert core.endpoint.vcpus == {}
    assert core.perf.events == {}


def test_R1_protocol_versions_must_be_equal() -> None:
    core = make_host()
    answers = host_takes(core, Hello("k", protocol=ANOTHER), BODY)
    reason = f"protocol {ANOTHER}, this host speaks {PROTOCOL_VERSION}"
    assert [(e.body.accepted, e.body.reason) for e in answers if isinstance(e.body, Welcome)] == [(False, reason)]
    assert discards(core.log) == [(2, "R1")]


def test_R2_each_direction_counts_from_1() -> None:
    kvm, host, log = pair()
    up = [kvm.one(BODY, log) for _ in range(3)]
    down = [host.one(Welcome(True), log) for _ in range(2)]
    assert [(e.to_host, e.seq) for e in up + down] == [(True, 1), (True, 2), (True, 3), (False, 1), (False, 2)]
    assert [(r.to_host, r.n) for r in log.records if isinstance(r, Send)] == [(e.to_host, e.seq) for e in up + down]


def test_R2_a_message_is_an_effect_of_its_time() -> None:
    kvm, _, log = pair()
    log.clock.now = 7
    envelope = kvm.one(BODY, log)
    (record,) = log.records
    assert isinstance(record, Send)
    assert (record.n, record.body, record.time) == (envelope.seq, BODY, 7)


def test_R2_goes_on_counting_after_a_refused_hello() -> None:
    core = make_host()
    answers = host_takes(core, Hello("k", protocol=ANOTHER), Hello("k"))
    assert [e.seq for e in answers] == [1, 2]
    assert [e.body.accepted for e in answers if isinstance(e.body, Welcome)] == [False, True]


def test_R3_a_doubled_message_is_discarded() -> None:
    kvm, host, log = pair()
    envelope = kvm.one(BODY, log)
    assert [host.taken(envelope, log), host.taken(envelope, log)] == [BODY, None]
    assert discards(log) == [(1, "R3")]


def test_R3_a_doubled_hello_is_answered_once() -> None:
    core = make_host()
    hello = End("k", is_host=False).one(Hello("k"), core.elsewhere)
    core.take(hello)
    core.take(hello)
    assert [type(e.body) for e in core.drain()] == [Welcome]
    assert discards(core.log) == [(1, "R3")]


def test_R4_gaps_and_overtaken_numbers_are_taken_as_they_come() -> None:
    kvm, host, log = pair()
    sent = [kvm.one(RegisterVcpu(str(i), "v"), log) for i in range(4)]
    assert [host.taken(sent[i], log) for i in (3, 0, 2)] == [sent[3].body, sent[0].body, sent[2].body]
    assert discards(log) == []


@cases(("own", "other"), [(2, 1), (3, 1), (1, 2)], ids=["stale", "older", "future"])
def test_R5_another_epoch_is_discarded(own: int, other: int) -> None:
    """A message of the session before, and one of a session that this end has not begun."""
    _, _, log = pair()
    host = End("k", is_host=True, epoch=own)
    assert host.taken(End("k", is_host=False, epoch=other).one(BODY, log), log) is None
    assert discards(log) == [(1, "R5")]
    assert host.incoming.newest == 0


def test_R5_a_hello_of_a_later_epoch_is_either_answered_or_discarded() -> None:
    core = make_host()
    core.take(End("k", is_host=False, epoch=2).one(Hello("k"), core.elsewhere))
    assert bool(core.drain()) != bool(discards(core.log))


def test_R6_grants_are_numbered_upwards() -> None:
    core, kvm, first = revocable()
    core.open("P", "any", pinned=True)
    core.close("P")
    kvm.told()
    kvm.tell(EnableEvent("v", 2, first.event))
    (second,) = kvm.told()
    assert isinstance(second, EventCreated)
    assert (first.grant, second.grant) == (1, 2)


def test_R6_the_threads_own_switches_do_not_end_a_grant() -> None:
    core, kvm, created = revocable()
    for task in ("", "v", "w", "v"):
        core.run(task)
    told = kvm.told()
    assert [m.grant for m in told if isinstance(m, SchedIn)] == [created.grant] * 2
    assert not [m for m in told if isinstance(m, EventState)]


def test_R6_news_of_an_older_grant_is_ignored() -> None:
    core = KvmCore.configured(ConfigureKvm("k", MachineSpec(), REVOKE_GP, [VmSpec("vm")]))
    vcpu = core.hv.vcpus["vm/0"]
    ask_for_event(core.hv, vcpu)
    host = End("k", is_host=True)
    for body in (EventCreated("vm/0", 1, 7, "", "ACTIVE", 5), EventState(7, "ACTIVE", 0, 4)):
        core.endpoint.take(host.one(body, Effects(Clock())))
        assert (vcpu.grant.number, vcpu.grant.newest) == (5, 5)


def test_R3_a_message_that_is_missing_for_too_long_is_discarded() -> None:
    """Of the missing numbers the newest are remembered."""
    host, log = End("k", is_host=True), Effects(Clock())
    assert host.taken(Envelope("k", True, 1, REMEMBERED + 10, BODY), log) == BODY
    assert [host.taken(Envelope("k", True, 1, n, BODY), log) for n in (9, 10, REMEMBERED + 9)] == [None, BODY, BODY]
    assert len(host.incoming.missing) == REMEMBERED - 2
    assert host.taken(Envelope("k", True, 1, REMEMBERED + 12, BODY), log) == BODY
    assert host.taken(Envelope("k", True, 1, 11, BODY), log) == BODY
    assert host.taken(Envelope("k", True, 1, REMEMBERED + 16, BODY), log) == BODY
    assert len(host.incoming.missing) == REMEMBERED
    assert [host.taken(Envelope("k", True, 1, n, BODY), log) for n in (12, 13)] == [None, BODY]
