"""The scenarios of the library, each read once in a process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

from client.litmus import Scenario, library, library_path, load, parser


@cache
def library_scenario(name: str) -> Scenario:
    """A scenario of the library. All tests share it: change a copy."""
    return load(library_path(name))


def library_scenarios() -> list[Scenario]:
    """The whole library, in its order."""
    return [library_scenario(path.stem) for path in library()]


@contextmanager
def kept_library() -> Iterator[None]:
    """Within the block, each ``load`` of a file of the library gives a new copy, and only the first one parses it. The
    commands in the tests load the library some thirty times."""
    parse, files = parser.parse, {str(path) for path in library()}

    @cache
    def kept(text: str, path: str) -> bytes:
        return pickle.dumps(parse(text, path))

    def parse_or_copy(text: str, path: str = "<text>") -> Scenario:
        if path not in files:
            return parse(text, path)
        scenario: Scenario = pickle.loads(kept(text, path))
        return scenario

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "parse", parse_or_copy)
        yield
