"""The position of a thread in its block. It stops at one statement at a time, and carries out the program statements
between.

A program statement is not a step, and depends only on registers of its own actor. So neither the tape nor a service
ever sees one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from client.drive.registers import Registers
from client.litmus import ast as a
from client.litmus.arithmetic import NoNumberError, evaluate, holds, no_number
from client.litmus.limits import MAX_EXECUTED
from client.litmus.text import operand_text
from contract.errors import InputError
from contract.trace import Outcome


@dataclass(slots=True)
class Frame:
    """Statements between two braces."""

    steps: Sequence[a.LitmusStep]
    """The statements."""
    loop: a.LitmusStep | None = None
    """The statement whose end decides at the closing brace whether the body is carried out once more."""
    position: int = 0
    """The statement to take next, from 0."""
    left: int = 0
    """For repeat: the number of turns that are left."""
    counter: int = 0
    """For for: the next number."""

    def clone(self) -> Frame:
        return Frame(self.steps, self.loop, self.position, self.left, self.counter)

    def key(self) -> tuple[Hashable, ...]:
        """Its place in the frame around it shows the loop that it belongs to."""
        return self.position, self.left, self.counter


@dataclass(slots=True)
class Program:
    block: a.Block
    """The thread. Configuration."""
    scenario: str
    """The file, or the name, that errors name. Configuration."""
    registers: Registers
    """Those of all actors."""
    depth: int
    """The number of LBR entries that ``lbr_depth`` stands for. Configuration."""
    executed: int = 0
    """Statements that the thread has carried out, up to MAX_EXECUTED."""
    current: a.LitmusStep | None = None
    """The statement to carry out next, as ``settle`` has found it; None at the end."""
    frames: list[Frame] = field(default_factory=list)
    """The position, from the whole block to the innermost braces."""
    outcomes: list[Outcome] = field(default_factory=list)
    """Registers that the current step has set; empty between two steps."""

    def __post_init__(self) -> None:
        self.frames = self.frames or [Frame(self.block.steps)]

    def clone(self, registers: Registers) -> Program:
        """With the copy of the registers."""
        frames = [frame.clone() for frame in self.frames]
        return Program(self.block, self.scenario, registers, self.depth, self.executed, self.current, frames)

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        inner = [(_is_else(around, frame), frame.key()) for around, frame in pairwise(self.frames)]
        return self.frames[0].key(), tuple(inner)

    def advance(self) -> list[Outcome]:
        """The current statement is done; then as ``settle``."""
        self.frames[-1].position += 1
        return self.settle()

    def settle(self) -> list[Outcome]:
        """Carry out program statements up to the next statement that is a step, or to the end. Gives the registers that
        they set.

        Raises InputError naming the line when a thread carries out more than MAX_EXECUTED statements, or compares a
        value that is not a number."""
        while not self._is_settled():
            pass
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def _is_settled(self) -> bool:
        """Whether a step, or the end, is next. If not, carry out one more program statement."""
        frame = self.frames[-1]
        if frame.position < len(frame.steps):
            step = frame.steps[frame.position]
            self._count(step)
            if not isinstance(step.stmt, a.ProgramStmt):
                self.current = step
                return True
            self._carry_out(step, frame)
        elif len(self.frames) == 1:
            self.current = None
            return True
        else:
            self._close(frame)
        return False

    def _close(self, frame: Frame) -> None:
        """The closing brace of ``frame``."""
        if frame.loop is not None:
            self._count(frame.loop)
            if self._again(frame.loop, frame):
                frame.position = 0
                return
        self.frames.pop()

    def value(self, operand: a.Operand, actor: str) -> int | str:
        return evaluate(operand, self.registers.of(actor), self.depth)

    def _carry_out(self, step: a.LitmusStep, frame: Frame) -> None:
        frame.position += 1
        match step.stmt:
            case a.Assign(register=register, value=value):
                self._set(step.actor, register, self.value(value, step.actor))
            case a.If(test=test, then=then, orelse=orelse):
                self.frames.append(Frame(then if self._holds(test, step) else orelse))
            case a.Break():
                while self.frames.pop().loop is None:
                    pass
            case a.Repeat(body=body, count=count):
                times = self.value(count, step.actor)
                self._enter(step, Frame(body, step, left=times if isinstance(times, int) else 0))
            case a.For(body=body, first=first):
                start = self.value(first, step.actor)
                if isinstance(start, int):
                    self._enter(step, Frame(body, step, counter=start))
            case a.While(body=body):
                self._enter(step, Frame(body, step))

    def _enter(self, step: a.LitmusStep, frame: Frame) -> None:
        if self._again(step, frame):
            self.frames.append(frame)

    def _again(self, step: a.LitmusStep, frame: Frame) -> bool:
        """Whether the body is carried out once more. A count or an end that is not a number ends a loop."""
        match step.stmt:
            case a.Repeat():
                frame.left -= 1
                return frame.left >= 0
            case a.For(counter=counter, end=end):
                last = self.value(end, step.actor)
                if not isinstance(last, int) or frame.counter >= last:
                    return False
                self._set(step.actor, counter, frame.counter)
                frame.counter += 1
                return True
            case a.While(test=test):
                return self._holds(test, step)
            case _:
                return False

    def _set(self, actor: str, register: str, value: int | str) -> None:
        self.registers.put(actor, register, value)
        self.outcomes.append(Outcome(actor, register, value))

    def _holds(self, test: a.Condition, step: a.LitmusStep) -> bool:
        try:
            return holds(test, self.registers.of(step.actor), self.depth)
        except NoNumberError as error:
            message = no_number(step.actor, operand_text(error.operand), error.word)
            raise InputError(message, self._place(step)) from None

    def _place(self, step: a.LitmusStep) -> str:
        return f"{self.scenario}:{step.line}" if step.line else self.scenario

    def _count(self, step: a.LitmusStep) -> None:
        self.executed += 1
        if self.executed > MAX_EXECUTED:
            raise InputError(
                f"{self.block.name} carries out more than {MAX_EXECUTED} statements, at '{step.stmt.text()}'",
                self._place(step),
            )


def _is_else(around: Frame, frame: Frame) -> bool:
    """Whether ``frame`` is the second block of the statement in ``around`` that it belongs to."""
    stmt = around.steps[around.position - 1].stmt
    return isinstance(stmt, a.If) and frame.steps is not stmt.then
