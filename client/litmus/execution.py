"""The context in which a statement becomes a command: the LBR of the machine, the registers and events of its actor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from client.litmus import msr
from client.litmus.arithmetic import number
from client.litmus.expression import MsrRef, Operand
from contract.x86 import LbrModel


@dataclass(slots=True)
class Execution:
    """The context of one actor. The same object serves for a whole run: ``registers`` is a view of the current
    values."""

    model: LbrModel
    registers: Mapping[str, object]
    """The actor's registers, and the numbers of ``let``."""
    event: Callable[[str], str]
    """The perf core's name for the event of a register of the actor."""

    def number(self, operand: Operand) -> int:
        """The value of an operand. Raises NoNumberError if it is a word."""
        return number(operand, self.registers, self.model.depth)

    def address(self, ref: MsrRef) -> int:
        """The address of an MSR. Raises NoNumberError if its index is a word."""
        index = ref.index or 0
        return msr.address(ref, self.model, index if isinstance(index, int) else self.number(index))
