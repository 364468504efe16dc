"""The LBR of each CPU after each record: its entries, newest first, by the executor of each branch."""

from __future__ import annotations

import msgspec

from client.check.world import World
from contract import trace as t

Runs = list[tuple[str, int]]
"""Executor and number of entries, newest first. ``""``: empty; ``?``: a value that is no branch of this run."""


class Ring(msgspec.Struct):
    """``changes``: number of a record, and the entries after it."""

    cpu: int
    changes: list[tuple[int, Runs]] = []


_TOUCHES = (
    t.Retired, t.Pmi, t.GuestMsr, t.HostMsr, t.LbrReset, t.LbrRestore, t.VmEntry, t.VmExit, t.Switch,
)  # fmt: skip


class Rings:
    """Takes records in order, each after ``world`` has taken it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._names: dict[int, str] = {}
        self.rings = [Ring(cpu, [(1, [("", world.model.depth)])]) for cpu in range(len(world.cpus))]

    def take(self, r: t.AnyRecord) -> None:
        cpus = self._world.cpus_of(r) if isinstance(r, t.Crash) else [r.cpu] if isinstance(r, _TOUCHES) else []
        for cpu in cpus:
            runs, changes = self._runs(cpu), self.rings[cpu].changes
            if runs != changes[-1][1]:
                changes.append((r.seq, runs))

    def _runs(self, cpu: int) -> Runs:
        lbr = self._world.cpus[cpu].lbr
        runs: Runs = []
        for i in lbr.newest_first():
            name = self._name(lbr.from_ip[i])
            if runs and runs[-1][0] == name:
                runs[-1] = name, runs[-1][1] + 1
            else:
                runs.append((name, 1))
        return runs

    def _name(self, value: int) -> str:
        if not value:
            return ""
        owner = self._world.owner(value)
        if owner is None:
            return "?"
        guest, actor = owner
        return f"{'guest' if guest else 'host'} {self._world.actors[actor] or 'idle'}"
