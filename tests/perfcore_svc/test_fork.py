"""A core is plain state: a deep copy is a fork. Both halves continue independently, and in the same way."""

from __future__ import annotations

import copy

from contract.design import Design
from contract.machine import Branch, Controls, Enter
from contract.messages import CreateEvent, Envelope, Hello, RegisterVcpu
from contract.trace import canonical
from tests.cases import cases
from tests.designs import MERGED, REVOKE_GP, V8
from tests.perfcore_svc.hosts import Host, make_host, picture
from tests.sessions import End


def begin(host: Host) -> None:
    kvm = End("k", is_host=False)
    for body in (Hello("k"), RegisterVcpu("v", "v"), CreateEvent("v", 1)):
        envelope = kvm.one(body, host.elsewhere)
        host.take(envelope)
    host.open("A", "call_stack", task="t", pinned=True, privilege=["user"])
    host.open("F", "any")
    host.request(Enter("v", 0, Controls(1, True), [Branch(3)]))
    kvm.one(CreateEvent("w", 2), host.elsewhere)


def go_on(host: Host) -> list[object]:
    host.run("t")
    host.retire(3, "call")
    host.open("P", "any", cpu=1, pinned=True)
    host.run("v", 1)
    host.take(Envelope("k", True, 1, 4, CreateEvent("w", 2)))
    host.close("F")
    return [host.drain(), canonical(host.log.records), picture(host)]


@cases("design", [V8, MERGED, REVOKE_GP], ids=lambda d: d.name)
def test_a_core_forks(design: Design) -> None:
    host = make_host(cpus=2, design=design, running="v")
    begin(host)
    before = picture(host)
    fork = copy.deepcopy(host)
    assert picture(fork) == before
    ended = go_on(fork)
    assert picture(host) == before, "the other half has not moved"
    assert go_on(host) == ended
