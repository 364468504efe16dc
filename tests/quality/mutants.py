"""Bugs that a session, a core or a design of the contract could have: ``lbrlab scoreboard tests.quality.mutants``.

Each is one change of one function, or of one axis of a design that keeps its claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

import kvm_svc.endpoint as endpoint
import kvm_svc.hypervisor.entry as entry
import kvm_svc.hypervisor.lbr as kvm_lbr
import kvm_svc.hypervisor.msr as msr
import kvm_svc.hypervisor.notifications as notifications
import perfcore_svc.core as host_core
import perfcore_svc.perf.lbr as perf_lbr
from client.designs import DESIGNS, design_named
from client.search.mutant import Control, Mutant
from contract.design import Design
from contract.messages import Ack, EventState, Received, Revoke
from contract.session.incoming import Incoming
from contract.session.outgoing import Numbered, Outgoing
from contract.session.session import Session
from contract.spec import LEASE_NS
from kvm_svc.hypervisor.grant import KnownGrant
from perfcore_svc.grants.grants import Grants
from perfcore_svc.grants.revocations import Revocations
from perfcore_svc.perf.event import State

FENCED = DESIGNS["fenced"]
LEASED = replace(
    design_named("fenced+notifier=acknowledged+entry-check=none"),
    claims=tuple(claim for claim in FENCED.claims if claim.invariant not in ("msr-legality", "recovers", "no-loss")),
)
"""The host waits for Ack, and there is no fence: only Ack and lease keep the guest off. Without the check at an entry
the first access of a guest is emulated, and drops what the hardware would refuse: so msr-legality is not claimed. Nor
is no-loss: nothing sets DEBUGCTL.LBR again that a PMI of a host's counter cleared (mech-host-pmi-freezes-guest). Nor is
recovers: a guest whose Renew does not arrive in time is denied, though nobody wants its LBR."""

UNLEASED = ("clock",)
"""The kind that LEASED does not survive: a KVM whose clock is slow relies on a lease that is over. In one of some
thousand runs LEASED breaks one-owner without a fault, too: the host takes the LBR while the thread is off its CPU, and
waits for nobody; the thread comes back, and steps before KVM has taken the news of that. Only a fence closes this."""

_WITHOUT_REPAIR = (
    "one-owner", "host-clean", "host-served", "guest-clean", "no-leak", "user-clean", "stream-kept", "grants-kept",
)  # fmt: skip
LOSSY = replace(
    design_named("fenced+notifier=acknowledged+entry-check=none+delivery=as-it-comes"),
    claims=tuple(claim for claim in FENCED.claims if claim.invariant in _WITHOUT_REPAIR),
)
"""LEASED on a stream that nobody repairs. If a Revoke is lost, only the end of the lease keeps the guest off."""

CONTROLS: list[Control] = [Control(FENCED), Control(LEASED, UNLEASED), Control(LOSSY, UNLEASED)]


def _axis(name: str, about: str, *changes: str) -> Mutant:
    """Fenced with another value on an axis, and the same claims."""
    return Mutant(name, about, replace(design_named("+".join(["fenced", *changes])), claims=FENCED.claims))


def _code(name: str, about: str, owner: Any, attribute: str, new: Any, design: Design = FENCED) -> Mutant:
    """A function or method replaced. ``new`` gets the original first, then what the original gets."""
    real = getattr(owner, attribute)

    def plant() -> AbstractContextManager[object]:
        return patch.object(owner, attribute, _calling(new, real))

    return Mutant(name, about, design, plant, UNLEASED if design in (LEASED, LOSSY) else ())


def _calling(new: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        return new(real, *given, **named)

    return call


# The session ---------------------------------------------------------------------------------------------


def _never_again(real: Any, self: Outgoing, now: int) -> list[Numbered]:
    self.due = -1
    return []


def _once_again(real: Any, self: Outgoing, now: int) -> list[Numbered]:
    if not self.repeats:
        found: list[Numbered] = real(self, now)
        return found
    self.due = -1
    return []


def _newest_again(real: Any, self: Outgoing, now: int) -> list[Numbered]:
    return real(self, now)[-1:]


def _takes_twice(real: Any, self: Incoming, place: int) -> tuple[str, str]:
    found: tuple[str, str] = real(self, place)
    return ("", "") if place < self.expected else found


def _takes_ahead(real: Any, self: Incoming, place: int) -> tuple[str, str]:
    if place > self.expected:
        self.expected, self.owes = place + 1, True
        return "", ""
    found: tuple[str, str] = real(self, place)
    return found


def _received_too_far(real: Any, self: Session, effects: Any) -> None:
    if self.incoming.owes:
        self.incoming.owes = False
        self.answer(Received(self.incoming.expected), effects)


def _forgets(real: Any, self: Outgoing, upto: int) -> None:
    """Only the acknowledgement of every message counts."""
    if not self.unacknowledged or upto >= self.unacknowledged[-1][0]:
        real(self, upto)


def _window_of_one_less(real: Any, self: Outgoing, upto: int) -> None:
    real(self, upto + 1)


def _places_twice(real: Any, self: Outgoing, body: Any, now: int) -> Numbered:
    """A message gets the place of the one before, if that is not acknowledged."""
    if self.unacknowledged:
        self.order -= 1
    found: Numbered = real(self, body, now)
    return found


def _of_any_epoch(real: Any, self: Session, envelope: Any, effects: Any) -> Any:
    return real(self, replace(envelope, epoch=self.epoch), effects)


def _resumes_behind(real: Any, self: Session, upto: int, effects: Any) -> None:
    """The oldest message that the other end lacks is taken for acknowledged."""
    real(self, upto + 1, effects)


def _fits(envelope: Any, effects: Any) -> bool:
    return False


@contextmanager
def _damage_unseen() -> Iterator[None]:
    """Neither end looks at checksums."""
    with patch.object(host_core, "refuse_damaged", _fits), patch.object(endpoint, "refuse_damaged", _fits):
        yield


SESSION = [
    Mutant("damaged-is-taken", "a message is taken whose checksum does not fit", FENCED, _damage_unseen),
    _code(
        "repeats-the-acknowledged", "a message that was acknowledged is sent again", Outgoing, "acknowledged", _forgets
    ),
    _code("stale-epoch", "a message of another epoch is taken", Session, "accept", _of_any_epoch),
    _code("resume-skips-one", "a resume leaves out the oldest lost message", Session, "resume", _resumes_behind),
    _code("never-resends", "a lost message is not sent again", Outgoing, "again", _never_again),
    _code("resends-once", "a message that is lost twice is not sent again", Outgoing, "again", _once_again),
    _code("resends-the-newest", "only the newest message is sent again", Outgoing, "again", _newest_again),
    _code("takes-twice", "a resent message is taken again", Incoming, "_in_order", _takes_twice),
    _code("skips-a-gap", "a message is taken although an earlier one is missing", Incoming, "_in_order", _takes_ahead),
    _code(
        "received-one-too-far", "Received names a message that has not come", Session, "acknowledge", _received_too_far
    ),
    _code(
        "window-off-by-one",
        "Received makes room for one message too many",
        Outgoing,
        "acknowledged",
        _window_of_one_less,
    ),
    _code("place-off-by-one", "two messages have one place in the order", Outgoing, "_placed", _places_twice),
]


# KVM -----------------------------------------------------------------------------------------------------


def _ignored(real: Any, *given: Any, **named: Any) -> None:
    return None


def _no(real: Any, *given: Any, **named: Any) -> bool:
    return False


def _first_vcpu(real: Any, hv: Any, event: int) -> Any:
    """The first vCPU with an event, whichever event is named."""
    return next((vcpu for vcpu in hv.vcpus.values() if event and vcpu.lbr_desc.event), None)


def _releases_silently(real: Any, hv: Any, vcpu: Any, why: str) -> None:
    kept = list(hv.outgoing)
    real(hv, vcpu, why)
    hv.outgoing[:] = kept


def _acknowledges_first(hv: Any, message: Revoke) -> None:
    """Ack goes out, and the guest keeps its grant and its passthrough."""
    hv.outgoing.append(Ack(message.grant))


def _keeps_passthrough(real: Any, hv: Any, vcpu: Any, on: bool, why: str) -> None:
    if on:
        real(hv, vcpu, on, why)


def _enters_as_it_was(real: Any, hv: Any, vcpu: Any) -> bool:
    return bool(real(hv, vcpu)) or vcpu.lbr_desc.passthrough


@contextmanager
def _passthrough_stays() -> Iterator[None]:
    """Either change alone changes no run: the other place turns passthrough off."""
    with (
        patch.object(kvm_lbr, "set_passthrough", _calling(_keeps_passthrough, kvm_lbr.set_passthrough)),
        patch.object(entry, "_wanted_passthrough", _calling(_enters_as_it_was, entry._wanted_passthrough)),
    ):
        yield


def _prolongs_by_itself(real: Any, self: KnownGrant, number: int, until: int) -> bool:
    found: bool = real(self, number, until + LEASE_NS if until else 0)
    return found


KVM = [
    _code("revoke-ignored", "a Revoke is taken for an old one", KnownGrant, "revoke", _no),
    _code("denial-untold", "the claim stays lost although the guest was told", msr, "told", _ignored),
    _code("wrong-vcpu", "the news of an event reaches another vCPU", notifications, "_owner", _first_vcpu, LEASED),
    _code(
        "silent-release", "an event is given up, and the host is not told", kvm_lbr, "release_event", _releases_silently
    ),
    Mutant(
        "ack-before-interception",
        "Ack is sent, and passthrough stays",
        LEASED,
        lambda: patch.dict(endpoint._HANDLERS, {Revoke: _acknowledges_first}),
        UNLEASED,
    ),
    _code("lease-never-over", "KVM does not look at the end of the lease", KnownGrant, "is_over", _no, LEASED),
    _code(
        "lease-by-another-clock",
        "KVM takes a lease to be twice as long",
        KnownGrant,
        "hold",
        _prolongs_by_itself,
        LEASED,
    ),
    Mutant(
        "entry-as-before",
        "passthrough stays: neither the end of a grant nor an entry turns it off",
        LEASED,
        _passthrough_stays,
        UNLEASED,
    ),
]


# The host ------------------------------------------------------------------------------------------------


def _used_number(real: Any, self: Grants, event: Any) -> bool:
    found: bool = real(self, event)
    if found:
        self.state.newest -= 1
    return found


def _no_revoke(real: Any, self: Grants, event: Any, old_cpu: int) -> Any:
    """Nobody is told, and the grant is forgotten."""
    if event.state == State.ACTIVE:
        return real(self, event, old_cpu)
    self.state.held.pop(event.id, None)
    return None


def _keeps_grant(real: Any, self: Grants, event: Any, why: str) -> Revoke:
    return Revoke(event.id, self.state.held[event.id].number, why)


def _revokes_another(real: Any, self: Grants, event: Any, why: str) -> Revoke:
    found: Revoke = real(self, event, why)
    return replace(found, grant=found.grant - 1)


def _waits_for_nobody(real: Any, self: Revocations) -> list[Any]:
    return []


def _renews_what_is_revoked(real: Any, self: Grants, session: str, number: int) -> Any:
    found = real(self, session, number)
    if isinstance(found, Revoke):
        until = self.perf.kernel.now + 100 * LEASE_NS
        return EventState(found.event, "ACTIVE", 0, number, until)
    return found


def _renews_for_longer(real: Any, self: Grants, session: str, number: int) -> Any:
    found = real(self, session, number)
    return (
        replace(found, expires=found.expires + LEASE_NS) if isinstance(found, EventState) and found.expires else found
    )


def _saves_nothing(real: Any, machine: Any, pc: Any, event: Any) -> None:
    pc.kept_with_event = False


def _saves_without_select(real: Any, machine: Any, pc: Any, saved: Any, owner: str) -> None:
    real(machine, pc, saved, owner)
    saved.select = 0


def _saves_less(real: Any, machine: Any, pc: Any, saved: Any, owner: str) -> None:
    real(machine, pc, saved, owner)
    for kept in (saved.from_ip, saved.to_ip, saved.info):
        del kept[-1:]


def _tos_of_another(real: Any, machine: Any, pc: Any, saved: Any, owner: str) -> None:
    real(machine, pc, saved, owner)
    saved.tos = (saved.tos + 1) % machine.model.depth


def _ring_as_it_is(real: Any, machine: Any, pc: Any, event: Any) -> None:
    """A guest's first ring is the one that it finds."""
    if event.ran or (event.saved is not None and event.saved.valid):
        real(machine, pc, event)
    else:
        pc.kept_with_event, pc.of_guest = event.saved is not None, event.whole_ring


