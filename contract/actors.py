"""Names and numbers of the actors that execute branches."""

from __future__ import annotations

from contract.errors import RefusedError
from contract.provenance import ACTOR_LIMIT

IDLE = ""


def actor_table(tasks: list[str], vcpus: list[str]) -> list[str]:
    """Actor number to name: the idle task, host tasks, vCPUs. A vCPU's thread is the host task of the same name."""
    names = [IDLE, *tasks, *vcpus]
    if len(set(names)) != len(names):
        raise RefusedError("two tasks of one name", "EEXIST")
    if len(names) > ACTOR_LIMIT:
        raise RefusedError(f"more than {ACTOR_LIMIT - 1} tasks")
    return names
