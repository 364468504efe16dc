"""Messages in flight: the fate of each, and queues that do not wait for each other."""

from __future__ import annotations

import copy

import pytest

from contract.effects import Clock, Effects
from contract.errors import PeerContractError, RefusedError
from contract.messages import RegisterVcpu
from contract.network import CAPACITY, Fate, Network
from contract.trace import Delivery, Recorder
from tests.cases import cases
from tests.sessions import End

BODY = RegisterVcpu("v", "v")


def filled(count: int = 3) -> tuple[Network, Recorder]:
    network, log, kvm = Network(), Recorder(), End("k", is_host=False)
    for _ in range(count):
        network.put(kvm.one(BODY, Effects(Clock())))
    return network, log


def numbers(network: Network) -> list[int]:
    return [e.seq for e in network.waiting("k", True)]


@cases(
    ("fate", "n", "taken", "left"),
    [
        (Fate.TAKE, 1, True, [2, 3]),
        (Fate.DROP, 1, False, [2, 3]),
        (Fate.DUPLICATE, 1, True, [1, 2, 3]),
        (Fate.OVERTAKE, 2, True, [1, 3]),
        (Fate.OVERTAKE, 3, True, [1, 2]),
        (Fate.CORRUPT, 1, True, [2, 3]),
        (Fate.HOLD, 1, False, [1, 2, 3]),
    ],
)
def test_fates(fate: Fate, n: int, taken: bool, left: list[int]) -> None:
    network, log = filled()
    envelope = network.decide(fate, "k", True, n, log)
    assert (envelope.seq if envelope else None) == (n if taken else None)
    assert numbers(network) == left
    (record,) = log.records
    assert isinstance(record, Delivery)
    assert (record.fate, record.session, record.to_host, record.n, record.message) == (
        str(fate),
        "k",
        True,
        n,
        "RegisterVcpu",
    )


@cases(
    ("fate", "session", "n", "errno"),
    [
        (Fate.TAKE, "k", 2, "EINVAL"),
        (Fate.DROP, "k", 3, "EINVAL"),
        (Fate.DUPLICATE, "k", 2, "EINVAL"),
        (Fate.OVERTAKE, "k", 1, "EINVAL"),
        (Fate.TAKE, "k", 4, "ENOENT"),
        (Fate.TAKE, "other", 1, "ENOENT"),
    ],
)
def test_refusals_change_nothing(fate: Fate, session: str, n: int, errno: str) -> None:
    network, log = filled()
    before = copy.deepcopy(network.queues)
    with pytest.raises(RefusedError) as refused:
        network.decide(fate, session, True, n, log)
    assert refused.value.errno == errno
    assert network.queues == before
    assert log.records == []


def test_sessions_do_not_wait_for_each_other() -> None:
    network, log = filled()
    network.put(End("other", is_host=False).one(BODY, Effects(Clock())))
    taken = network.decide(Fate.TAKE, "other", True, 1, log)
    assert taken is not None
    assert taken.session == "other"
    assert numbers(network) == [1, 2, 3]


def test_a_session_that_sends_beyond_its_credits_breaks_the_contract() -> None:
    network, _ = filled(CAPACITY)
    with pytest.raises(PeerContractError, match="k has more than 1024"):
        network.put(End("k", is_host=False).one(BODY, Effects(Clock())))
    assert len(network.waiting("k", True)) == CAPACITY
    network.put(End("other", is_host=False).one(BODY, Effects(Clock())))


def test_the_two_directions_of_a_session_are_apart() -> None:
    network, log = filled()
    back = End("k", is_host=True).one(BODY, Effects(Clock()))
    network.put(back)
    assert network.heads() == [network.waiting("k", True)[0], back]
    assert network.decide(Fate.TAKE, "k", False, 1, log) == back
    assert numbers(network) == [1, 2, 3]


def test_a_clone_goes_its_own_way() -> None:
    network, log = filled()
    twin = network.clone()
    assert twin.key() == network.key()
    twin.decide(Fate.DROP, "k", True, 1, log)
    assert (numbers(network), numbers(twin)) == ([1, 2, 3], [2, 3])
    assert twin.key() != network.key()


def test_a_held_direction_only_takes_its_release() -> None:
    """It loses nothing, and the other direction goes on."""
    network, log = filled()
    with pytest.raises(RefusedError, match="cannot release message 1 of session 'k': its direction is not held"):
        network.decide(Fate.RELEASE, "k", True, 1, log)
    network.decide(Fate.HOLD, "k", True, 1, log, "f1.1")
    held = network.clone()
    assert held.key() == network.key()
    for fate, n in ((Fate.TAKE, 1), (Fate.DROP, 1), (Fate.HOLD, 1), (Fate.CORRUPT, 1), (Fate.OVERTAKE, 2)):
        with pytest.raises(RefusedError, match="its direction is held"):
            network.decide(fate, "k", True, n, log)
    back = End("k", is_host=True).one(BODY, Effects(Clock()))
    network.put(back)
    assert network.decide(Fate.TAKE, "k", False, 1, log) == back
    assert network.decide(Fate.RELEASE, "k", True, 1, log, "f1.1") is None
    assert network.key() != held.key()
    assert numbers(network) == [1, 2, 3]
    assert network.decide(Fate.TAKE, "k", True, 1, log) is not None
    assert [(r.fate, r.fault or "") for r in log.records if isinstance(r, Delivery)] == [
        ("hold", "f1.1"), ("take", ""), ("release", "f1.1"), ("take", "")
    ]  # fmt: skip


def test_a_cut_direction_is_held_no_more() -> None:
    network, log = filled()
    network.decide(Fate.HOLD, "k", True, 1, log)
    network.cut("k", True)
    network.put(End("k", is_host=False).one(BODY, Effects(Clock())))
    assert network.decide(Fate.TAKE, "k", True, 1, log) is not None
