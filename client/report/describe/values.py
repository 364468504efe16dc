"""Values of a trace in words: registers, bits, LBR entries."""

from __future__ import annotations

from client.drive.values import fields_text
from client.litmus.expression import MsrRef
from client.litmus.msr import bit_names
from contract.provenance import origin_of
from contract.trace import Setup
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_SELECT, MSR_LBR_TOS, lbr_model, msr_name

_BITS = {IA32_DEBUGCTL: bit_names(MsrRef("DEBUGCTL")), MSR_LBR_SELECT: bit_names(MsrRef("LBR_SELECT"))}


class Values:
    """The setup of the run gives the names of registers and actors."""

    def __init__(self, setup: Setup) -> None:
        self.model = lbr_model(setup.lbr, setup.depth)
        self.actors = setup.actors

    def bits(self, msr: int, value: int) -> str:
        """The bits of an MSR by name."""
        names = [name for name, bit in _BITS.get(msr, {}).items() if value & bit]
        rest = value & ~sum(_BITS.get(msr, {}).get(name, 0) for name in names)
        return "|".join([*names, *([f"{rest:#x}"] if rest else [])]) or "0"

    def value(self, msr: int, value: int) -> str:
        """The value of an MSR: bits by name, an entry by its origin, or a number."""
        if msr in _BITS:
            return self.bits(msr, value)
        return str(value) if msr == MSR_LBR_TOS else self.branch(value)

    def branch(self, value: int) -> str:
        """An LBR entry: 0, or the executor of its branch."""
        origin = origin_of(value) if value else None
        if origin is None or origin.actor >= len(self.actors):
            return f"{value:#x}" if value else "0"
        mode = "guest" if origin.guest else "host"
        return f"{mode} {self.actors[origin.actor] or 'idle'} #{origin.serial}"

    def outcome(self, value: int | str | dict[str, int | str]) -> str:
        """The value of a register of a scenario."""
        if isinstance(value, dict):
            return fields_text(value)
        return value if isinstance(value, str) else self.branch(value) if value >> 32 else str(value)

    def register(self, msr: int) -> str:
        """The name of an MSR."""
        return msr_name(self.model, msr)

    def stack(self, from_ip: list[int]) -> str:
        """The entries of a ring, newest first, grouped by origin: ``4 guest vm0/0, 8 host vm0/0``."""
        runs: list[tuple[str, int]] = []
        for value in from_ip:
            who = self.branch(value).split(" #")[0]
            if runs and runs[-1][0] == who:
                runs[-1] = (who, runs[-1][1] + 1)
            else:
                runs.append((who, 1))
        return ", ".join(f"{n} {'empty' if who == '0' else who}" for who, n in runs) or "empty"

    def access(self, msr: int, value: int, write: bool) -> str:
        """``writes DEBUGCTL <- LBR`` or ``reads LBR_TOS = 3``."""
        verb = "writes" if write else "reads"
        return f"{verb} {self.register(msr)} {'<-' if write else '='} {self.value(msr, value)}"
