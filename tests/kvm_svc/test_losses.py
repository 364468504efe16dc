"""KVM loses its link, or finds that the host has forgotten it (R21)."""

from __future__ import annotations

import pytest

from contract.control import ConfigureKvm, KvmLoseLink, KvmMendLink, MachineSpec, VmSpec
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import Branch
from contract.messages import (
    PROTOCOL_VERSION,
    UNKNOWN_EPOCH,
    CreateEvent,
    Envelope,
    Hello,
    RegisterVcpu,
    Renew,
    Resume,
    SchedIn,
    Welcome,
)
from contract.session import SessionPhase
from contract.trace import GuestEvent, SessionChange, VcpuPut, VcpuWake
from contract.x86 import MSR_EVENTSEL, MSR_GLOBAL_CTRL, MSR_PMC
from kvm_svc.core import KvmCore
from kvm_svc.hypervisor.grant import KnownGrant
from kvm_svc.hypervisor.host_lost import forget_host
from tests.cases import cases
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.kvm_svc.rig import KVM, VCPU, Rig
from tests.kvm_svc.told import READ, Told, asked, held

every = cases("design", [MERGED, REVOKE_GP, FENCED], ids=lambda design: design.name)


def answer(told: Told, welcome: Welcome, epoch: int = 1) -> list[object]:
    """The answer to Resume, which has no place in the order; what KVM says to it."""
    told.told += 1
    return list(told.take(Envelope(KVM, False, epoch, told.told, welcome)))


def cut(told: Told) -> None:
    told.command(KvmLoseLink())
    told.heard()


@every
def test_a_lost_link_ends_nothing(design: Design) -> None:
    told = held(design)
    before = told.claim.phase, told.vcpu().lbr_desc.event
    cut(told)
    assert (told.claim.phase, told.vcpu().lbr_desc.event) == before
    assert [(r.new, r.to_host) for r in told.records(SessionChange)] == [("lost", True)]


@every
def test_kvm_resumes_with_the_epoch_that_it_has(design: Design) -> None:
    told = held(design)
    cut(told)
    told.command(KvmMendLink())
    (resume,) = told.heard()
    assert isinstance(resume, Resume)
    assert (resume.epoch, resume.last_seq) == (1, told.told if design is FENCED else 0)
    answer(told, Welcome(True, acknowledged=10_000))
    assert told.core.endpoint.session.phase is SessionPhase.OPEN
    assert told.heard() == []


def test_an_answer_that_a_second_cut_has_overtaken_resumes_nothing() -> None:
    told = asked(FENCED)
    cut(told)
    told.command(KvmMendLink())
    cut(told)
    assert answer(told, Welcome(True, acknowledged=0)) == []
    assert told.core.endpoint.session.phase is SessionPhase.LOST
    told.command(KvmMendLink())
    assert [type(body) for body in told.heard()] == [Resume]


def test_what_the_host_lacks_is_sent_again() -> None:
    told = asked(FENCED)
    place = told.core.endpoint.session.outgoing.order
    cut(told)
    told.command(KvmMendLink())
    told.heard()
    assert [type(body) for body in answer(told, Welcome(True, acknowledged=place - 1))] == [CreateEvent]


def test_a_link_that_was_not_lost_is_not_mended() -> None:
    with pytest.raises(RefusedError, match="its link was not lost"):
        held(FENCED).command(KvmMendLink())


def forgotten(told: Told) -> list[object]:
    """The link is lost, and mended; the host says that it knows nothing of the epoch."""
    cut(told)
    told.command(KvmMendLink())
    told.heard()
    return answer(told, Welcome(False, reason=UNKNOWN_EPOCH))


@every
def test_a_host_that_has_forgotten_the_epoch_is_greeted_with_the_next(design: Design) -> None:
    told = held(design)
    said = forgotten(told)
    assert [type(body) for body in said] == [Hello, RegisterVcpu]
    assert told.core.endpoint.session.epoch == 2
    assert (told.vcpu().cpu, told.vcpu().lbr_desc.event, told.grant.number) == (-1, 0, 0)
    assert [r.change for r in told.records(GuestEvent)][-1] == "released"


