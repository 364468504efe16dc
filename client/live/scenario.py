"""A scenario from a file as the workload of a live run.

Each thread carries its statements out once. If its last statement is a ``repeat``, the loop goes on until time is over:
its count becomes a ``let`` of the run's scenario, which at the end has the turns that were made.
"""

from __future__ import annotations

from msgspec.structs import replace

from client.litmus import Scenario, format_scenario, parse
from client.litmus.ast import (
    AdvanceTime,
    AnyStmt,
    CloseEvent,
    EventOp,
    GuestStmt,
    HostBranch,
    LitmusStep,
    OpenEvent,
    ProgramStmt,
    ReadEvent,
    Repeat,
    RunOn,
    SampleEvent,
    UserStmt,
)
from client.litmus.scenario import Block
from client.live.workload import TURNS, turns_of
from contract.errors import InputError
from perfcore_svc.machine.machine import OVERFLOWS_AT_ONCE

FREE = (RunOn, OpenEvent, EventOp, ReadEvent, SampleEvent, CloseEvent, HostBranch, GuestStmt, ProgramStmt)
"""Statements that a service carries out in one command, whenever it comes to it."""


def freely(scenario: Scenario) -> Scenario:
    """The scenario for a live run. Raises InputError naming the statement that a live run cannot have."""
    name = scenario.file or scenario.name
    if scenario.hosts:
        raise InputError("a live run has one host, this scenario has more", name)
    if scenario.faults:
        raise InputError("names faults; in a live run the services draw them (--fault)", name)
    if not scenario.blocks:
        raise InputError("has no statements", name)
    for step in scenario.steps():
        _check(step, f"{name}:{step.line}")
    lets = dict(scenario.lets)
    blocks = [_endless(block, lets) for block in scenario.blocks]
    made = replace(scenario, blocks=blocks, lets=lets, final=None, expects=[])
    return parse(format_scenario(made), scenario.name)  # The records name the lines of this text.


def _check(step: LitmusStep, place: str) -> None:
    stmt = step.stmt
    if not isinstance(stmt, FREE):
        raise InputError(f"a live run cannot have '{stmt.text()}'{_why(stmt)}", place)
    if isinstance(stmt, HostBranch) and not (isinstance(stmt.count, int) and stmt.count <= OVERFLOWS_AT_ONCE):
        raise InputError(f"expected at most {OVERFLOWS_AT_ONCE} branches at once in a live run", place)


def _why(stmt: AnyStmt) -> str:
    if isinstance(stmt, AdvanceTime):
        return ": time passes by itself"
    return ": user space does nothing" if isinstance(stmt, UserStmt) else ""


def _endless(block: Block, lets: dict[str, int]) -> Block:
    last = block.steps[-1] if block.steps else None
    if last is None or not isinstance(last.stmt, Repeat):
        return block
    let = turns_of(block.name)
    lets[let] = TURNS
    endless = replace(last, stmt=replace(last.stmt, count=let))
    return replace(block, steps=[*block.steps[:-1], endless])
