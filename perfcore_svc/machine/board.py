"""The constant part of a machine, and its silicon at reset."""

from __future__ import annotations

import msgspec

from contract.lbr_ring import LbrRing
from contract.x86 import LbrModel, lbr_ranges
from perfcore_svc.machine.cpu import Cpu, Silicon


class Board(msgspec.Struct, frozen=True):
    """The constant part of a machine. ``passed``: the LBR's registers. CPUs below ``first_cpu`` are offline here; they
    belong to other hosts of the run."""

    model: LbrModel
    passed: tuple[tuple[int, int], ...]
    actors: dict[str, int]
    first_cpu: int = 0
    first_serial: int = 0


def new_board(model: LbrModel, actors: list[str], *, first_cpu: int = 0, first_serial: int = 0) -> Board:
    return Board(model, lbr_ranges(model), {name: i for i, name in enumerate(actors)}, first_cpu, first_serial)


def new_silicon(board: Board, cpus: int) -> Silicon:
    """``cpus`` CPUs in host mode, idle."""
    return Silicon([Cpu(i, LbrRing(board.model)) for i in range(board.first_cpu + cpus)], {}, board.first_serial)
