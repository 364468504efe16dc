"""The player keeps the list of the threads that can step, as long as nothing that it depends on has changed."""

from __future__ import annotations

import pytest

from client.drive.play import Player
from client.litmus.fault_kinds import FAULT_KINDS
from client.run.run import run
from client.search.plan import Plan, chunk_of, inputs_of
from tests.designs import DESIGNS

PLAN = Plan(1, tuple(DESIGNS[name] for name in ("v7", "fenced", "mediated")), (), tuple(FAULT_KINDS), canary=None)


def test_the_list_is_as_if_it_were_made_now(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, asked = Player.ready, {"known": 0, "new": 0}

    def checked(player: Player) -> list[str]:
        asked["new" if player._ready is None else "known"] += 1
        found = kept(player)
        assert found == [name for name in player.threads if not player.obstacle(name)]
        return found

    monkeypatch.setattr(Player, "ready", checked)
    for number in range(36):
        run(inputs_of(PLAN, chunk_of(PLAN, number), 0))
    assert min(asked.values()) > 500
