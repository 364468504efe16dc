"""Named sets of fault rules: one file each, in the form of the files that ``--faults`` takes."""

from __future__ import annotations

from pathlib import Path

from client.files import read_file
from client.litmus.fault_rules import parse_faults
from client.litmus.spelling import unknown
from contract.errors import InputError

FOLDER = Path(__file__).parent
SIZE_LIMIT = 1 << 20


def presets() -> dict[str, str]:
    """The name of each preset, and what it does: the comment at the head of its file."""
    found = sorted(FOLDER.glob("*.faults"))
    return {path.stem: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in found}


def rules_of(name: str) -> tuple[str, ...]:
    """The rules of a preset, or of a file by its path."""
    path = FOLDER / f"{name}.faults" if name in presets() else Path(name)
    try:
        text = read_file(path, SIZE_LIMIT).decode("utf-8")
    except OSError as error:
        if "/" not in name and not path.exists():
            raise InputError(unknown("preset", name, presets()), "--faults") from None
        raise InputError(f"cannot read: {error.strerror}", name) from None
    except UnicodeDecodeError:
        raise InputError("not a text file in UTF-8", name) from None
    return tuple(map(str, parse_faults(text, name)))
