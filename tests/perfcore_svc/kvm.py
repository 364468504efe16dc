"""A KVM for tests of the host: it says what the test wants and hears everything."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import StreamDelivery
from contract.messages import (
    AnyMessage,
    CreateEvent,
    EventCreated,
    Hello,
    Received,
    RegisterVcpu,
)
from tests.designs import REVOKE_GP
from tests.perfcore_svc.hosts import Host, make_host
from tests.sessions import End


class Kvm:
    """A KVM at the other end of a perfect wire. ``told`` is what came since the last look, acknowledgements aside."""

    def __init__(self, host: Host, name: str = "k", vcpus: tuple[str, ...] = ("v",)) -> None:
        self.host, self.name = host, name
        self.session = End(name, is_host=False, repaired=host.design.delivery is StreamDelivery.REPAIRED)
        self.tell(Hello(name))
        for vcpu in vcpus:
            self.tell(RegisterVcpu(vcpu, vcpu))
        self.told()

    def tell(self, body: AnyMessage) -> None:
        envelope = self.session.one(body, self.host.elsewhere)
        self.host.take(envelope)

    def told(self) -> list[AnyMessage]:
        bodies = [e.body for e in self.host.drain() if e.session == self.name]
        return [body for body in bodies if not isinstance(body, Received)]

    def create(self, vcpu: str = "v", request: int = 1) -> EventCreated:
        self.tell(CreateEvent(vcpu, request))
        (created,) = self.told()
        assert isinstance(created, EventCreated)
        return created


def revocable(**axes: object) -> tuple[Host, Kvm, EventCreated]:
    """A revoke-gp host that has granted v the LBR."""
    host = make_host(design=replace(REVOKE_GP, **axes), running="v")
    kvm = Kvm(host)
    return host, kvm, kvm.create()
