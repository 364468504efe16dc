"""The registers of a scenario's actors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from client.drive.values import Value
from contract.canonical import outcome


class Registers:
    """The registers that each actor has set, with the ``let``s of the scenario, which every actor sees like its
    registers."""

    __slots__ = ("_lets", "_seen")

    def __init__(self, lets: Mapping[str, int]) -> None:
        self._lets = lets
        """The names of the scenario that stand for numbers. Configuration."""
        self._seen: dict[str, dict[str, Value]] = {}
        """Actor to the values of its names, for the actors that were asked for."""

    def clone(self) -> Registers:
        twin = Registers(self._lets)
        twin._seen = {actor: seen.copy() for actor, seen in self._seen.items()}
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``: the values that were set. An actor that was only asked for is left out."""
        put = ((actor, seen) for actor, seen in sorted(self._seen.items()) if seen != self._lets)
        return tuple([(actor, *[(name, outcome(seen[name])) for name in sorted(seen)]) for actor, seen in put])

    def of(self, actor: str) -> Mapping[str, Value]:
        """The names that the actor sees. The mapping follows later changes."""
        return self._known(actor)

    def put(self, actor: str, register: str, value: Value) -> None:
        self._known(actor)[register] = value

    def _known(self, actor: str) -> dict[str, Value]:
        if actor not in self._seen:
            self._seen[actor] = dict(self._lets)
        return self._seen[actor]
