"""One machine on the bench, asked without perf around it."""

from __future__ import annotations

from contract.effects import Clock, Effects
from contract.machine import (
    AnyOp,
    AnyReply,
    Continue,
    Controls,
    Enter,
    Exit,
    Request,
    SiliconRequest,
)
from contract.x86 import lbr_model
from perfcore_svc.machine.board import new_board, new_silicon
from perfcore_svc.machine.machine import Machine

LBR, FREEZE, BTF, RESERVED = 1, 1 << 11, 2, 1 << 3
FROM0 = 0x680
ACTIVE_EVENT = 7


class Bench(Machine):
    """One machine with vCPU v on cpu0; event 7 is the ACTIVE one."""

    def __init__(self, lbr: str = "skylake") -> None:
        board = new_board(lbr_model(lbr, 4), ["", "t", "v", "w"])
        super().__init__(board, new_silicon(board, 2), Effects(Clock()))
        self.cpus[0].task = "v"

    def ask(self, request: Request) -> AnyReply:
        assert isinstance(request, SiliconRequest)
        return self.handle(request, lambda event, grant: event == ACTIVE_EVENT and grant in (0, 1))

    def enter(self, *ops: AnyOp, debugctl: int = 0, passthrough: bool = False, **controls: object) -> AnyReply:
        return self.ask(Enter("v", 0, Controls(debugctl, passthrough, **controls), list(ops)))  # type: ignore[arg-type]

    def go_on(self, *ops: AnyOp, kick: bool = False) -> AnyReply:
        return self.ask(Continue("v", 0, list(ops), kick))


def left(reply: AnyReply) -> Exit:
    assert isinstance(reply, Exit)
    return reply


def kinds(log: Effects) -> list[type]:
    return [type(r) for r in log.records]
