"""The position of a thread in its block. It stops at one statement at a time, and carries out the program statements
between.

A program statement is not a step, and depends only on registers of its own actor. So neither the tape nor a service
ever sees one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from client.drive.registers import Registers
from client.litmus import ast as a
from client.litmus.arithmetic import NoNumberError, evaluate, holds, no_number
from client.litmus.limits import MAX_EXECUTED
from client.litmus.text import operand_text
from contract.errors import InputError

Set = Callable[[str, str, int | str], None]


@dataclass(slots=True)
class Frame:
    """Statements between two braces. ``loop``: the condition that is tested at the closing brace. ``left``,
    ``counter``: of repeat and for."""

    steps: Sequence[a.Step]
    loop: a.Step | None = None
    at: int = 0
    left: int = 0
    counter: int = 0


@dataclass(slots=True)
class Program:
    """``scenario``: the file or scenario name in error messages. ``depth``: the number of LBR entries, the value of
    ``lbr_depth``."""

    block: a.Block
    scenario: str
    registers: Registers
    set: Set
    depth: int
    executed: int = 0
    frames: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frames = [Frame(self.block.steps)]

    @property
    def current(self) -> a.Step | None:
        """The statement to carry out next, None at the end. Call ``settle`` first."""
        frame = self.frames[-1]
        return frame.steps[frame.at] if frame.at < len(frame.steps) else None

    def advance(self) -> None:
        """Finish the current statement. Raises InputError as ``settle`` does."""
        self.frames[-1].at += 1
        self.settle()

    def settle(self) -> None:
        """Carry out program statements up to the next statement that is a step, or to the end.

        Raises InputError naming the line when a thread carries out more than MAX_EXECUTED statements, or compares a
        value that is not a number."""
        while True:
            frame = self.frames[-1]
            if frame.at < len(frame.steps):
                step = frame.steps[frame.at]
                self._count(step)
                if not isinstance(step.stmt, a.ProgramStmt):
                    return
                self._carry_out(step, frame)
            elif len(self.frames) == 1:
                return
            else:
                if frame.loop is not None:
                    self._count(frame.loop)
                    if self._again(frame.loop, frame):
                        frame.at = 0
                        continue
                self.frames.pop()

    def value(self, operand: a.Operand, actor: str) -> int | str:
        return evaluate(operand, self.registers.of(actor), self.depth)

    def _carry_out(self, step: a.Step, frame: Frame) -> None:
        frame.at += 1
        match step.stmt:
            case a.Assign(register=register, value=value):
                self.set(step.actor, register, self.value(value, step.actor))
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

    def _enter(self, step: a.Step, frame: Frame) -> None:
        if self._again(step, frame):
            self.frames.append(frame)

    def _again(self, step: a.Step, frame: Frame) -> bool:
        """Whether the body is carried out once more. A count or an end that is not a number ends a loop."""
        match step.stmt:
            case a.Repeat():
                frame.left -= 1
                return frame.left >= 0
            case a.For(counter=counter, end=end):
                last = self.value(end, step.actor)
                if not isinstance(last, int) or frame.counter >= last:
                    return False
                self.set(step.actor, counter, frame.counter)
                frame.counter += 1
                return True
            case a.While(test=test):
                return self._holds(test, step)
            case _:
                return False

    def _holds(self, test: a.Condition, step: a.Step) -> bool:
        try:
            return holds(test, self.registers.of(step.actor), self.depth)
        except NoNumberError as error:
            message = no_number(step.actor, operand_text(error.operand), error.word)
            raise InputError(message, self._place(step)) from None

    def _place(self, step: a.Step) -> str:
        return f"{self.scenario}:{step.line}" if step.line else self.scenario

    def _count(self, step: a.Step) -> None:
        self.executed += 1
        if self.executed > MAX_EXECUTED:
            raise InputError(
                f"{self.block.name} carries out more than {MAX_EXECUTED} statements, at '{step.stmt.text()}'",
                self._place(step),
            )
