"""R7 and who may ask for what: vCPU threads belong to one session. And where Available looks for a free LBR."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import Admission
from contract.messages import Available, RegisterVcpu, SchedIn
from contract.trace import Discard
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import Kvm


def discards(host: Host) -> list[tuple[str, str]]:
    return [(r.rule, r.reason) for r in host.log.records if isinstance(r, Discard)]


@cases("task", ["t", "nobody", ""])
def test_R7_a_task_that_is_no_vcpu_thread_is_not_registered(task: str) -> None:
    host = make_host()
    Kvm(host).tell(RegisterVcpu(task, task))
    assert discards(host) == [("R7", f"{task!r} is no vCPU's thread")]
    assert host.endpoint.vcpus == {"v": "k"}


def test_R7_another_sessions_thread_is_not_taken_over() -> None:
    host = make_host()
    mine, other = Kvm(host), Kvm(host, "other", ("w",))
    other.tell(RegisterVcpu("v", "v"))
    assert discards(host) == [("R7", "v belongs to session k")]
    mine.told()
    host.run("v")
    assert [type(m) for m in mine.told()] == [SchedIn]
    assert other.told() == []


def test_R7_registering_a_thread_of_ones_own_again_is_no_error() -> None:
    host = make_host()
    Kvm(host).tell(RegisterVcpu("v", "v"))
    assert discards(host) == []


def test_an_event_for_another_sessions_vcpu_is_refused() -> None:
    host = make_host(running="v")
    Kvm(host)
    created = Kvm(host, "other", ("w",)).create("v")
    assert (created.event, created.errno) == (0, "ESRCH")
    assert host.states() == {}


def lost(**axes: object) -> tuple[Host, Kvm, int]:
    """The guest's event lost cpu0 to P; cpu1 is idle."""
    host = make_host(cpus=2, design=replace(REVOKE_GP, **axes), running="v")
    kvm = Kvm(host)
    event = kvm.create().event
    host.open("P", "any", pinned=True)
    assert host.states()["vlbr:v"] == "ERR"
    kvm.told()
    return host, kvm, event


def test_available_follows_the_vcpu_to_an_idle_cpu() -> None:
    host, kvm, event = lost()
    host.run("v", 1)
    assert [m for m in kvm.told() if isinstance(m, Available)] == [Available(event, 1)]


def test_available_waits_while_the_other_cpu_is_taken_as_well() -> None:
    host, kvm, event = lost()
    host.open("Q", "any", cpu=1, pinned=True)
    host.run("v", 1)
    assert not [m for m in kvm.told() if isinstance(m, Available)]
    host.close("Q")
    assert kvm.told() == [Available(event, 1)]


@cases(("admission", "told"), [(Admission.ORDINARY_SLOT, True), (Admission.PRIVATE_SLOT, False)])
def test_a_slot_that_holds_the_guests_own_value_is_available(admission: Admission, told: bool) -> None:
    host, kvm, event = lost(admission=admission)
    host.open("Q", "call_stack", cpu=1, pinned=True, privilege=["user"])
    host.run("v", 1)
    assert [m for m in kvm.told() if isinstance(m, Available)] == [Available(event, 1)] * told
