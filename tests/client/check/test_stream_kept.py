"""stream-kept: messages are numbered, taken, acknowledged and sent again as the rules say."""

from __future__ import annotations

from collections.abc import Sequence

from contract.messages import CreateEvent, Drain, Drained, Hello, Received, Resume, Welcome
from contract.trace import AnyRecord
from tests.cases import cases
from tests.client.check.runs import HELD, IDLE, VIOLATED
from tests.client.check.streams import HELLO, at_rest, came, crashed, judged, lost, received, sent, thrown
from tests.designs import REVOKE_GP

NAME = "stream-kept"
THREE = [*HELLO, sent(2, 2), sent(3, 3), sent(4, 4)]
MANY: list[AnyRecord] = [*HELLO, *[sent(n, n) for n in range(2, 65)]]
"""64 places are out."""

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
    "R9: Ack of kvm0, place 2, is discarded, and could be taken": (
        "it throws away the next", [*HELLO, sent(2, 2), came(2), thrown(2, "R9")],
    ),
    "R9: place 2 of kvm0 is not taken at rest": ("left behind", [*HELLO, sent(2, 2), came(2, "drop"), at_rest()]),
    "R24: CreateEvent of kvm0, place 3, asks for something after Drain": (
        "asks on", [*HELLO, sent(2, 2, Drain()), sent(3, 3, CreateEvent("vm0/0", 1))],
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


def test_a_stream_that_is_not_repaired_has_no_order_and_takes_each_number_once() -> None:
    late: list[AnyRecord] = [sent(1, 0, Hello("kvm0")), came(1), sent(2), sent(3)]
    late += [came(3, "overtake"), came(2, "duplicate")]
    assert judged(NAME, [*late, at_rest()], REVOKE_GP).verdict == HELD
    again = judged(NAME, [*late, came(2), at_rest()], REVOKE_GP)
    assert again.violations[0].text == "R3: Ack of kvm0, number 2, is taken and was taken before"
