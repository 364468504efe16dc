"""The table of monitors and mutations. A module of this package for each monitor."""

from __future__ import annotations

from tests.client.check.mutations import (
    Mutation,
    guest_clean,
    host_clean,
)

MUTATIONS: dict[str, list[Mutation]] = {
    "guest-clean": guest_clean.MUTATIONS,
    "host-clean": host_clean.MUTATIONS,
}
LEAST = 3
"""Mutations of the production code for each monitor."""
NEVER_ALONE: dict[str, str] = {}
"""Monitors of which no mutation was found that no other notices, and why the two are not one."""
