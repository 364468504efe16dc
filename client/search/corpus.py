"""The corpus of a campaign: a folder of run files whose schedules are worth to be played first."""

from __future__ import annotations

import hashlib
from pathlib import Path

from client.files import read_content, write_file
from client.run.file import SIZE_LIMIT

FILES_LIMIT = 100
"""Run files that a corpus grows to."""


class Corpus:
    def __init__(self, folder: Path, limit: int = FILES_LIMIT) -> None:
        self.folder, self.limit = folder, limit
        self.names = sorted(path.name for path in folder.glob("*.json")) if folder.is_dir() else []

    def files(self) -> list[tuple[str, bytes]]:
        """Name and content of each file."""
        return [(str(self.folder / name), read_content(self.folder / name, SIZE_LIMIT)) for name in self.names]

    @property
    def full(self) -> bool:
        return len(self.names) >= self.limit

    def add(self, content: bytes) -> str:
        """Keep a run file, unless the corpus is full or has it. Gives its name."""
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.json"
        if not self.full and name not in self.names:
            write_file(self.folder / name, content)
            self.names.append(name)
        return name
