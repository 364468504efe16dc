"""The table of monitors and mutations. A module of this package for each monitor."""

from __future__ import annotations

from tests.client.check.mutations import (
    Mutation,
    agreement,
    capability_kept,
    guest_clean,
    host_clean,
    host_served,
    msr_legality,
    no_counter,
    no_leak,
    no_loss,
    no_silent_denial,
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
}
LEAST = 3
"""Mutations of the production code for each monitor."""
NEVER_ALONE: dict[str, str] = {}
"""Monitors of which no mutation was found that no other notices, and why the two are not one."""
