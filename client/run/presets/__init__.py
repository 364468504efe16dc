"""Named sets of fault rules: one file each, in the form of the files that ``--faults`` takes."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from client.files import read_text
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import NUMBER_LIMIT, RULES_LIMIT, numbered_faults
from client.litmus.spelling import listed, quote, unknown
from client.run.placed import PlacedRule
from contract.errors import InputError

FOLDER = Path(__file__).parent
SIZE_LIMIT = 1 << 20
SEED_LIMIT = NUMBER_LIMIT // RULES_LIMIT - 1
"""The largest seed of a set of rules."""
_SEEDED = re.compile(r"(.+)[ :]seed=([0-9]+)")


def presets() -> dict[str, str]:
    """The name of each preset, and its description: the comment at the head of its file."""
    found = sorted(FOLDER.glob("*.faults"))
    return {path.stem: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in found}


def rules_of(name: str, seed: int | None = None, place: str = "--faults") -> tuple[FaultRule, ...]:
    """The rules of a preset, or of a file by its path.

    ``seed``: from 0 to SEED_LIMIT. Each rule with a probability then draws another row, and no two rules the same one.
    It may also stand behind the name: ``all seed=7``. ``place``: the name of the argument in error messages. Raises
    InputError, also where there is no rule."""
    return tuple(each.rule for each in placed_rules_of(name, seed, place))


def placed_rules_of(name: str, seed: int | None = None, place: str = "--faults") -> tuple[PlacedRule, ...]:
    """The rules as ``rules_of`` gives them, each with its file and line."""
    if seed is None and (match := _SEEDED.fullmatch(name)):
        name, seed = match[1], int(match[2][:12])
    if seed is not None and not 0 <= seed <= SEED_LIMIT:
        raise InputError(f"seed {seed} is not a number from 0 to {SEED_LIMIT:_}", place)
    return tuple(
        PlacedRule(
            rule if seed is None or rule.chance == 1 else replace(rule, seed=seed * RULES_LIMIT + nth),
            f"{name}:{line}: {quote(str(rule))}",
        )
        for nth, (line, rule) in enumerate(_read(name, place))
    )


def _read(name: str, place: str) -> list[tuple[int, FaultRule]]:
    """The rules, each with its line."""
    if not name.strip():
        raise InputError(f"expected a file of rules, or a preset: {listed(presets())}", place)
    path = FOLDER / f"{name}.faults" if name in presets() else Path(name)
    if "/" not in name and not path.exists():
        raise InputError(unknown("preset", name, presets()), place)
    return numbered_faults(read_text(path, SIZE_LIMIT), name)
