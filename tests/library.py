"""The scenarios of the library, each read once in a process."""

from __future__ import annotations

from functools import cache

from client.litmus import Scenario, library, library_path, load


@cache
def library_scenario(name: str) -> Scenario:
    """A scenario of the library. All tests share it: change a copy."""
    return load(library_path(name))


def library_scenarios() -> list[Scenario]:
    """The whole library, in its order."""
    return [library_scenario(path.stem) for path in library()]
