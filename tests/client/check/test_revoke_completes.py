"""revoke-completes: in the end a grant that was revoked is given up."""

from __future__ import annotations

import pytest

import kvm_svc.endpoint
from contract.design import Design
from contract.messages import Revoke
from contract.trace import AnyRecord, HostWait, HostWake, Rest, Send
from perfcore_svc.grants.revocations import Revocations
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, finding, first, ordered, play_late, trace
from tests.designs import DESIGNS, FENCED, REVOKE_ACK, REVOKE_GP, REVOKE_ZERO

NAME = "revoke-completes"
TASK = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
KVMS = "vm vm0 { lbr = on; }\nvm vm1 { lbr = on; kvm = kvm1; }"
TWO_HOSTS = "machine { cpus = 1; depth = 8; }\nmachine dest { cpus = 1; }\nkvm kvm1 on dest;\n" + KVMS
TWO_KVMS = "machine { cpus = 2; depth = 8; }\nkvm kvm1;\n" + KVMS
OPEN = "host: h0 = open cpu0 pinned branch any;"
BOTH = (
    "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; host: run vm1/0 on cpu1; vm1/0: wrmsr DEBUGCTL, LBR;"
    "host: h0 = open {cpu} pinned branch any;"
)


def of_two(head: str, cpu: str, *faults: str) -> list[AnyRecord]:
    """A guest of each KVM has a grant, and one is revoked."""
    return trace(ordered(BOTH.format(cpu=cpu), actors="host, vm0/0, vm1/0", head=head), REVOKE_GP, *faults)


def why_woken(records: list[AnyRecord]) -> list[str]:
    return [r.reason for r in records if isinstance(r, HostWake)]


@cases("name", [name for name, design in DESIGNS.items() if design.notifier != "none"])
def test_held(name: str) -> None:
    """Whether the guest looks again or not."""
    for steps in (USE + OPEN, USE + HOST + AGAIN):
        assert finding(trace(ordered(steps), DESIGNS[name]), NAME).verdict == HELD


@cases("name", [name for name, design in DESIGNS.items() if design.notifier == "none"])
def test_not_exercised_without_a_notifier(name: str) -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), DESIGNS[name]), NAME).verdict == IDLE


def test_not_exercised_without_a_revoke() -> None:
    assert finding(trace(ordered(USE + AGAIN), REVOKE_GP), NAME).verdict == IDLE


def test_held_by_a_late_revoke() -> None:
    """A Revoke that is under way in the middle is judged at the end."""
    steps = USE + "host: run t0 on cpu0;" + OPEN + "host: run vm0/0 on cpu0; vm0/0: nop;"
    records = play_late(ordered(steps, head=TASK), REVOKE_GP, "Revoke", 1, "SchedIn")
    assert finding(records, NAME).verdict == HELD


def test_open_before_rest() -> None:
    """KVM has not given the grant up by then, and nothing says that it will not."""
    records = trace(ordered(USE + OPEN), REVOKE_GP, "drop:Revoke:1")
    found = finding(records[:-1], NAME)

    assert (found.verdict, found.violations) == ("open", [])
    (due,) = found.pending
    assert due.text == "vm0/0 has yet to give up grant 1"
    sent = records[due.seq - 1]
    assert isinstance(sent, Send)
    assert isinstance(sent.body, Revoke)


def test_a_grant_that_was_given_up_is_not_due() -> None:
    """Granted says that KVM holds none now. The trace has no end yet, so that it shows no more."""
    found = finding(trace(ordered(USE + OPEN), REVOKE_GP)[:-1], NAME)
    assert (found.verdict, found.pending) == ("open", [])


def test_a_host_that_waits_is_due_until_it_wakes() -> None:
    records = trace(ordered(USE + OPEN), REVOKE_ACK)
    wait = next(r for r in records if isinstance(r, HostWait))
    wake = next(r for r in records if isinstance(r, HostWake))
    due = finding(records[: wait.seq], NAME).pending

    assert (wait.seq, f"{wait.name} waits for the LBR") in [(d.seq, d.text) for d in due]
    assert f"{wait.name} waits for the LBR" not in [d.text for d in finding(records[: wake.seq], NAME).pending]


@cases("design", [REVOKE_GP, REVOKE_ZERO], ids=lambda d: d.name)
@cases("steps", [USE + OPEN, USE + HOST + AGAIN], ids=["idle", "in use"])
def test_violated_by_a_lost_revoke(design: Design, steps: str) -> None:
    records = trace(ordered(steps), design, "drop:Revoke:1")
    violation, record = first(records, NAME)

    assert isinstance(record, Rest)
    assert violation.text == "vm0/0 has grant 1 still, which was revoked"
    (sent,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(sent, Send)
    assert isinstance(sent.body, Revoke)


@cases("design", [REVOKE_ACK, FENCED], ids=lambda d: d.name)
@cases("steps", [USE + OPEN, USE + HOST + AGAIN], ids=["idle", "in use"])
def test_held_by_what_takes_care_of_losses(design: Design, steps: str) -> None:
    """A lease that ends; a message that is sent again."""
    assert finding(trace(ordered(steps), design, "drop:Revoke:1"), NAME).verdict == HELD


def test_violated_when_kvm_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kvm_svc.endpoint._HANDLERS, Revoke, lambda hv, message: None)

    assert first(trace(ordered(USE + HOST), REVOKE_GP), NAME)[0].text.startswith("vm0/0 has grant 1 still")


# Sessions ------------------------------------------------------------------------------------------------


@cases("head", [TWO_HOSTS, TWO_KVMS], ids=["two hosts", "two KVMs"])
@cases(("cpu", "vcpu"), [("cpu0", "vm0/0"), ("cpu1", "vm1/0")])
def test_each_kvm_answers_for_its_own_grants(head: str, cpu: str, vcpu: str) -> None:
    """On two hosts both grants have number 1."""
    assert finding(of_two(head, cpu), NAME).verdict == HELD
    (text,) = [v.text for v in finding(of_two(head, cpu, "drop:Revoke:1"), NAME).violations]
    assert text.startswith(f"{vcpu} has grant ")


# The host waits ------------------------------------------------------------------------------------------


def test_a_wait_that_ends_is_none() -> None:
    records = trace(ordered(USE + OPEN), REVOKE_ACK)

    assert why_woken(records) == ["acknowledged"]
    assert finding(records, NAME).verdict == HELD


def test_nor_is_one_that_a_lease_ends() -> None:
    records = trace(ordered(USE + OPEN), REVOKE_ACK, "drop:Ack:1")

    assert why_woken(records) == ["the lease is over"]
    assert finding(records, NAME).verdict == HELD


def test_violated_by_a_host_that_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """KVM has given the grant up; nobody says so, and nothing runs out."""
    monkeypatch.setattr(Revocations, "_arm", lambda self: None)
    records = trace(ordered(USE + OPEN), REVOKE_ACK, "drop:Ack:1")
    violation, record = first(records, NAME)

    assert why_woken(records) == []
    assert isinstance(record, Rest)
    assert violation.text == "h0 waits still for the LBR"
    (wait,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(wait, HostWait)
    assert len(finding(records, NAME).violations) == 1
