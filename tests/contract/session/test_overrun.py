"""R26 in one end of a session: how much may wait, and what it does when that is too much."""

from __future__ import annotations

from contract.effects import Clock, Effects
from contract.messages import OVERRUN, AnyMessage, RegisterVcpu, Welcome
from contract.session import RESEND_AFTER, UNSENT, WINDOW, SessionInput, SessionPhase, is_overrun
from contract.trace import Discard, PeerSilent, SessionChange, Timer
from tests.cases import cases
from tests.sessions import End, said

MOST = 5
DENIAL = Welcome(False, reason=OVERRUN)


def opened(*, repaired: bool = True) -> tuple[End, Effects]:
    host, effects = End("k", is_host=True, repaired=repaired, unsent=MOST), Effects(Clock())
    host.move(SessionInput.GREETED, effects)
    return host, effects


def body(n: int) -> AnyMessage:
    return RegisterVcpu(str(n), "v")


def fill(host: End, effects: Effects, count: int) -> None:
    for n in range(count):
        host.wrap(body(n), effects)


def test_as_many_may_wait_as_the_limit_says_and_no_more() -> None:
    host, effects = opened()
    fill(host, effects, WINDOW + MOST)
    assert not host.outgoing.overrun
    fill(host, effects, 1)
    assert host.outgoing.overrun
    assert End("k", is_host=True, repaired=True).outgoing.most == UNSENT


@cases("lose", [True, False], ids=["link lost", "link up"])
def test_what_waits_for_the_link_counts_too(lose: bool) -> None:
    host, effects = opened()
    if lose:
        host.lose("cut", effects)
    fill(host, effects, MOST + 1)
    assert host.outgoing.overrun == lose


def test_where_nothing_is_repaired_nothing_waits() -> None:
    host, effects = opened(repaired=False)
    fill(host, effects, WINDOW + MOST + 1)
    assert not host.outgoing.overrun


def test_an_end_that_gives_up_says_why_and_names_what_it_never_sent() -> None:
    host, effects = opened()
    fill(host, effects, WINDOW + MOST + 1)
    effects.take()
    host.give_up(effects)

    assert (host.phase, host.gave_up) == (SessionPhase.ENDED, True)
    assert (host.outgoing.waiting, host.outgoing.unacknowledged) == ([], [])
    records = effects.take()
    assert [(r.rule, r.to_host) for r in records if isinstance(r, Discard)] == [("R26", False)] * (MOST + 1)
    (change,) = (r for r in records if isinstance(r, SessionChange))
    assert (change.old, change.new, change.reason) == ("open", "ended", "limit unsent: more than 5 messages wait")
    assert is_overrun(change)
    host.end("again", effects)
    assert not is_overrun(SessionChange("k", False, 1, "open", "ended", "both ends have drained"))
    assert effects.take() == []


def test_the_end_of_the_epoch_is_told_again_and_again_until_it_is_over() -> None:
    host, effects = opened()
    host.give_up(effects)
    effects.take()
    told = 0
    for _ in range(6):
        told += len(said(lambda effects: host.repeat(DENIAL, effects), effects))
        effects.clock.now = host.outgoing.due
    records = effects.take()

    assert told == 6
    assert len([r for r in records if isinstance(r, PeerSilent)]) == 1
    waits = [r.due for r in records if isinstance(r, Timer)]
    assert waits == [RESEND_AFTER * (2**n - 1) for n in range(1, 6)] + [RESEND_AFTER * (31 + 16)]
    host.end("epoch 2 begins", effects)
    assert [r.due for r in effects.take() if isinstance(r, Timer)] == [-1]
