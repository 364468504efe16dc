"""Keys of states: what is renamed, and what must stay apart."""

from __future__ import annotations

from collections.abc import Hashable

from contract.canonical import (
    At,
    Event,
    Grant,
    Message,
    Missing,
    Place,
    Request,
    Scoped,
    Serial,
    address,
    canonical,
    marked,
    register,
)
from contract.messages import Ack, Envelope, EventCreated, LbrImage, Received
from contract.provenance import branch_base
from contract.trace import Discard, Retired, Send
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_FROM
from tests.cases import cases

JMP = branch_base(3, True, "jmp", "user")
CALL = branch_base(3, True, "call", "user")


def test_numbers_are_renamed_by_rank() -> None:
    for mark in (Event, Grant, Request, Serial):
        assert canonical((mark(7), mark(9), mark(7)), 0) == canonical((mark(100), mark(300), mark(100)), 0)


def test_equal_and_different_numbers_stay_so() -> None:
    assert canonical((Event(7), Event(7)), 0) != canonical((Event(7), Event(8)), 0)


def test_the_order_of_numbers_stays() -> None:
    assert canonical((Grant(7), Grant(8)), 0) != canonical((Grant(8), Grant(7)), 0)


def test_kinds_do_not_mix() -> None:
    assert canonical((Event(1), Grant(2)), 0) == canonical((Event(2), Grant(1)), 0)
    assert canonical((Event(1),), 0) != canonical((Grant(1),), 0)


def test_no_event_and_no_grant_are_not_renamed() -> None:
    assert canonical((Event(0), Grant(0), Request(0)), 5) == (0, 0, 0)
    assert canonical((Event(0),), 0) != canonical((Event(1),), 0)


def test_times_are_relative_to_now() -> None:
    assert canonical(At(1500), 1000) == canonical(At(2500), 2000)
    assert canonical(At(1500), 1000) != canonical(At(1500), 1001)
    assert canonical((At(0), At(-1)), 7) == (0, -1)


def test_a_place_counts_from_the_lowest_of_its_direction() -> None:
    there, back = ("kvm0", True), ("kvm0", False)
    near = canonical((Place(*there, 5), Place(*there, 6), Place(*back, 2)), 0)
    assert near == canonical((Place(*there, 8), Place(*there, 9), Place(*back, 7)), 0)
    assert near != canonical((Place(*there, 5), Place(*there, 7), Place(*back, 2)), 0)


def test_messages_are_numbered_by_direction_and_session() -> None:
    assert canonical((Message("a", True, 4), Message("a", False, 9)), 0) == canonical(
        (Message("a", True, 9), Message("a", False, 4)), 0
    )
    assert canonical((Message("a", True, 4), Message("a", True, 9)), 0) != canonical(
        (Message("a", True, 9), Message("a", True, 4)), 0
    )


def test_a_missing_message_counts_only_while_it_can_come() -> None:
    holes = frozenset({Missing("a", True, 3), Missing("a", True, 5)})
    assert canonical((Message("a", True, 9), holes), 0) == canonical((Message("a", True, 9), frozenset()), 0)
    flying = canonical((Message("a", True, 9), Message("a", True, 5), holes), 0)
    assert flying != canonical((Message("a", True, 9), Message("a", True, 5), frozenset()), 0)


def test_numbers_of_two_hosts_and_of_two_kvms_are_not_compared() -> None:
    one = (Scoped("h0", "", Grant(1)), Scoped("h1", "", Grant(5)), Scoped("h0", "k0", Request(1)))
    other = (Scoped("h0", "", Grant(5)), Scoped("h1", "", Grant(1)), Scoped("h0", "k0", Request(2)))
    assert canonical(one, 0) == canonical(other, 0)
    same_host = canonical((Scoped("h0", "", Event(3)), Scoped("h0", "k0", Event(3))), 0)
    assert same_host != canonical((Scoped("h0", "", Event(3)), Scoped("h0", "k0", Event(4))), 0)


def test_requests_are_numbered_by_kvm_and_grants_by_host() -> None:
    def of_two_kvms(first: Hashable, second: Hashable) -> Hashable:
        return canonical((Scoped("h0", "k0", first), Scoped("h0", "k1", second)), 0)

    assert of_two_kvms(Request(1), Request(5)) == of_two_kvms(Request(5), Request(1))
    assert of_two_kvms(Grant(1), Grant(5)) != of_two_kvms(Grant(5), Grant(1))


def test_an_address_has_only_its_serial_renamed() -> None:
    assert canonical(address(JMP + 2 * 40), 0) == canonical(address(JMP + 2 * 50), 0)
    assert canonical(address(JMP + 2 * 40), 0) != canonical(address(CALL + 2 * 40), 0)
    assert canonical(address(JMP + 2 * 40 + 1), 0) != canonical(address(JMP + 2 * 40), 0)
    assert address(0) == 0
    assert address(0x1234) == 0x1234


def test_only_from_and_to_registers_hold_addresses() -> None:
    assert register(MSR_LBR_FROM + 3, JMP + 8) == address(JMP + 8)
    assert register(IA32_DEBUGCTL, JMP + 8) == JMP + 8


def test_a_message_is_marked_by_its_fields() -> None:
    def sent(seq: int, event: int, until: int) -> Envelope:
        return Envelope("kvm0", False, 1, seq, EventCreated("vm0/0", 3, event, "", "ACTIVE", 8, until))

    assert canonical(marked(sent(4, 2, 700)), 100) == canonical(marked(sent(6, 3, 800)), 200)
    assert canonical(marked(sent(4, 2, 700)), 100) != canonical(marked(sent(4, 2, 701)), 100)


def test_a_receipt_tells_of_the_other_direction() -> None:
    receipt = marked(Envelope("kvm0", False, 1, 4, Received(7)))
    there, back = Place("kvm0", True, 8), Place("kvm0", False, 8)
    assert canonical((receipt, there), 0) != canonical((receipt, Place("kvm0", True, 9)), 0)
    assert canonical((receipt, back), 0) == canonical((receipt, Place("kvm0", False, 9)), 0)


def test_an_image_is_marked_by_its_fields() -> None:
    def image(first: int) -> LbrImage:
        return LbrImage(0, 1, [JMP + 2 * first, 0], [JMP + 2 * first + 1, 0], [1, 0])

    assert canonical(marked(image(5)), 0) == canonical(marked(image(9)), 0)


def test_records_are_equal_up_to_renaming() -> None:
    def records(n: int) -> list[object]:
        return [
            Send("kvm0", True, 1, n, 10 * n, Ack(n), seq=10 * n, time=100 * n),
            Retired(0, 3, True, "jmp", "user", 7 * n, 4, True, seq=10 * n + 1, time=100 * n),
            Discard("kvm0", True, n, "Ack", "R6", f"grant {n} is none of this session", seq=10 * n + 2, time=100 * n),
        ]

    assert canonical(marked(records(2)), 200) == canonical(marked(records(5)), 500)
    changed = records(5)
    changed[1] = Retired(0, 3, True, "jmp", "user", 35, 5, True, time=500)
    assert canonical(marked(records(2)), 200) != canonical(marked(changed), 500)


@cases("msr", [0x680, 0x6DF, 0x40, 0x60, 0x1500, 0x151F, 0x1600])
def test_a_from_or_to_register_of_every_lbr_holds_an_address(msr: int) -> None:
    value = branch_base(1, True, "jmp", "user") + 2 * 77
    assert register(msr, value) == address(value) != value
    assert register(0x1C9, value) == value
