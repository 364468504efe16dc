"""KVM's end of a repaired stream: it sends again until it is acknowledged, and takes messages only in their order."""

from __future__ import annotations

from typing import Any

import pytest

from contract.control import ConfigureKvm, FireKvmTimer, MachineSpec, VmSpec
from contract.design import Design
from contract.effects import StepResult
from contract.messages import (
    AnyMessage,
    Available,
    CreateEvent,
    Envelope,
    Hello,
    Received,
    RegisterVcpu,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.session import RESEND_AFTER
from contract.trace import Discard, Recorder, Timer
from kvm_svc.core import KvmCore
from tests.designs import FENCED, REVOKE_GP
from tests.kvm_svc.rig import KVM, VCPU

RESEND = FireKvmTimer("resend")


class End:
    """KVM's end alone: the messages in its inbox, and those that it sends."""

    def __init__(self, design: Design = FENCED) -> None:
        self.core = KvmCore.configured(ConfigureKvm(KVM, MachineSpec(depth=8), design, [VmSpec("vm0")]))
        self.number = 0
        self.log = Recorder()
        self._said: list[Envelope] = []
        self._done(self.core.begin(0))

    def do(self, command: FireKvmTimer) -> None:
        with pytest.raises(StopIteration) as end:
            next(self.core.command(command, self.log.now))
        self._done(end.value.value)

    def _done(self, step: StepResult[Any]) -> None:
        self.log.write(step.effects, step.now)
        self._said += step.messages

    def take(self, body: AnyMessage, order: int) -> None:
        self.number += 1
        self._done(self.core.take(Envelope(KVM, False, 1, self.number, body, order), self.log.now))

    def sent(self) -> list[tuple[AnyMessage, int]]:
        return [(envelope.body, envelope.order) for envelope in self.drain()]

    def drain(self) -> list[Envelope]:
        said, self._said = self._said, []
        return said

    def timers(self) -> list[int]:
        return [r.due for r in self.log.records if isinstance(r, Timer) and r.timer == "resend"]

    def discards(self) -> list[tuple[str, str]]:
        return [(r.message, r.rule) for r in self.log.records if isinstance(r, Discard)]


BEGINNING = [(Hello(KVM), 1), (RegisterVcpu(VCPU, VCPU), 2)]


def begun() -> End:
    end = End()
    assert end.sent() == BEGINNING
    return end


def welcomed() -> End:
    end = begun()
    end.take(Welcome(True), 1)
    end.take(Received(2), 0)
    end.sent()
    return end


# Sending -----------------------------------------------------------------------------------------------------


def test_what_kvm_sends_has_a_place_and_a_timer() -> None:
    assert begun().timers() == [RESEND_AFTER]


def test_what_is_not_acknowledged_is_sent_again_in_its_place() -> None:
    end = begun()
    end.log.now = RESEND_AFTER
    end.do(RESEND)

    assert end.sent() == BEGINNING
    assert end.timers() == [RESEND_AFTER, 3 * RESEND_AFTER]


def test_what_is_sent_again_has_a_new_number() -> None:
    end = End()
    end.do(RESEND)
    assert [envelope.seq for envelope in end.drain()] == [1, 2, 3, 4]


def test_only_what_the_host_lacks_is_sent_again() -> None:
    end = begun()
    end.take(Received(1), 0)
    end.do(RESEND)
    assert end.sent() == BEGINNING[1:]


def test_the_last_acknowledgement_stops_the_timer() -> None:
    end = begun()
    end.take(Received(1), 0)
    assert end.timers() == [RESEND_AFTER]

    end.take(Received(2), 0)
    assert end.timers() == [RESEND_AFTER, -1]
    end.do(RESEND)
    assert (end.sent(), end.timers()) == ([], [RESEND_AFTER, -1])


def test_an_old_acknowledgement_changes_nothing() -> None:
    end = begun()
    end.take(Received(2), 0)
    end.take(Received(1), 0)
    assert end.timers() == [RESEND_AFTER, -1]


def test_a_resend_timer_is_awaited_and_kvm_s_own() -> None:
    records = begun().log.records
    assert [(r.session, r.to_host, r.awaited) for r in records if isinstance(r, Timer)] == [(KVM, True, True)]


def test_a_stream_that_is_taken_as_it_comes_has_no_timer() -> None:
    end = End(REVOKE_GP)
    assert [order for _, order in end.sent()] == [0, 0]
    assert not any(isinstance(r, Timer) for r in end.log.records)


# Taking ------------------------------------------------------------------------------------------------------


def test_each_message_taken_is_acknowledged() -> None:
    end = begun()
    end.take(Welcome(True), 1)
    assert end.sent() == [(Received(1), 0)]
    end.take(SchedIn(VCPU, 0, 0), 2)
    assert end.sent() == [(Received(2), 0)]


def test_an_acknowledgement_is_not_acknowledged_and_not_sent_again() -> None:
    end = welcomed()
    end.take(Received(2), 0)
    end.do(RESEND)
    assert end.sent() == []


def test_a_message_before_its_turn_is_thrown_away_without_a_word() -> None:
    end = welcomed()
    end.take(SchedIn(VCPU, 0, 0), 3)

    assert (end.discards(), end.sent()) == ([("SchedIn", "R9")], [])
    assert end.core.hv.vcpus[VCPU].cpu == -1


def test_it_is_taken_in_its_turn() -> None:
    end = welcomed()
    end.take(SchedOut(VCPU, 0), 3)
    end.take(SchedIn(VCPU, 0, 0), 2)
    assert end.core.hv.vcpus[VCPU].cpu == 0
    end.take(SchedOut(VCPU, 0), 3)
    assert end.core.hv.vcpus[VCPU].cpu == -1


def test_a_message_taken_before_is_thrown_away_but_acknowledged_once_more() -> None:
    """The acknowledgement was lost."""
    end = welcomed()
    end.take(SchedIn(VCPU, 0, 0), 2)
    end.take(SchedOut(VCPU, 0), 3)
    end.sent()
    end.take(SchedIn(VCPU, 0, 0), 2)

    assert (end.discards(), end.sent()) == ([("SchedIn", "R3")], [(Received(3), 0)])
    assert end.core.hv.vcpus[VCPU].cpu == -1


def test_an_answer_goes_out_before_the_acknowledgement() -> None:
    end = welcomed()
    end.core.hv.outgoing.append(CreateEvent(VCPU, 1))
    end.take(Available(9, 0), 2)
    assert end.sent() == [(CreateEvent(VCPU, 1), 3), (Received(2), 0)]


# Refused -----------------------------------------------------------------------------------------------------


def test_a_refused_session_sends_nothing_again() -> None:
    end = begun()
    end.take(Welcome(False, reason="no"), 1)
    assert end.timers() == [RESEND_AFTER, -1]
    assert end.core.endpoint.refused == "no"

    end.sent()
    end.do(RESEND)
    assert end.sent() == []


def test_a_welcome_does_not_stop_the_timer() -> None:
    end = begun()
    end.take(Welcome(True), 1)
    assert (end.timers(), end.core.endpoint.refused) == ([RESEND_AFTER], "")
