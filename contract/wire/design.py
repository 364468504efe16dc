"""A design as it goes over the wire: the names of its axes and their values."""

from __future__ import annotations

import typing
from enum import StrEnum

from contract.design import Design
from contract.wire.errors import WireValueError

_AXES = {
    name.replace("_", "-"): hint
    for name, hint in typing.get_type_hints(Design).items()
    if name not in ("name", "about")
}
_REQUIRED = [name.replace("_", "-") for name in ("event", "passthrough", "denial")]
_ANSWERS = {"yes": True, "no": False}


def design_from_axes(name: str, about: str, axes: dict[str, str]) -> Design:
    """The inverse of ``Design.axes``. An axis that is not named has its default.

    Raises WireValueError naming an unknown or missing axis, or an axis with an unknown value.
    """
    values: dict[str, object] = {}
    for axis, value in axes.items():
        hint = _AXES.get(axis)
        if hint is None:
            raise WireValueError(f"design {name!r}: unknown axis {axis!r}, expected one of {', '.join(_AXES)}")
        values[axis.replace("-", "_")] = _value(name, axis, hint, value)
    missing = [axis for axis in _REQUIRED if axis not in axes]
    if missing:
        raise WireValueError(f"design {name!r}: no value for axis {missing[0]!r}")
    return Design(name=name, about=about, **values)  # type: ignore[arg-type]


def _value(name: str, axis: str, hint: type, value: str) -> object:
    known: dict[str, object] = {str(m): m for m in hint} if issubclass(hint, StrEnum) else dict(_ANSWERS)
    if value not in known:
        raise WireValueError(f"design {name!r}: {axis} = {value!r}, expected one of {', '.join(known)}")
    return known[value]
