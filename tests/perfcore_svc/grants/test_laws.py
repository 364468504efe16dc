"""Laws of the host's grants, asked of ``Grants`` itself after whatever has happened."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from contract.control import FireHostTimer
from contract.design import Design
from contract.messages import EventState, Revoke
from contract.spec import LEASE_NS
from perfcore_svc.grants import Grants
from tests.cases import cases
from tests.perfcore_svc.test_grant_laws import DESIGNS, WAITING, Run, actions

Actions = list[tuple[Any, ...]]


def current(grants: Grants) -> set[int]:
    return {grant.number for grant in grants.state.held.values() if not grant.revoked}


@cases("design", DESIGNS, ids=lambda d: d.name)
@settings(max_examples=25)
@given(actions=actions)
def test_a_number_never_falls_and_an_ended_grant_is_never_current_again(design: Design, actions: Actions) -> None:
    run = Run(design)
    grants = run.host.grants
    ended: set[int] = set()
    for n, (what, *how) in enumerate(actions, start=1):
        newest, before = grants.state.newest, current(grants)
        run.carry_out(n, what, *how)
        now = current(grants)
        assert grants.state.newest >= newest
        assert all(number > newest for number in now - before)
        ended |= (before - now) | set(run.ear.revoked)
        events = range(1, run.host.perf.state.next_id)
        assert {n for n in range(1, newest + 1) for event in events if grants.is_current(event, n)} <= now
        assert not now & ended
        assert {e for e, grant in grants.state.held.items() if not grant.revoked} <= run.host.perf.events.keys()


@cases("design", WAITING, ids=lambda d: d.name)
@settings(max_examples=40)
@given(actions=actions)
def test_a_lease_that_is_not_prolonged_ends_at_its_time(design: Design, actions: Actions) -> None:
    """And no earlier: a task that waits for it waits until then."""
    run = Run(design)
    for n, (what, *how) in enumerate(actions, start=1):
        run.carry_out(n, what, *how)
    host, state = run.host, run.host.grants.state
    while (due := state.due.get("k", -1)) >= 0:
        awaited = [grant for grant in state.held.values() if grant.revoked and not grant.given_up]
        assert due == min(grant.expires for grant in awaited)
        if due - 1 > host.log.now:
            host.advance(due - 1 - host.log.now)
            host.do(FireHostTimer("k", "lease"))
            assert not any(grant.given_up for grant in awaited)
        host.advance(max(1, due - host.log.now))
        host.do(FireHostTimer("k", "lease"))
        assert all(grant.given_up == (grant.expires <= host.log.now) for grant in awaited)
    assert state.waits == {}
    assert not any(grant.revoked for grant in state.held.values())


@cases("design", WAITING, ids=lambda d: d.name)
@settings(max_examples=40)
@given(actions=actions)
def test_a_grant_that_is_being_ended_is_not_prolonged_but_revoked_again(design: Design, actions: Actions) -> None:
    run = Run(design)
    for n, (what, *how) in enumerate(actions, start=1):
        run.carry_out(n, what, *how)
        host, grants = run.host, run.host.grants
        for event, grant in grants.state.held.items():
            until = grant.expires
            news = grants.renew("k", grant.number)
            assert grants.renew("another", grant.number) is None
            if event not in host.perf.events:
                assert news is None
            elif grant.revoked:
                assert news == Revoke(event, grant.number, "said before")
                assert grant.expires == until
            else:
                assert isinstance(news, EventState)
                assert (news.event, news.grant, news.expires) == (event, grant.number, host.perf.kernel.now + LEASE_NS)
                assert grants.current(host.perf.events[event]) == (news.grant, news.expires)
