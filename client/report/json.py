"""Documents of a command: JSON on standard output."""

from __future__ import annotations

import sys

import msgspec

from client.report.plain import plain_json


class ErrorDocument(msgspec.Struct):
    """The document of a command that ends with exit code 2 or 3 before it has a result."""

    error: str
    exit_code: int


def print_json(document: object) -> None:
    sys.stdout.write(plain_json(msgspec.json.format(msgspec.json.encode(document), indent=2).decode()) + "\n")
