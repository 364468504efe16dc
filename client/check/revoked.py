from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.messages import EventCreated, EventState, Revoke, SchedIn
from contract.trace import Delivery, Discard, GuestMsr, HostMsr, Retired, VmEntry
from contract.x86 import is_lbr_msr

Standing = tuple[int, tuple[int, int] | None]


class RevokedMeansRevoked(Monitor):
    name = "revoked-means-revoked"
    definition = Definition(
        text=(
            "Once KVM has taken a Revoke of a grant, and until it takes news of a higher grant, its guest does not use "
            "the LBR: it does not enter with the LBR passed through or with DEBUGCTL.LBR set, no access to an LBR "
            "register is served, and none of its branches is recorded. A guest that is in guest mode when KVM takes "
            "the Revoke has to be forced out before it retires another branch into the LBR."
        ),
        broken_by="An entry, an access or a recorded guest branch of this kind after the Revoke was taken.",
        evidence="An entry, an access or a guest branch after a Revoke was taken.",
        reads={
            Delivery: "which Revoke, and which news of a grant, KVM takes",
            Discard: "what KVM throws away, and so has not taken",
            VmEntry: "passthrough and DEBUGCTL.LBR",
            GuestMsr: "accesses that the hardware served to the guest",
            HostMsr: "accesses of KVM on behalf of a guest",
            Retired: "branches of the guest, and whether they were recorded",
        },
        unseen=(
            "Designs that tell KVM of no grant: they have no Revoke. A Revoke that is lost is not taken; "
            "revoke-completes sees it. A guest that stays in guest mode with its LBR on and retires no branch."
        ),
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # By vCPU and host: each host numbers its own grants.
        self.revoked: dict[tuple[str, int], tuple[int, int]] = {}
        self.newest: dict[tuple[str, int], int] = {}
        self.last: tuple[tuple[str, int], Standing] | None = None

    def _delivery(self, r: Delivery) -> None:
        self.last = None
        body = self.world.sent.get((r.session, r.to_host, r.n))
        if r.how == "drop" or not isinstance(body, Revoke | EventState | EventCreated | SchedIn):
            return
        vcpu = body.vcpu if isinstance(body, SchedIn) else self._owner(body.event)
        if not vcpu:
            return
        at = vcpu, self.world.kvms[r.session]
        newest = self.newest.get(at, 0)
        if body.grant < newest:
            return
        self.last = at, (newest, self.revoked.get(at))
        if isinstance(body, Revoke):
            self.newest[at] = body.grant
            self.revoked[at] = (body.grant, r.seq)
        elif body.grant > newest:
            self.newest[at] = body.grant
            self.revoked.pop(at, None)

    def _owner(self, event: int) -> str:
        found = self.world.events.get(event)
        return "" if found is None else found.opened.guest

    def _discard(self, r: Discard) -> None:
        """It was not taken after all."""
        if self.last is not None:
            at, (self.newest[at], revoked) = self.last
            self.revoked.pop(at, None)
            if revoked is not None:
                self.revoked[at] = revoked
            self.last = None

    def _entry(self, r: VmEntry) -> None:
        self._use(r.vcpu, r.cpu, r.seq, r.passthrough or lbr_on(r.debugctl), "enters with the LBR")

    def _guest_msr(self, r: GuestMsr) -> None:
        self._use(r.vcpu, r.cpu, r.seq, True, "reaches an LBR register")

    def _host_msr(self, r: HostMsr) -> None:
        if r.on_behalf and is_lbr_msr(self.world.model, r.msr):
            self._use(r.on_behalf, r.cpu, r.seq, True, "is served by the LBR")

    def _retired(self, r: Retired) -> None:
        if r.guest:
            self._use(self.world.actors[r.actor], r.cpu, r.seq, r.recorded, "records branches")

    def _use(self, vcpu: str, cpu: int, seq: int, uses: bool, text: str) -> None:
        at = vcpu, self.world.hosts[cpu]
        if at not in self.revoked:
            return
        self.exercised = True
        grant, taken = self.revoked[at]
        if uses:
            self.violated(seq, f"{vcpu} {text} after grant {grant} was revoked", taken)

    HANDLERS: ClassVar = {
        Delivery: _delivery,
        Discard: _discard,
        VmEntry: _entry,
        GuestMsr: _guest_msr,
        HostMsr: _host_msr,
        Retired: _retired,
    }