@cases("design", [REVOKE_GP, FENCED], ids=lambda design: design.name)
def test_a_guest_whose_host_is_gone_is_told_before_it_is_served(design: Design) -> None:
    told = held(design)
    forgotten(told)
    told.told = 0
    told.take(Envelope(KVM, False, 2, 1, SchedIn(VCPU, 0, 0), 1 if design is FENCED else 0))
    values = told.access(READ)
    assert values is not None
    assert values[0].fault


def test_a_thread_that_waits_for_a_host_that_is_gone_wakes() -> None:
    told = asked(FENCED)
    forgotten(told)
    assert not told.vcpu().waiting
    assert len(told.records(VcpuWake)) == 1


def test_a_restarted_kvm_is_a_new_core_of_a_higher_epoch() -> None:
    core = KvmCore.configured(ConfigureKvm(KVM, MachineSpec(), FENCED, [VmSpec("vm0")], epoch=3))
    assert [(e.epoch, type(e.body)) for e in core.begin(0).messages] == [(3, Hello), (3, RegisterVcpu)]


def test_a_new_epoch_speaks_the_protocol_of_kvm() -> None:
    told = held(FENCED)
    cut(told)
    told.command(KvmMendLink())
    told.heard()
    hello = answer(told, Welcome(False, protocol=9, reason=UNKNOWN_EPOCH))[0]
    assert isinstance(hello, Hello)
    assert hello.protocol == PROTOCOL_VERSION


def test_a_counter_of_a_host_that_is_gone_is_asked_for_again() -> None:
    rig = counting()
    assert rig.vcpu().pmu.counters[0].event
    rig.wire.network.queues.clear()
    forget_host(rig.core.hv, "gone")
    counter = rig.vcpu().pmu.counters[0]
    assert (counter.event, counter.running, counter.reprogram) == (0, False, True)
    assert rig.vcpu().pmu.requested
    assert (rig.vcpu().guest_mode, rig.vcpu().cpu) == (False, -1)
    assert [r.vcpu for r in rig.core.effects.take() if isinstance(r, VcpuPut)] == [VCPU]


def test_what_kvm_knew_of_the_host_is_forgotten() -> None:
    told = held(REVOKE_GP)
    vcpu = told.vcpu()
    assert (vcpu.claim.state, vcpu.grant.number > 0) == ("ACTIVE", True)
    vcpu.kick = True
    told.core.hv.outgoing.append(Renew(3))
    forget_host(told.core.hv, "gone")
    assert (vcpu.claim.state, vcpu.grant, vcpu.kick) == ("", KnownGrant(), False)
    assert told.core.hv.outgoing == []


def test_a_thread_that_waits_for_a_counter_of_a_host_that_is_gone_wakes() -> None:
    rig = counting()
    counter = rig.vcpu().pmu.counters[0]
    counter.request = 9
    forget_host(rig.core.hv, "gone")
    assert counter.request == 0
    assert [type(r) for r in rig.core.effects.take() if isinstance(r, VcpuWake)] == [VcpuWake]


def test_nothing_that_was_for_the_old_host_is_sent_to_the_new_one() -> None:
    told = held(FENCED)
    told.core.hv.state.early_revokes.keep(9, 4)
    told.core.hv.outgoing.append(Renew(3))
    said = forgotten(told)
    assert [type(body) for body in said] == [Hello, RegisterVcpu]
    assert told.core.hv.state.early_revokes.grants == {}


def counting() -> Rig:
    """The guest is in guest mode, its first counter counts."""
    rig = Rig(MERGED, vms=[VmSpec("vm0", pmu=2)])
    for msr, value in ((MSR_GLOBAL_CTRL, 1), (MSR_PMC, 0), (MSR_EVENTSEL, 0x5300C4)):
        assert rig.wrmsr(msr, value)
    rig.guest(Branch(3))
    return rig


def test_a_refused_input_leaves_the_clock() -> None:
    told = held(FENCED)
    before, told.log.now = told.core.clock.now, 10**9
    with pytest.raises(RefusedError):
        told.command(KvmMendLink())
    assert told.core.clock.now == before


def test_epochs_begin_with_1() -> None:
    with pytest.raises(RefusedError, match="epoch = 0"):
        KvmCore.configured(ConfigureKvm(KVM, MachineSpec(), FENCED, [VmSpec("vm0")], epoch=0))
