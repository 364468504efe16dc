"""The document of ``run --schedules --json``, and how it is made."""

from __future__ import annotations

import msgspec

from client.run.final import final_text
from client.run.run import Run
from client.search.outcomes import Outcomes


class OutcomeDocument(msgspec.Struct):
    """``count``: the runs that end so. ``state``: each register of the final condition, or of the run where there is no
    condition, to its value as text. ``violated``: the invariants that these runs violate. ``matches``: whether the
    expression of the final condition is true in it, null without one. ``first``: the number of the first schedule that
    gives it. ``witness``: the run file of that schedule, null if it could not be written."""

    count: int
    state: dict[str, str]
    violated: list[str]
    matches: bool | None
    first: int
    witness: str | None


class ViolatedDocument(msgspec.Struct):
    """``count``: the runs that violate the invariant; ``witness``: the run file of the first."""

    count: int
    witness: str | None


class OutcomesDocument(msgspec.Struct, kw_only=True):
    """``run --schedules``. ``ok``: no run was violated or failed, and an exists was witnessed. ``outcomes``: the most
    frequent first. ``beyond``: runs of further outcomes, which are not listed. ``positive``, ``negative``: runs in
    which the expression of the final condition is true or false. ``observation``: Never, Sometimes, Always, or "".
    ``verdicts``: verdict to the number of runs. ``violated``: by invariant."""

    ok: bool
    exit_code: int
    scenario: str
    design: str
    schedules: int
    runs: int
    seed: int
    faults: list[str]
    outcomes: list[OutcomeDocument]
    beyond: int
    condition: str | None
    positive: int
    negative: int
    observation: str
    verdicts: dict[str, int]
    violated: dict[str, ViolatedDocument]


def outcomes_document(found: Outcomes, schedules: int, faults: list[str]) -> OutcomesDocument:
    """The runs of ``found`` that are witnesses have to be kept before."""
    final = found.scenario.final
    return OutcomesDocument(
        ok=found.ok,
        exit_code=int(found.exit_code),
        scenario=found.scenario.name,
        design=found.design.name,
        schedules=schedules,
        runs=found.runs,
        seed=found.seed,
        faults=faults,
        outcomes=[
            OutcomeDocument(o.count, o.state, list(o.violated), o.matches, o.first, _path(o.witness))
            for o in found.found
        ],
        beyond=found.beyond,
        condition=final_text(final) if final else None,
        positive=found.positive,
        negative=found.negative,
        observation=found.observation,
        verdicts=found.verdicts,
        violated={
            name: ViolatedDocument(count, _path(found.witnesses[name])) for name, count in found.violated.items()
        },
    )


def _path(run: Run) -> str | None:
    return str(run.path) if run.path else None
