"""Laws of the grant that KVM knows, whatever news come, and in whatever order (R6)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from contract.messages import EventCreated, Revoke
from contract.network import CAPACITY
from contract.spec import LEASE_NS
from kvm_svc.hypervisor.grant import RENEW_LIMIT, EarlyRevokes, KnownGrant
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.kvm_svc.rig import VCPU
from tests.kvm_svc.told import EVENT, asked

News = tuple[str, int]
NUMBERS = st.integers(1, 6)
NEWS = st.lists(
    st.one_of(st.tuples(st.sampled_from(["hold", "hold", "revoke"]), NUMBERS), st.just(("end", 0))), max_size=20
)
UNTIL = st.integers(1, 10 * LEASE_NS)


def hear(known: KnownGrant, news: News) -> None:
    """As the notifications do it: a grant that is revoked ends."""
    what, number = news
    if what == "hold" and not known.is_old(number):
        known.hold(number, 0)
    elif what == "end" or (what == "revoke" and known.revoke(number)):
        known.end()


@given(NEWS)
def test_the_newest_number_never_falls_and_an_ended_grant_is_never_current_again(news: list[News]) -> None:
    known = KnownGrant()
    ended: set[int] = set()
    for each in news:
        newest, before = known.newest, known.number
        hear(known, each)
        assert known.newest >= newest
        assert known.number in (0, known.newest)
        if known.number != before:
            ended.add(before)
        assert known.number == 0 or known.number not in ended
        assert all(known.is_old(number) for number in ended if number)
        assert known.number == 0 or not known.is_old(known.number)


@given(NEWS, NUMBERS, UNTIL)
def test_news_of_an_old_grant_changes_nothing(news: list[News], number: int, until: int) -> None:
    """Not even where nobody asks first whether it is old."""
    known = KnownGrant()
    for each in news:
        hear(known, each)
    if known.is_old(number):
        before = known.clone()
        assert not known.hold(number, until)
        assert known == before


@given(st.permutations([(what, n) for n in (1, 2, 3) for what in ("hold", "revoke")]), st.booleans())
def test_the_order_of_news_makes_no_difference(news: list[News], last_goes_on: bool) -> None:
    """A Revoke that overtakes the news of its grant ends that grant beforehand."""
    known = KnownGrant()
    for each in news:
        if not (last_goes_on and each == ("revoke", 3)):
            hear(known, each)
    assert (known.number, known.newest) == (3 if last_goes_on else 0, 3)


@given(st.lists(UNTIL, min_size=1, max_size=5), UNTIL)
def test_a_lease_ends_at_the_latest_time_that_was_told(untils: list[int], now: int) -> None:
    known = KnownGrant()
    for until in untils:
        known.hold(1, until)
    assert known.is_over(now) == (now >= max(untils))
    known.end()
    assert not known.is_over(now)


@given(UNTIL, UNTIL)
def test_a_lease_belongs_to_its_grant(until: int, now: int) -> None:
    known = KnownGrant()
    known.hold(1, until)
    known.hold(2, 0)
    assert (known.is_over(now), known.renew(now)) == (False, 0)
    assert not known.hold(1, 2 * until)
    assert not known.is_over(now)


@given(st.integers(1, 2 * LEASE_NS), st.lists(st.integers(1, LEASE_NS), max_size=10))
@example(LEASE_NS, [LEASE_NS // 2, LEASE_NS // 4 - 1, 1])
@example(LEASE_NS, [LEASE_NS, 8 * LEASE_NS, 16 * LEASE_NS])
def test_a_grant_is_renewed_from_half_of_its_lease_on_until_it_is_prolonged(until: int, passing: list[int]) -> None:
    known = KnownGrant()
    known.hold(1, until)
    now, due = 0, until - LEASE_NS // 2
    for ns in passing:
        now += ns
        expected = 0 < due <= now
        assert known.renew(now) == (1 if expected else 0)
        assert known.renew(now) == 0
        due = now + min(max(LEASE_NS // 4, now - until), RENEW_LIMIT) if expected else due
    known.hold(1, now + until + LEASE_NS)
    assert known.renew(now) == 0
    assert known.renew(now + until + LEASE_NS // 2) == 1
    known.end()
    assert known == KnownGrant(newest=1)


def test_a_lease_that_is_over_is_renewed_ever_more_rarely() -> None:
    """A link may be held for a minute. All that KVM sends meanwhile waits in the inbox of the host, which takes 1,024.
    It does not take much longer than the link, before KVM has its grant again."""
    known = KnownGrant()
    known.hold(1, LEASE_NS)
    sent = [now for now in range(0, 6000 * LEASE_NS, LEASE_NS // 8) if known.renew(now)]
    pauses = [after - before for before, after in pairwise(sent)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (LEASE_NS // 4, RENEW_LIMIT)
    assert len(sent) < CAPACITY / 2


@given(st.lists(st.tuples(st.integers(1, 3), NUMBERS)), st.integers(1, 3), st.integers(0, 6))
def test_an_early_revoke_ends_its_grant_and_all_before_it_once(
    kept: list[tuple[int, int]], event: int, number: int
) -> None:
    early = EarlyRevokes()
    for each, grant in kept:
        early.keep(each, grant)
    newest = max((grant for each, grant in kept if each == event), default=0)
    assert early.end(event, number) == (0 < number <= newest)
    assert not early.end(event, number)
    assert early.grants.keys() >= {each for each, _ in kept} - {event}


@cases("revokes", [(3, 4), (4, 3)])
@cases(("grant", "phase"), [(3, "lost"), (4, "lost"), (5, "held")])
def test_a_revoke_that_overtakes_event_created_wins(revokes: tuple[int, int], grant: int, phase: str) -> None:
    told = asked(REVOKE_GP)
    for number in revokes:
        told.tell(Revoke(EVENT, number, ""))
    told.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=grant))
    assert told.claim.phase == phase
    assert told.grant.number == (grant if phase == "held" else 0)
