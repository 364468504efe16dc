"""Errors in values that go over the wire."""

from __future__ import annotations

from contract.errors import InputError


class WireValueError(InputError):
    """A value that the wire cannot carry, or a received value without meaning."""
