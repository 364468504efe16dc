"""stream-kept: messages are numbered, taken, acknowledged and sent again as the rules say."""

from __future__ import annotations

from collections.abc import Sequence

from client.check.judge import Finding
from contract.messages import CreateEvent, Drain, Drained, Hello, Received, Resume, Welcome
from contract.trace import AnyRecord
from tests.cases import cases
from tests.client.check.runs import HELD, IDLE, VIOLATED
from tests.client.check.streams import (
    HELLO,
    at_rest,
    came,
    changed,
    crashed,
    judged,
    lost,
    received,
    sent,
    thrown,
    unanswered,
)
from tests.designs import REVOKE_GP

NAME = "stream-kept"
THREE = [*HELLO, sent(2, 2), sent(3, 3), sent(4, 4)]
MANY: list[AnyRecord] = [*HELLO, *[sent(n, n) for n in range(2, 65)]]
"""64 places are out."""

NO = Welcome(False, reason="protocol 4, this host speaks 5")


def welcomed(n: int, place: int) -> list[AnyRecord]:
    """The host answers Resume, and KVM takes that."""
    return [sent(n, 0, Welcome(True, acknowledged=place), to_host=False), came(n, to_host=False)]


KEPT: dict[str, Sequence[AnyRecord]] = {
    "repeats all that is not acknowledged": [*THREE, *received(1, 1), sent(5, 2), sent(6, 3), sent(7, 4)],
    "repeats a part": [*THREE, *received(1, 1), sent(5, 2), sent(6, 2), sent(7, 3)],
    "discards what it has taken": [*HELLO, sent(2, 2), came(2, "duplicate"), came(2), thrown(2, "R3")],
    "discards what is damaged": [*HELLO, *received(1, 1), sent(2, 2),
                                 came(2, "corrupt"), thrown(2, "R25"), sent(3, 2), came(3)],
    "discards what comes too early": [*THREE, came(3, "overtake"), thrown(3, "R9"), came(2)],
    "takes what a later rule discards": [*HELLO, sent(2, 2), came(2, "duplicate"), thrown(2, "R6"), sent(3, 3),
                                         came(2), thrown(2, "R3"), came(3)],
    "gives up a number": [*HELLO, sent(2, 2), came(2, "drop"), thrown(3, "R4"), sent(4, 3)],
    "resumes": [*THREE, lost(), sent(5, 0, Resume("kvm0", 5, 1, 0)), came(5), came(2, "lose"),
                sent(1, 0, Welcome(True, acknowledged=1), to_host=False), came(1, to_host=False), sent(6, 2)],
    "resumes twice, and the second answer acknowledges more": [
        *THREE, came(2, "lose"), came(3, "lose"), came(4, "lose"), lost(), sent(5, 0, Resume("kvm0", 5, 1, 0)),
        came(5, "duplicate"), *welcomed(1, 1), sent(6, 2), sent(7, 3), sent(8, 4), came(6), came(7), came(5),
        *welcomed(2, 3), sent(9, 4)],
    "is refused": [*HELLO, sent(2, 2), came(2, "drop"), sent(1, 1, NO, to_host=False), came(1, to_host=False),
                   at_rest()],
    "is refused when it resumes": [
        *HELLO, sent(1, 1, Welcome(True), to_host=False), came(1, "lose", to_host=False), lost(to_host=False), lost(),
        sent(2, 0, Resume("kvm0", 4, 1, 0)), came(2), sent(2, 0, NO, to_host=False), came(2, to_host=False), at_rest()],
    "discards what is of the last epoch": [
        *THREE, sent(1, 1, Hello("kvm0"), epoch=2), came(1), came(2, "duplicate"), thrown(2, "R5"),
        came(3), thrown(3, "R9")],
    "discards what is damaged, for whatever reason": [*HELLO, sent(2, 2), came(2, "corrupt"), thrown(2, "R9")],
    "discards what comes when the session is over": [
        *HELLO, sent(2, 1, Hello("kvm0")), changed("ended", to_host=False), came(2), thrown(2, "R22"), lost()],
    "is over at the end": [*HELLO, sent(2, 2), came(2, "drop"), changed("ended"), at_rest()],
    "was not heard when its host crashed": [
        *HELLO, sent(1, 1, Welcome(True), to_host=False), came(1, "drop", to_host=False), crashed(), at_rest()],
    "hears Received and Resume before Hello": [
        sent(1, 1, Hello("kvm0")), came(1, "drop"), sent(2, 0, Received(0)), came(2),
        sent(3, 0, Resume("kvm0", 5, 1, 0)), came(3), lost()],
    "resumes an epoch whose Hello was lost": [
        *HELLO, sent(1, 1, Hello("kvm0"), epoch=2), came(1, "lose"), lost(),
        sent(2, 0, Resume("kvm0", 5, 2, 0), epoch=2), came(2), lost()],
    "repeats its Hello in a new epoch": [
        *HELLO, *received(1, 1), sent(1, 1, Hello("kvm0"), epoch=2), sent(2, 1, Hello("kvm0"), epoch=2)],
    "asks in the epoch after Drain": [
        *HELLO, sent(2, 2, Drain()), sent(3, 1, Hello("kvm0")), sent(1, 1, Hello("kvm0"), epoch=2),
        sent(2, 2, CreateEvent("vm0/0", 1), epoch=2)],
    "begins a new epoch": [*THREE, came(2, "lose"), sent(1, 1, Hello("kvm0"), epoch=2), came(1)],
    "says that it does not know an epoch": [*HELLO, sent(2, 2), came(2, "drop"), *[
        sent(1, 0, Welcome(False, reason="unknown epoch"), to_host=False)] * 2],
    "has lost its link at the end": [*HELLO, sent(2, 2), lost(), came(2, "lose"), at_rest()],
    "has lost its host": [*HELLO, crashed(), sent(2, 2), came(2, "duplicate"), thrown(2, "R1"), came(2),
                          thrown(2, "R1"), at_rest()],
    "acknowledges what has come": [*HELLO, came(1, "lose"), *received(1, 1)],
    "drains": [*HELLO, sent(2, 2, CreateEvent("vm0/0", 1)), sent(3, 3, Drain()), sent(4, 1, Hello("kvm0")),
               sent(5, 2, CreateEvent("vm0/0", 1)), sent(6, 3, Drain()), sent(7, 0, Received(0)), sent(8, 4),
               sent(9, 5, Drained()), sent(10, 0, Received(0))],
    "sends what has waited behind a full window": [
        *MANY, sent(1, 1, Drain(), to_host=False), came(1, "duplicate", to_host=False), *received(2, 1),
        sent(65, 65, CreateEvent("vm0/0", 1))],
    "repeats the oldest to a silent end, and all after an answer": [
        *THREE, *received(1, 1), sent(5, 2), sent(6, 3), unanswered(), sent(7, 2), sent(8, 2), came(8), *received(2, 2),
        sent(9, 3), sent(10, 4)],
    "repeats all to a silent end that has answered Resume": [
        *THREE, *received(1, 1), unanswered(), lost(), sent(5, 0, Resume("kvm0", 5, 1, 0)), came(5), *welcomed(2, 1),
        sent(6, 2), sent(7, 3)],
    "repeats all in a new epoch": [
        *THREE, *received(1, 1), unanswered(), sent(1, 1, Hello("kvm0"), epoch=2), sent(2, 2, epoch=2),
        sent(3, 1, Hello("kvm0"), epoch=2), sent(4, 2, epoch=2), lost()],
    "pauses": [*MANY, *received(1, 1), sent(65, 65), came(2, "drop")],
}  # fmt: skip
BROKEN: dict[str, tuple[str, Sequence[AnyRecord]]] = {
    "R1: Ack of kvm0, place 1, is taken and comes before Hello": ("without Hello", [sent(1, 1), came(1), lost()]),
    "R2: Ack of kvm0, place 2, has number 3 after 1": ("a number is left out", [*HELLO, sent(3, 2)]),
    "R3: Ack of kvm0, place 2, is taken and was taken before": (
        "twice", [*HELLO, sent(2, 2), came(2, "duplicate"), came(2), at_rest()],
    ),
    "R5: Ack of kvm0, place 2, is taken and is of epoch 1, and epoch 2 has begun": (
        "of the last epoch", [*THREE, sent(1, 1, Hello("kvm0"), epoch=2), came(1), came(2), lost()],
    ),
    "R5: Ack of kvm0, place 2, is of epoch 1, and epoch 2 has begun": (
        "sent in the last epoch", [sent(1, 1, Hello("kvm0"), epoch=2), sent(2, 2)],
    ),
    "R9: Ack of kvm0, place 4, is sent again, and place 2 is not before it": (
        "the newest again", [*THREE, *received(1, 1), sent(5, 4)],
    ),
    "R9: Ack of kvm0, place 4, is sent again, and place 3 is not before it": (
        "a hole in a repetition", [*THREE, *received(1, 1), sent(5, 2), sent(6, 4)],
    ),
    "R9: Ack of kvm0, place 5, is sent again, and place 3 is not before it": (
        "after an acknowledgement it begins again",
        [*THREE, sent(5, 5), *received(1, 1), sent(6, 2), sent(7, 3), sent(8, 4), came(2), *received(2, 2), sent(9, 5)],
    ),
    "R9: Ack of kvm0, place 3, is sent again, and place 1 is not before it": (
        "after a new epoch it begins again",
        [*THREE, *received(1, 1), sent(5, 2), sent(1, 1, Hello("kvm0"), epoch=2), sent(2, 2, epoch=2),
         sent(3, 3, epoch=2), sent(4, 3, epoch=2)],
    ),
    "R9: Ack of kvm0, place 3, is sent again to an end that is silent, and place 2 is older": (
        "all to a silent end", [*THREE, *received(1, 1), unanswered(), sent(5, 2), sent(6, 3)],
    ),
    "R9: Ack of kvm0, place 2, is sent again, and was acknowledged": (
        "an acknowledgement that comes late takes none back",
        [*THREE, came(2), came(3), *received(1, 3), *received(2, 1), sent(5, 2)],
    ),
    "R9: place 4 of kvm0 is not taken at rest": (
        "left behind in the epoch after a lost link",
        [*HELLO, lost(), sent(1, 1, Hello("kvm0"), epoch=2), came(1), *[sent(n, n, epoch=2) for n in (2, 3, 4)],
         came(2), came(3), came(4, "drop"), at_rest()],
    ),
    "R9: Hello of kvm0, place 1, is sent again, and was acknowledged": (
        "acknowledged, and again", [*HELLO, *received(1, 1), sent(2, 1, Hello("kvm0"))],
    ),
    "R9: Ack of kvm0, place 4, has place 4 after 1": ("a place is left out", [*HELLO, sent(2, 4)]),
    "R9: Ack of kvm0, place 3, is taken and has place 3, and 2 has not come": (
        "a gap", [*THREE, came(3, "overtake"), at_rest()],
    ),
    "R9: Received of the host, number 1, acknowledges place 2, and 1 is the last that was taken": (
        "what has not come", [*HELLO, sent(1, 0, Received(2), to_host=False)],
    ),
    "R9: Ack of kvm0, place 65, is one of 65 that are not acknowledged": ("a full window", [*MANY, sent(65, 65)]),
    "R9: Welcome of the host, number 1, acknowledges place 2, and 1 is the last that was taken": (
        "what has not come, in Welcome", [*HELLO, sent(1, 0, Welcome(True, acknowledged=2), to_host=False)],
    ),
    "R9: Resume of kvm0, number 2, acknowledges place 1, and 0 is the last that was taken": (
        "what has not come, in Resume", [*HELLO, sent(2, 0, Resume("kvm0", 5, 1, 1))],
    ),
    "R9: Welcome of the host, place 1, is sent again, and was acknowledged": (
        "what Resume acknowledges, again",
        [*HELLO, sent(1, 1, Welcome(True), to_host=False), came(1, to_host=False), sent(2, 0, Resume("kvm0", 5, 1, 1)),
         came(2), sent(2, 1, Welcome(True), to_host=False)],
    ),
    "R5: Hello of kvm0, place 1, is taken and is of epoch 1, and epoch 2 has begun": (
        "an old greeting",
        [*HELLO, sent(2, 1, Hello("kvm0")), sent(1, 1, Hello("kvm0"), epoch=2), came(1), came(2), lost()],
    ),
    "R5: Ack of kvm0, place 2, is discarded, and could be taken": (
        "it throws away its own epoch", [*HELLO, sent(2, 2), came(2), thrown(2, "R5")],
    ),
    "R3: Ack of kvm0, place 2, is discarded, and could be taken": (
        "it throws away what is new", [*HELLO, sent(2, 2), came(2), thrown(2, "R3")],
    ),
    "R9: Ack of kvm0, place 2, is discarded, and could be taken": (
        "it throws away the next", [*HELLO, sent(2, 2), came(2), thrown(2, "R9")],
    ),
    "R9: place 2 of kvm0 is not taken at rest": ("left behind", [*HELLO, sent(2, 2), came(2, "drop"), at_rest()]),
    "R9: place 3 of kvm0 is not taken at rest": (
        "left behind after Resume",
        [*HELLO, *received(1, 1), sent(2, 2), came(2), sent(3, 3), came(3, "lose"), lost(),
         sent(4, 0, Resume("kvm0", 5, 1, 0)), came(4), *welcomed(2, 2), at_rest()],
    ),
    "R24: CreateEvent of kvm0, place 3, asks for something after Drain": (
        "asks on", [*HELLO, sent(2, 2, Drain()), sent(3, 3, CreateEvent("vm0/0", 1))],
    ),
    "R24: CreateEvent of kvm0, place 2, asks for something after Drain": (
        "asks on, and the host has drained",
        [*HELLO, sent(1, 1, Drain(), to_host=False), came(1, to_host=False), sent(2, 2, CreateEvent("vm0/0", 1))],
    ),
    "R24: Ack of kvm0, place 3, comes after Drained": ("speaks on", [*HELLO, sent(2, 2, Drained()), sent(3, 3)]),
    "R25: Ack of kvm0, place 2, is taken and is damaged": (
        "damaged", [*HELLO, sent(2, 2), came(2, "corrupt"), lost()],
    ),
}  # fmt: skip