HOST = [
    _code("grant-number-used-again", "two grants have one number", Grants, "give", _used_number),
    _code("revoke-unsent", "the host takes the LBR and tells nobody", Grants, "_moved", _no_revoke),
    _code("revoked-grant-stays", "the host keeps a grant that it revoked", Grants, "_end", _keeps_grant),
    _code("revokes-the-one-before", "Revoke names the grant before", Grants, "_end", _revokes_another),
    _code("waits-for-nobody", "the host does not wait for Ack", Revocations, "unmoved", _waits_for_nobody, LEASED),
    _code(
        "renews-what-is-revoked",
        "a grant that is being ended is prolonged",
        Grants,
        "renew",
        _renews_what_is_revoked,
        LOSSY,
    ),
    _code(
        "renews-for-longer",
        "a lease that is prolonged ends later for KVM than for the host",
        Grants,
        "renew",
        _renews_for_longer,
        LEASED,
    ),
    _code("lost-snapshot", "the guest's ring is not saved", perf_lbr, "guest_off", _saves_nothing),
    _code("snapshot-without-select", "LBR_SELECT is not saved", perf_lbr, "_save", _saves_without_select),
    _code("snapshot-one-entry-less", "the oldest entry is not saved", perf_lbr, "_save", _saves_less),
    _code("snapshot-of-another-tos", "TOS is saved one too high", perf_lbr, "_save", _tos_of_another),
    _code(
        "ring-of-the-one-before", "a guest begins with what it finds in the ring", perf_lbr, "guest_on", _ring_as_it_is
    ),
]


# Designs -------------------------------------------------------------------------------------------------

DESIGNED = [
    _axis("no-fence", "no check at the entry", "entry-check=none"),
    _axis("no-notifier", "the host tells nobody of the end of a grant", "notifier=none"),
    _axis("no-repair", "lost messages stay lost", "delivery=as-it-comes"),
    _axis("first-come", "the first user keeps the LBR", "precedence=first-come"),
    _axis("filter-left-behind", "a failed add leaves its filter", "losing-add=leaves-filter"),
    _axis("half-a-ring", "saves stop at the first empty entry", "whole-ring=no"),
    _axis("denied-silently", "a guest is not told of its loss", "denial=silent"),
    _axis("error-stays", "a guest that lost the LBR never gets it back", "recovery=sticky-error"),
    _axis("other-threads", "any thread reaches the LBR for the guest", "other-threads=served"),
    _axis("host-debugctl-at-load", "the host's DEBUGCTL is saved at vcpu_load", "host-debugctl=at-vcpu-load"),
]

MUTANTS: list[Mutant] = [*SESSION, *KVM, *HOST, *DESIGNED]
