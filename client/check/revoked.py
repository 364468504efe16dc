from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.traced import of_host
from client.check.world import World, lbr_on
from contract.canonical import Grant
from contract.messages import EventCreated, EventState, Revoke, SchedIn
from contract.trace import Crash, Delivery, Discard, GuestMsr, HostMsr, Retired, VmEntry

Place = tuple[str, int]
"""A vCPU and a host: each host numbers its own grants."""

_NEWS = Revoke, EventState, EventCreated, SchedIn
"""Messages that tell KVM of a grant."""


class RevokedMeansRevoked(Monitor):
    __slots__ = ("last", "newest", "revoked")

    name = "revoked-means-revoked"
    definition = Definition(
        rules=("R14",),
        text=(
            "After KVM has taken a Revoke of a grant, and until it takes news of a higher grant, its guest "
            "does not use the LBR: it does not enter with the LBR passed through or with DEBUGCTL.LBR set, no "
            "access to an LBR register is served, and none of its branches is recorded. A guest that is in "
            "guest mode when KVM takes the Revoke has to be forced out before it retires another branch into "
            "the LBR."
        ),
        broken_by="An entry, an access or a recorded guest branch of this kind after the Revoke was taken.",
        evidence="An entry, an access or a guest branch after a Revoke was taken.",
        reads={
            Delivery: "which Revoke, and which news of a grant, KVM takes",
            Discard: "messages that KVM discards, and so has not taken",
            VmEntry: "passthrough and DEBUGCTL.LBR",
            GuestMsr: "accesses that the hardware served to the guest",
            HostMsr: "accesses of KVM on behalf of a guest",
            Retired: "branches of the guest, and whether they were recorded",
            Crash: "guests whose grants ended with their KVM or host",
        },
        unseen=(
            "Designs that tell KVM of no grant: they have no Revoke. A Revoke that is lost is not taken; "
            "revoke-completes sees it. A guest that stays in guest mode with its LBR on and retires no branch."
        ),
        excuses=(
            (
                "crash kvm",
                "A Revoke that the old process took says nothing about the new one, which begins without a grant.",
            ),
            (
                "crash perfcore",
                "A Revoke of the old host says nothing about the grants of the restarted one, which begin at "
                "1. The KVM knows of none until it has greeted that host.",
            ),
        ),
    )

    revoked: dict[Place, int]
    """The grant whose Revoke was taken, until KVM takes news of a higher grant."""
    newest: dict[Place, int]
    """The highest grant that KVM has taken news of."""
    last: tuple[Place, int, int] | None
    """The vCPU and host that the last Delivery changed, with the values of ``newest`` and ``revoked`` before it; 0 for
    none."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.revoked = {}
        self.newest = {}
        self.last = None

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.revoked, twin.newest, twin.last = self.revoked.copy(), self.newest.copy(), self.last
        return twin

    def key(self) -> tuple[Hashable, ...]:
        last = None if self.last is None else (self.last[0], *[self._grant(self.last[0], n) for n in self.last[1:]])
        return *super().key(), self._grants(self.revoked), self._grants(self.newest), last

    def _grants(self, grants: dict[Place, int]) -> frozenset[Hashable]:
        return frozenset([(at, self._grant(at, grant)) for at, grant in grants.items()])

    def _grant(self, at: Place, grant: int) -> Hashable:
        return of_host(at[1], Grant(grant))

    def _delivery(self, r: Delivery) -> None:
        self.last = None
        message = self.world.delivered
        body = None if message is None else message.body
        if not isinstance(body, _NEWS):
            return
        vcpu = body.vcpu if isinstance(body, SchedIn) else self._owner(body.event)
        if not vcpu:
            return
        at = vcpu, self.world.kvms[r.session]
        newest = self.newest.get(at, 0)
        if body.grant < newest:
            return
        self.last = at, newest, self.revoked.get(at, 0)
        self.note(self.noted("taken", at) or 0, "taken before", at)
        if isinstance(body, Revoke):
            self.newest[at] = body.grant
            self.revoked[at] = body.grant
            self.note(r.seq, "taken", at)
        elif body.grant > newest:
            self.newest[at] = body.grant
            self.revoked.pop(at, None)

    def _owner(self, event: int) -> str:
        found = self.world.events.get(event)
        return "" if found is None else found.opened.guest

    def _discard(self, r: Discard) -> None:
        """The message was discarded, so restore the values from before it."""
        if self.last is not None:
            at, self.newest[at], revoked = self.last
            self.revoked.pop(at, None)
            if revoked:
                self.revoked[at] = revoked
                self.note(self.noted("taken before", at) or 0, "taken", at)
            self.last = None

    def _entry(self, r: VmEntry) -> None:
        self._use(r.vcpu, r.cpu, r.seq, r.passthrough or lbr_on(r.debugctl), "enters with the LBR")

    def _guest_msr(self, r: GuestMsr) -> None:
        self._use(r.vcpu, r.cpu, r.seq, True, "reaches an LBR register")

    def _host_msr(self, r: HostMsr) -> None:
        if r.on_behalf and r.msr in self.world.lbr_msrs:
            self._use(r.on_behalf, r.cpu, r.seq, True, "is served by the LBR")

    def _retired(self, r: Retired) -> None:
        if r.guest:
            self._use(self.world.actors[r.actor], r.cpu, r.seq, r.recorded, "records branches")

    def _use(self, vcpu: str, cpu: int, seq: int, uses: bool, text: str) -> None:
        at = vcpu, self.world.hosts[cpu]
        if at not in self.revoked:
            return
        self.exercised = True
        if uses:
            text = f"{vcpu} {text} after grant {self.revoked[at]} was revoked"
            self.violated(seq, text, self.noted("taken", at))

    def _crash(self, r: Crash) -> None:
        """A KVM that is gone uses no grant. A restarted host numbers its grants from 1 again."""
        self.last = None
        self.revoked = {at: grant for at, grant in self.revoked.items() if at[0] not in r.vcpus}
        self.newest = {at: grant for at, grant in self.newest.items() if at[0] not in r.vcpus}

    HANDLERS: ClassVar = {
        Crash: _crash,
        Delivery: _delivery,
        Discard: _discard,
        VmEntry: _entry,
        GuestMsr: _guest_msr,
        HostMsr: _host_msr,
        Retired: _retired,
    }