@cases("kept", KEPT)
def test_held(kept: str) -> None:
    assert judged(NAME, KEPT[kept]).verdict == HELD


@cases("text", BROKEN)
def test_violated(text: str) -> None:
    found = judged(NAME, BROKEN[text][1])
    assert found.verdict == VIOLATED
    assert found.violations[0].text == text


def test_a_message_that_comes_once_and_in_order_shows_nothing() -> None:
    assert judged(NAME, [*HELLO, sent(2, 2), came(2), *received(1, 2), at_rest()]).verdict == IDLE


def test_a_place_that_is_left_out_is_told_once() -> None:
    assert len(judged(NAME, [*HELLO, sent(2, 4), sent(3, 5)]).violations) == 1
    late = came(3, "overtake"), came(4, "overtake")
    assert len(judged(NAME, [*THREE, *late, at_rest()]).violations) == 1


LATE: list[AnyRecord] = [sent(1, 0, Hello("kvm0")), came(1), sent(2), sent(3), came(3, "overtake")]
"""A stream that is not repaired: number 2 is overtaken."""


def test_a_stream_that_is_not_repaired_has_no_order_and_takes_each_number_once() -> None:
    late = [*LATE, came(2, "duplicate")]
    assert judged(NAME, [*late, at_rest()], REVOKE_GP).verdict == HELD
    again = judged(NAME, [*late, came(2), at_rest()], REVOKE_GP)
    assert again.violations[0].text == "R3: Ack of kvm0, number 2, is taken and was taken before"
    resumed: list[AnyRecord] = [sent(4, 0, Resume("kvm0", 5, 1, 0)), came(4, "duplicate")]
    assert judged(NAME, [*late, *resumed, came(4), thrown(4, "R3")], REVOKE_GP).verdict == HELD


