"""The wire form of a design: the names of its axes and their values."""

from __future__ import annotations

from contract import design
from contract.design import Design, UnknownAxisError
from contract.wire.errors import WireValueError


def design_from_axes(name: str, about: str, axes: dict[str, str]) -> Design:
    """The inverse of ``Design.axes``. Raises WireValueError naming an axis that is unknown or missing, or that has an
    unknown value."""
    try:
        return design.design_from_axes(name, about, axes)
    except UnknownAxisError as error:
        raise WireValueError(f"design {name!r}: {error}") from None
