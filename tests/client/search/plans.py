"""Small plans for tests."""

from __future__ import annotations

from client.designs import design_named
from client.litmus.fault_kinds import FAULT_KINDS
from client.search.plan import Plan, Source
from contract.design import Design
from tests.designs import REVOKE_GP

SCENARIOS = (Source("r12-fence"), Source("central-story"), Source("guest-alone"))


def small(
    *designs: Design, seed: int = 0, runs: int = 3, kinds: tuple[str, ...] = tuple(FAULT_KINDS), **more: object
) -> Plan:
    """Chunks of three runs, so that a campaign of a few runs has several."""
    settings = {"stories": False, "canary": design_named("fenced+entry-check=none"), **more}
    return Plan(seed, designs or (REVOKE_GP,), SCENARIOS, kinds, runs=runs, **settings)  # type: ignore[arg-type]
