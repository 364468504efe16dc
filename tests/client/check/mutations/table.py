"""The table of monitors and mutations. A module of this package for each monitor."""

from __future__ import annotations

from tests.client.check.mutations import (
    Mutation,
    agreement,
    capability_kept,
    debugctl_restored,
    grants_kept,
    guest_clean,
    host_clean,
    host_served,
    msr_legality,
    no_counter,
    no_leak,
    no_loss,
    no_silent_denial,
    no_starvation,
    one_owner,
    precedence,
    recovers,
    revoke_completes,
    revoked,
    stream_kept,
    user_clean,
)

MUTATIONS: dict[str, list[Mutation]] = {
    "guest-clean": guest_clean.MUTATIONS,
    "host-clean": host_clean.MUTATIONS,
    "host-served": host_served.MUTATIONS,
    "no-leak": no_leak.MUTATIONS,
    "user-clean": user_clean.MUTATIONS,
    "no-loss": no_loss.MUTATIONS,
    "no-silent-denial": no_silent_denial.MUTATIONS,
    "msr-legality": msr_legality.MUTATIONS,
    "capability-kept": capability_kept.MUTATIONS,
    "no-counter": no_counter.MUTATIONS,
    "agreement": agreement.MUTATIONS,
    "one-owner": one_owner.MUTATIONS,
    "revoked-means-revoked": revoked.MUTATIONS,
    "precedence": precedence.MUTATIONS,
    "debugctl-restored": debugctl_restored.MUTATIONS,
    "stream-kept": stream_kept.MUTATIONS,
    "grants-kept": grants_kept.MUTATIONS,
    "revoke-completes": revoke_completes.MUTATIONS,
    "no-starvation": no_starvation.MUTATIONS,
    "recovers": recovers.MUTATIONS,
}
LEAST = 3
"""Mutations of the production code for each monitor."""
NEVER_ALONE: dict[str, str] = {
    "revoke-completes": "agreement compares the grants of both sides at rest, and so notices each grant that is kept; "
    "precedence notices each wait that does not end, as the waiting event is of a higher class. They are not one: both "
    "judge more than grants that were revoked, and neither says which Revoke was not carried out.",
}
"""Monitors of which no mutation was found that no other notices, and why the two are not one."""
