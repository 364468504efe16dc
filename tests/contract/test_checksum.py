"""A damaged message never fits its checksum, and nothing in it is read (R25)."""

from __future__ import annotations

from msgspec.structs import replace

from contract.checksum import changeable, checksum, damaged, is_damaged
from contract.effects import Clock, Effects
from contract.messages import (
    Ack,
    AnyMessage,
    CreateCounter,
    Drain,
    Drained,
    Envelope,
    Hello,
    RegisterVcpu,
    Revoke,
    SchedOut,
)
from contract.session import refuse_damaged
from contract.trace import Discard
from tests.cases import cases

BODIES: tuple[AnyMessage, ...] = (
    Hello("k"), RegisterVcpu("v", "t"), Ack(3), Drain(), Drain("why"), Drained(), Revoke(1, 2, "x"), SchedOut("v", 1),
    CreateCounter("v", 1, 0, ["user"], 100),
)  # fmt: skip


@cases("body", BODIES, ids=str)
@cases("sent_with_one", [False, True])
def test_a_flipped_bit_is_found(body: AnyMessage, sent_with_one: bool) -> None:
    envelope = Envelope("k", True, 1, 5, body, 2)
    if sent_with_one:
        envelope.checksum = checksum(envelope)
    assert not is_damaged(envelope)
    bad = damaged(envelope)
    assert is_damaged(bad)
    assert (bad.seq, bad.order, bad.kind) == (5, 2, envelope.kind)
    assert (bad.body == body) == (body == Drained())


def test_a_changed_field_is_found() -> None:
    for body in BODIES:
        for field in changeable(type(body)):
            envelope = Envelope("k", True, 1, 5, body, 2)
            bad = damaged(envelope, field)
            assert is_damaged(bad)
            assert [f for f in body.__struct_fields__ if getattr(bad.body, f) != getattr(body, f)] == [field]
    assert changeable(SchedOut) == ("vcpu", "cpu")


def test_every_part_counts() -> None:
    envelope = Envelope("k", True, 1, 5, Ack(3), 2)
    envelope.checksum = checksum(envelope)
    for other in ({"epoch": 2}, {"seq": 6}, {"order": 3}, {"body": Ack(4)}):
        assert is_damaged(replace(envelope, **other))


def test_the_receiver_discards_it_on_record() -> None:
    effects = Effects(Clock())
    envelope = Envelope("k", True, 1, 5, Ack(3))
    assert not refuse_damaged(envelope, effects)
    assert refuse_damaged(damaged(envelope), effects)
    (record,) = effects.take()
    assert isinstance(record, Discard)
    assert (record.rule, record.n, record.message) == ("R25", 5, "Ack")
