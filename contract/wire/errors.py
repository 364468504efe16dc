"""What can be wrong with a value that goes over the wire."""

from __future__ import annotations

from contract.errors import InputError


class WireValueError(InputError):
    """A value that the wire cannot carry, or one that came over it and means nothing."""
