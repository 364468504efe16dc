"""Read and write design files. Errors name file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, NoReturn

from msgspec.structs import replace

from client.files import read_text
from client.litmus.spelling import hint, unknown
from contract.design import (
    AXIS_FIELDS,
    Condition,
    Design,
    DesignClaim,
    UnknownAxisError,
    axis_about,
    axis_values,
    design_from_axes,
)
from contract.design_check import flaw
from contract.errors import InputError
from contract.invariants import INVARIANTS

_KEYS = ("about", "source", "like", "axes", "claims")
SIZE_LIMIT = 1 << 20
MAX_ABOUT = 4096
MAX_NAME = 64


def load_design(path: Path, known: Mapping[str, Design]) -> Design:
    """The design in a file, named after it. ``known``: the designs that it can be ``like``. Raises InputError naming
    the file, and the line if there is one."""
    text = read_text(path, SIZE_LIMIT, "utf-8-sig")
    return _Reader(str(path), text).design(path.name.removesuffix(".toml"), known)


def name_flaw(name: str) -> str:
    """Why ``name`` cannot name a design; "" if it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) and len(name) <= MAX_NAME:
        return ""
    return f"{name!r} is not a name for a design: letters, digits, '.', '-', '_', at most {MAX_NAME}"


class _Reader:
    def __init__(self, place: str, text: str) -> None:
        self.place = place
        self.text = text

    def design(self, name: str, known: Mapping[str, Design]) -> Design:
        if problem := name_flaw(name):
            self.fail("", problem)
        try:
            content = tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:  # A number has too many digits, or tables nest too deep.
            json = self.text.startswith("{")
            problem = "is JSON, such as a run file; expected a design in TOML" if json else f"not TOML: {error}"
            raise InputError(problem, self.place) from None
        for key in content:
            if key not in _KEYS:
                self.fail(key, unknown("key", key, _KEYS))
        self.text_of(content, "source")
        axes: dict[str, str] = {}
        if (like := self.text_of(content, "like")) != "":
            if like not in known:
                self.fail("like", f"{unknown('design', like, tuple(known))} (a design by name, not a file)")
            axes = known[like].axes()
        axes |= self.axes(content.get("axes", {}))
        try:
            design = design_from_axes(name, self.text_of(content, "about"), axes)
        except UnknownAxisError as error:
            self.fail(error.axis, f"{error}{near_axis(error, axes)}")
        if found := flaw(design):
            self.fail(*found)
        return replace(design, claims=self.claims(content.get("claims", {})))

    def claims(self, given: object) -> tuple[DesignClaim, ...]:
        """``like`` copies axes, but not claims: claims are of one design, and runs must confirm them."""
        if not isinstance(given, dict):
            self.fail("claims", "claims is not a table")
        found: dict[str, DesignClaim] = {}
        for condition, invariants in given.items():
            if condition not in list(Condition):
                self.fail(condition, unknown("condition", condition, tuple(Condition)))
            if not isinstance(invariants, list):
                self.fail(condition, f"{condition} is not a list of invariants")
            for invariant in invariants:
                if invariant not in INVARIANTS:
                    self.fail(condition, unknown("invariant", str(invariant), INVARIANTS))
                if invariant in found:
                    self.fail(condition, f"{invariant} is claimed twice")
                found[invariant] = DesignClaim(invariant, Condition(condition))
        return tuple(found.values())

    def text_of(self, content: dict[str, Any], key: str) -> str:
        value = content.get(key, "")
        if not isinstance(value, str) or len(value) > MAX_ABOUT or not (value.isprintable() or not value):
            self.fail(key, f"{key} is not a line of text of at most {MAX_ABOUT} characters")
        return value

    def axes(self, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            self.fail("axes", "axes is not a table")
        found = {}
        for axis, value in given.items():
            if isinstance(value, bool):
                value = "yes" if value else "no"
            if not isinstance(value, str):
                self.fail(axis, f"{axis} is neither a text nor true or false")
            found[axis] = value
        return found

    def fail(self, key: str, message: str) -> NoReturn:
        """Raise InputError at the line that sets ``key``, if there is one."""
        line = (
            re.search(rf"^\s*(?:\[\[?|axes\s*\.)?\s*[\"']?{re.escape(key)}[\"']?\s*[=\].]", self.text, re.MULTILINE)
            if key
            else None
        )
        if line is None:
            raise InputError(message, self.place)
        raise InputError(message, f"{self.place}:{self.text.count(chr(10), 0, line.end()) + 1}")


def near_axis(error: UnknownAxisError, axes: Mapping[str, str]) -> str:
    """The axis, or the value of the axis, that may be meant."""
    if error.axis not in AXIS_FIELDS:
        return hint(error.axis, AXIS_FIELDS)
    return hint(axes.get(error.axis, ""), axis_values(error.axis))


WIDTH = 80
"""The most columns of a line that can be broken."""


def format_design(design: Design, *, explained: bool = False) -> str:
    """A design file with the same content, with every axis; ``explained``: with comments."""
    lines = [*_about(design.about, WIDTH), "", "[axes]"]
    for axis, value in design.axes().items():
        if explained:
            lines += ["", *_comment(axis_about(axis)), *_choices(axis)]
        lines.append(_axis(design, axis, value))
    lines += _claims(design, WIDTH, explained=explained)
    return "\n".join(lines) + "\n"


def format_like(design: Design, known: Mapping[str, Design], width: int = WIDTH) -> str:
    """A design file with the same content, with those axes in which it differs from the nearest of the ``known``
    designs. It means the same if each line is indented."""
    axes = design.axes().items()
    nearest = min(known.values(), key=lambda other: len(axes - other.axes().items()))
    own = [_axis(design, axis, value) for axis, value in axes if nearest.axes()[axis] != value]
    lines = [*_about(" ".join(design.about.split()), width), f'like = "{nearest.name}"']
    lines += ["", "[axes]", *own] if own else []
    return "\n".join([*lines, *_claims(design, width)]) + "\n"


def _axis(design: Design, axis: str, value: str) -> str:
    quoted = isinstance(getattr(design, axis.replace("-", "_")), str)
    return f"{axis} = " + (f'"{value}"' if quoted else {"yes": "true", "no": "false"}[value])


def _about(text: str, width: int) -> list[str]:
    """On a line, or on several that are read as one."""
    text = "".join(char if char.isprintable() else " " for char in text).replace("\\", "\\\\").replace('"', '\\"')
    line = f'about = "{text}"'
    pieces = wrap(text, width - len('"""'), break_on_hyphens=False, break_long_words=False)
    if len(line) <= width or " ".join(pieces) != text:
        return [line]
    # With a backslash, the text may be indented by its reader.
    opening = 'about = """' if text.startswith(" ") else 'about = """\\'
    return [opening, *(f"{piece} \\" for piece in pieces[:-1]), f'{pieces[-1]}"""']


def _comment(text: str, label: str = "") -> list[str]:
    first = f"# {label}"
    return wrap(
        text, WIDTH, initial_indent=first, subsequent_indent="#" + " " * (len(first) - 1), break_on_hyphens=False
    )


def _claims(design: Design, width: int, *, explained: bool = False) -> list[str]:
    if not design.claims:
        return []
    lines = ["", "[claims]"]
    for condition in Condition:
        if invariants := [f'"{c.invariant}"' for c in design.claims if c.condition is condition]:
            lines += _comment(condition.about) if explained else []
            given = f"{condition} = [{', '.join(invariants)}]"
            lines += wrap(given, width, subsequent_indent="    ", break_on_hyphens=False)
    return lines


def _choices(axis: str) -> list[str]:
    values = axis_values(axis)
    if all(isinstance(value, bool) for value in values.values()):
        return []
    wide = max(map(len, values))
    return [
        line for name, value in values.items() for line in _comment(getattr(value, "about", ""), f"  {name:<{wide}}  ")
    ]
