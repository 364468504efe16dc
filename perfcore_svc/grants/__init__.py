"""Grants: the rights of guests to the LBR, as the host gives and ends them (R6).

A grant is the right to the LBR from the moment a guest's event goes on until another user may use the LBR instead. It
is numbered upwards over the whole host. Switches of the thread itself do not end it. Perf knows whether an event is
ACTIVE; this package knows whether a grant is current.

``state``: all that is remembered. ``grants``: giving, prolonging and ending. ``revocations``: ending in designs in
which the host waits for KVM.
"""

from perfcore_svc.grants.grants import Grants, Notice
from perfcore_svc.grants.revocations import LEASE_TIMER
from perfcore_svc.grants.state import GrantState, HeldGrant, Wait

__all__ = ["LEASE_TIMER", "GrantState", "Grants", "HeldGrant", "Notice", "Wait"]
