"""Ways to take a rule of the contract away from the production code, for one test.

The rules that an axis of designs takes away are in ``contract.rules``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from contract.messages import AnyMessage, Envelope, Hello, RegisterVcpu
from contract.session import Session
from contract.session.incoming import Incoming
from contract.session.outgoing import Numbered, Outgoing
from contract.trace import TaskExit
from kvm_svc import endpoint as kvm_endpoint
from kvm_svc.hypervisor.grant import EarlyRevokes, KnownGrant
from perfcore_svc import endpoint as host_endpoint
from perfcore_svc.core import HostCore

HostEnd = host_endpoint.HostEndpoint
Mutation = Callable[[pytest.MonkeyPatch], None]


def _never(*_: Any) -> bool:
    return False


def _nothing(*_: Any) -> None:
    pass


def _greeted(self: HostEnd, envelope: Envelope) -> bool:
    session = self.sessions.get(envelope.session)
    return session is not None and isinstance(envelope.body, Hello)


def a_second_hello_begins_anew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostEnd, "begins_anew", _greeted)


def _every_other(self: Outgoing, body: AnyMessage) -> Numbered:
    self.n += 1
    return Numbered((self.n + 1) // 2, 0, body)


def two_messages_have_each_number(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outgoing, "unplaced", _every_other)


def _each_time(self: Incoming, n: int) -> tuple[str, str]:
    self.newest = max(n, self.newest)
    return "", ""


def a_message_counts_each_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Incoming, "_as_it_comes", _each_time)


def _without_gap(self: Incoming, n: int) -> tuple[str, str]:
    if n != self.newest + 1:
        return "R4", f"is {n}, {self.newest + 1} is missing"
    self.newest = n
    return "", ""


def nothing_is_taken_behind_a_gap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Incoming, "_as_it_comes", _without_gap)


_accept = Session.accept


def _of_any_epoch(self: Session, envelope: Envelope, effects: Any) -> AnyMessage | None:
    return _accept(self, replace(envelope, epoch=self.epoch), effects)


def a_message_of_any_epoch_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "accept", _of_any_epoch)


def _hold(self: KnownGrant, number: int, until: int) -> bool:
    is_new = number != self.number
    self.number = self.newest = number
    return is_new


def old_news_of_a_grant_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KnownGrant, "is_old", _never)
    patch.setattr(KnownGrant, "hold", _hold)
    patch.setattr(EarlyRevokes, "end", _never)


def _registered(self: HostEnd, envelope: Envelope, body: RegisterVcpu) -> None:
    self.vcpus.setdefault(body.task, envelope.session)


def no_notifier_fires_at_the_registration(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(host_endpoint._HANDLERS, RegisterVcpu, _registered)


def _silence(*_: Any) -> tuple[()]:
    return ()


def a_request_is_not_answered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostEnd, "_answer", _silence)


def kvm_uses_a_grant_behind_its_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KnownGrant, "is_over", _never)


def an_unknown_epoch_gets_no_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostEnd, "_unknown", _nothing)


def _only_settle(self: Session, upto: int, effects: Any) -> None:
    before = self.outgoing.state
    self.outgoing.settle()
    self._put([], before, effects)


def what_the_link_lost_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "resume", _only_settle)


def nothing_bounds_what_waits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outgoing, "overrun", False)


def a_higher_epoch_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostEnd, "begins_anew", _never)


def _leave_its_events(self: HostCore, task: str) -> None:
    cpu = self.perf.kernel.cpu_running(task)
    if cpu >= 0:
        self._switch(self.machine.cpus[cpu], "")
    self.effects.add(TaskExit(task, cpu))
    self.endpoint.vcpus.pop(task, None)


def the_events_outlive_their_thread(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostCore, "_exit", _leave_its_events)


def kvm_asks_while_it_drains(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kvm_endpoint, "_NO_REQUESTS", ())


def kvm_reads_a_damaged_message(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kvm_endpoint, "refuse_damaged", _never)
