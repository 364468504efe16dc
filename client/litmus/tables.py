"""The parser of a grammar, its tables kept from one start of the program to the next.

Lark takes 80 ms to compute them and 10 ms to load them; a run takes less than 3. The file is a pickle, which can run
code, so it is read only from a folder that nobody else can write: ``lbrlab`` in the user's cache folder
(``XDG_CACHE_HOME``, else ``~/.cache``). Without such a folder the tables are computed each time. Lark computes them
again for another grammar, and if the file is damaged.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import Any

import lark
from lark import Lark

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def parser_of(grammar: str, **options: Any) -> Lark:
    """``Lark(grammar, parser="lalr", **options)``."""
    folder = cache_folder()
    if folder is None:
        return Lark(grammar, parser="lalr", **options)
    # Programs of two versions side by side keep two files.
    of = f"{lark.__version__} {sys.version_info[:2]} {grammar}"
    path = folder / f"grammar-{hashlib.sha256(of.encode()).hexdigest()[:16]}"
    return Lark(grammar, parser="lalr", cache=str(path), **options)


def cache_folder() -> Path | None:
    """The folder for files that can be computed again; None if others could write in it, or if this user cannot."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "lbrlab"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError):
        return None
    ours = found.st_uid == os.getuid() and not found.st_mode & OTHERS_WRITE
    return folder if ours and os.access(folder, os.W_OK) else None
