"""The known designs: those of this folder, and those of other installed packages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import msgspec

from client.designs.toml import load_design, name_flaw, near_axis
from client.files import mistaken, type_flaw
from client.litmus.library import library_path
from client.litmus.spelling import hint
from contract.design import Design, UnknownAxisError, design_from_axes
from contract.design_check import flaw
from contract.errors import InputError

GROUP = "lbrlab.designs"

ORDER = (
    "v7",
    "v7-pinned",
    "v8",
    "silent",
    "merged",
    "merged-2023",
    "first-come",
    "kvm-switch",
    "vmx-transition",
    "mediated",
    "revoke-gp",
    "revoke-zero",
    "revoke-ack",
    "first-draft",
    "fail-entry",
    "fenced",
)
"""First the designs as posted and merged, then the alternatives, then the option agreed on and its successors. A design
stands after the design that it is ``like``."""


def _library() -> dict[str, Design]:
    folder = Path(__file__).parent
    found: dict[str, Design] = {}
    for name in ORDER:
        found[name] = load_design(folder / f"{name}.toml", found)
    return found


DESIGNS: dict[str, Design] = _library()


@lru_cache(maxsize=1)
def brought_along() -> dict[str, Design]:
    """Designs of other packages. Raises InputError naming an entry point that gives no design, or an impossible one."""
    found: dict[str, Design] = {}
    for point in entry_points(group=GROUP):
        for design in _designs_of(point):
            if design.name in DESIGNS or design.name in found:
                raise InputError(f"there is a design {design.name!r} already", _place(point))
            if problem := flaw(design):
                raise InputError(f"{design.name}: {problem[1]}", _place(point))
            found[design.name] = design
    return found


def _designs_of(point: EntryPoint) -> Iterable[Design]:
    try:
        given = point.load()
        given = given() if callable(given) else given
        designs = [given] if isinstance(given, Design) else list(given)
    except (Exception, SystemExit) as error:  # The code of another package can raise anything.
        raise InputError(f"{type(error).__name__}: {error}", _place(point)) from None
    return [_converted(design, _place(point)) for design in designs]


def _converted(given: object, place: str) -> Design:
    """The design with a value of its axis for each text, as in a design from a file."""
    if not isinstance(given, Design):
        raise InputError(f"gives a {type(given).__name__}, expected a Design", place)
    try:
        design = msgspec.convert(msgspec.to_builtins(given), Design)
    except msgspec.ValidationError as error:
        raise InputError(f"{given.name}: {type_flaw(str(error))}", place) from None
    if problem := name_flaw(design.name):
        raise InputError(problem, place)
    return design


def _place(point: EntryPoint) -> str:
    return f"entry point {point.name} = {point.value} of {GROUP}"


def all_designs() -> dict[str, Design]:
    return DESIGNS | brought_along()


def design_named(name: str, place: str = "") -> Design:
    """A design by name, or from a file (a name with a slash, or that ends in .toml). Axes can be changed:
    ``v7+host-debugctl=not-switched``. Raises InputError listing the known names, or naming the place in the file.
    ``place``: the option that named it."""
    base, *changes = _split(name)
    design = _unchanged(base, place)
    if not changes:
        return design
    axes = design.axes()
    changed_axes: set[str] = set()
    for change in changes:
        axis, _, value = change.partition("=")
        if axis in changed_axes:
            raise InputError(f"{axis} has two values", name)
        changed_axes.add(axis)
        axes[axis] = value
    try:
        changed = design_from_axes("+".join([design.name, *changes]), design.about, axes)
    except UnknownAxisError as error:
        raise InputError(f"{error}{near_axis(error, axes)}", name) from None
    if problem := flaw(changed):
        raise InputError(problem[1], name)
    return changed


def _split(name: str) -> list[str]:
    """Split a text into the design and the changes. The name of a file may contain a "+"."""
    path, suffix, changes = name.rpartition(".toml")
    return [path + suffix, *changes.split("+")[1:]] if suffix else name.split("+")


def _unchanged(name: str, place: str) -> Design:
    if what := mistaken(name, "a design"):
        raise InputError(f"{what}; expected a design by name, or its file NAME.toml", f"{place} {name}".lstrip())
    if "/" in name or name.endswith(".toml"):
        design = load_design(Path(name), all_designs())
        if design.name in all_designs():
            raise InputError(f"there is a design {design.name!r} already, the file needs another name", name)
        return design
    known = DESIGNS if name in DESIGNS else all_designs()
    if name not in known:
        if library_path(name).is_file():
            raise InputError(f"{name!r} is a scenario; expected a design by name, or its file NAME.toml", place)
        near = f", did you mean './{name}'?" if Path(name).is_file() else hint(name, known)
        raise InputError(f"unknown design {name!r}, expected a file or one of {', '.join(known)}{near}", place)
    return known[name]
