"""Places in a scenario: a path through the value, and its line and column in the text."""

from __future__ import annotations

from typing import NoReturn

from lark import Token

from contract.errors import InputError

# ("machine", "cpus"), ("vm", 0, "vcpus"), ("block", 1, "step", 4, "cpu"), ("final", 0, "left") ...
Path = tuple[str | int, ...]


def token_place(file: str, token: Token) -> str:
    return f"{file}:{token.line}:{token.column}"


class Places:
    """Lines and columns of a parsed scenario, kept beside it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._tokens: dict[Path, Token] = {}

    def mark(self, path: Path, token: Token) -> str:
        self._tokens.setdefault(path, token)
        return str(token)

    def fail(self, token: Token, message: str) -> NoReturn:
        raise InputError(message, token_place(self.file, token))

    def find(self, path: Path) -> str:
        """The place of the innermost element around ``path`` that has a place."""
        while path and path not in self._tokens:
            path = path[:-1]
        return token_place(self.file, self._tokens[path]) if path else self.file
