"""The pool of a command: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from client.workers.pool import InThisProcess, Pool
from client.workers.processes import Processes
from contract.errors import InputError


@contextmanager
def open_pool(workers: int, dask: str | None = None) -> Iterator[Pool]:
    """``workers``: the number of processes, 0 for one on each core. ``dask``: the address of a scheduler, whose workers
    are used instead."""
    if dask is not None and workers:
        raise InputError("the workers of the cluster are used; expected one of both", "--workers, --dask")
    pool: Pool
    if dask is not None:
        from client.workers.cluster import Cluster

        pool = Cluster(dask)
    else:
        pool = InThisProcess() if workers == 1 else Processes(workers)
    try:
        yield pool
    finally:
        pool.close()