@cases("rule", ["R3", "R4"])
def test_a_stream_that_is_not_repaired_takes_what_was_overtaken(rule: str) -> None:
    text = f"{rule}: Ack of kvm0, number 2, is discarded, and could be taken"
    assert judged(NAME, [*LATE, came(2), thrown(2, rule)], REVOKE_GP).violations[0].text == text
    assert judged(NAME, [*LATE[:3], came(2), thrown(2, rule)], REVOKE_GP).violations[0].text == text
    assert old(1025, rule).violations[0].text == text
    assert old(1026, rule).verdict == HELD


def old(newest: int, rule: str) -> Finding:
    """A message is discarded that newer ones have overtaken."""
    sends = [sent(n) for n in range(4, newest + 1)]
    return judged(NAME, [*LATE, *sends, came(newest, "overtake"), came(2), thrown(2, rule)], REVOKE_GP)


def test_a_new_epoch_of_a_stream_that_is_not_repaired_numbers_from_1() -> None:
    fresh: list[AnyRecord] = [*LATE, came(2, "drop"), sent(1, 0, Hello("kvm0"), epoch=2), came(1, "duplicate")]
    assert judged(NAME, [*fresh, came(1), thrown(1, "R3")], REVOKE_GP).verdict == HELD
    fresh += [sent(2, epoch=2), came(2, "duplicate"), came(2)]
    again = judged(NAME, [*fresh, at_rest()], REVOKE_GP)
    assert [v.text for v in again.violations] == ["R3: Ack of kvm0, number 2, is taken and was taken before"]


def test_an_end_that_has_drained_a_stream_that_is_not_repaired_is_silent() -> None:
    asked = judged(NAME, [*LATE, sent(4, 0, Drain()), sent(5, 0, CreateEvent("vm0/0", 1))], REVOKE_GP)
    assert asked.violations[0].text == "R24: CreateEvent of kvm0, number 5, asks for something after Drain"
