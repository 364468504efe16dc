"""The LBR ring of one CPU: pure physics, used by the silicon and, as reference machine, by checkers.

SDM vol. 3B: TOS names the newest entry; a record goes to (TOS + 1) mod depth. In call-stack mode a call pushes and a
return pops. PERF_CAPABILITIES[5:0] gives the format of FROM.

An architectural LBR is the same ring with another interface: register i is the entry of age i, and TOS is hidden.
``select`` holds the filter that software has put into IA32_LBR_CTL, in the form of LBR_SELECT.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from msgspec.structs import replace

from contract.canonical import bank
from contract.messages import LbrImage
from contract.x86 import (
    MASK64,
    MSR_LBR_SELECT,
    MSR_LBR_TOS,
    SELECT_CALL_STACK,
    SELECT_HARDWARE,
    LbrModel,
    is_canonical,
    select_admits,
)

_CALLS = ("call", "ind_call")
INFO_CYCLES = 1
"""INFO of every record: one cycle since the previous branch, predicted."""


def from_field(lbr_fmt: int, address: int) -> int:
    """FROM as the hardware stores it: formats 3 and 4 keep flags (here all clear) above the address."""
    if lbr_fmt == 4:
        return address & (MASK64 >> 3)
    return address & (MASK64 >> 1) if lbr_fmt == 3 else address


_INFO_DEFINED = 0xFFFF | 7 << 61
_SIGN_BITS = 3 << 59


def _from_address(model: LbrModel, value: int) -> int:
    """The part of a FROM value that must be canonical. Formats 3 and 4 keep the mispredict flag in bit 63; the TSX
    flags of format 4 count as address bits on a part without TSX (``lbr_from_signext_quirk_needed``)."""
    if model.lbr_fmt in (3, 4):
        return value & MASK64 >> 1 | (value << 1 & 1 << 63)
    return value


def select_valid(model: LbrModel, value: int) -> bool:
    """Whether LBR_SELECT takes this value. If there is no such register, only 0 is valid."""
    if not model.filters:
        return value == 0
    return not value & ~(SELECT_HARDWARE if model.call_stack else SELECT_HARDWARE & ~SELECT_CALL_STACK)


def is_image(model: LbrModel, image: LbrImage) -> bool:
    """Whether the image fits the registers of this LBR, compared by whole banks. Values of entries are not checked."""
    sizes = {len(image.from_ip), len(image.to_ip), len(image.info)}
    if sizes != {model.depth} or not 0 <= image.tos < model.depth:
        return False
    return (model.filters or not image.select) and (bool(model.info_base) or not any(image.info))


def image_registers(model: LbrModel, image: LbrImage) -> Iterator[tuple[int, int]]:
    """The registers of an LBR image with their values, as an MSR-load list names them. An empty image, which clears
    them all, gives none."""
    if not image.from_ip:
        return
    if model.has_tos:
        yield MSR_LBR_TOS, image.tos
    if model.has_select:
        yield MSR_LBR_SELECT, image.select
    banks = [(model.from_base, image.from_ip), (model.to_base, image.to_ip)]
    if model.info_base:
        banks.append((model.info_base, image.info))
    for base, values in banks:
        for i, value in enumerate(values):
            yield base + i, value


def refused_register(model: LbrModel, image: LbrImage) -> int:
    """The first register that does not take its value, -1 if all take it."""
    ring = LbrRing(model)
    return next((msr for msr, value in image_registers(model, image) if not ring.takes(msr, value)), -1)


def mended_from(model: LbrModel, value: int) -> int:
    """A FROM value as software must write it back (``lbr_from_signext_quirk_wr``): bits 62:61 copied from the address's
    sign, bit 63 left alone."""
    return value | (value & _SIGN_BITS) << 2 if model.lbr_fmt == 4 else value


def mended(model: LbrModel, image: LbrImage) -> LbrImage:
    return replace(image, from_ip=[mended_from(model, value) for value in image.from_ip])


class LbrRing:
    __slots__ = ("enabled", "from_ip", "info", "model", "select", "to_ip", "tos")

    def __init__(self, model: LbrModel) -> None:
        self.model = model
        """The LBR generation. Configuration."""
        self.enabled = False
        """IA32_LBR_CTL.LBREn, of an architectural LBR."""
        self.select = 0
        """LBR_SELECT."""
        self.tos = 0
        """LBR_TOS: ring index of the newest entry."""
        self.from_ip = [0] * model.depth
        """FROM of each entry, by ring index."""
        self.to_ip = [0] * model.depth
        """TO of each entry, by ring index."""
        self.info = [0] * model.depth
        """INFO of each entry, by ring index."""

    def clone(self) -> LbrRing:
        twin = LbrRing.__new__(LbrRing)
        twin.model, twin.enabled = self.model, self.enabled
        twin.select, twin.tos = self.select, self.tos
        twin.from_ip, twin.to_ip, twin.info = self.from_ip[:], self.to_ip[:], self.info[:]
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return self.enabled, self.select, self.tos, bank(self.from_ip), bank(self.to_ip), tuple(self.info)

    def bank(self, msr: int) -> tuple[list[int], int] | None:
        """The list and index for the FROM, TO or INFO register ``msr``; None for any other register."""
        model = self.model
        if model.from_base <= msr < model.from_base + model.depth:
            return self.from_ip, self._index(msr - model.from_base)
        if model.to_base <= msr < model.to_base + model.depth:
            return self.to_ip, self._index(msr - model.to_base)
        if model.info_base and model.info_base <= msr < model.info_base + model.depth:
            return self.info, self._index(msr - model.info_base)
        return None

    def _index(self, number: int) -> int:
        """The ring index of the entry that has this number in its bank."""
        return (self.tos - number) & (self.model.depth - 1) if self.model.architectural else number

    def takes(self, msr: int, value: int) -> bool:
        """Whether WRMSR of this value to this register is accepted. Otherwise it gives #GP (SDM vol. 4)."""
        model = self.model
        if self.get(msr) is None:
            return False
        if msr == MSR_LBR_TOS:
            return True
        if msr == MSR_LBR_SELECT:
            return select_valid(model, value)
        if model.info_base and model.info_base <= msr < model.info_base + model.depth:
            return not value & ~_INFO_DEFINED
        is_from = model.from_base <= msr < model.from_base + model.depth
        return is_canonical(_from_address(model, value) if is_from else value)

    def put(self, msr: int, value: int) -> None:
        """Carry out a write that the hardware has accepted. It may ignore the value."""
        if msr == MSR_LBR_TOS:
            if self.model.has_tos:
                self.tos = value & (self.model.depth - 1)
        elif msr == MSR_LBR_SELECT:
            if not self.model.architectural:
                self.select = value
        elif (found := self.bank(msr)) is not None:
            entries, i = found
            entries[i] = value

    def get(self, msr: int) -> int | None:
        """The value of ``msr``, None if it is not a register of this LBR."""
        if msr == MSR_LBR_TOS:
            return self.tos if self.model.has_tos else None
        if msr == MSR_LBR_SELECT and self.model.has_select:
            return self.select
        found = self.bank(msr)
        return None if found is None else found[0][found[1]]

    def retire(self, address: int, count: int, kind: str, privilege: str) -> bool:
        """``count`` branches, the first at ``address``, each 2 bytes further; False if LBR_SELECT suppresses them
        or there is no LBR."""
        select = self.select
        if not self.from_ip:
            return False
        if not select_admits(select, kind, privilege):
            return False
        if select & SELECT_CALL_STACK:
            if kind == "return":
                self._pop(count)
                return True
            if kind not in _CALLS:
                return False
        self._push(address, count)
        return True

    def _push(self, address: int, count: int) -> None:
        depth = self.model.depth
        start = (self.tos + 1) & (depth - 1)
        self.tos = (self.tos + count) & (depth - 1)
        if count > depth:
            start = (start + count - depth) & (depth - 1)
            address += 2 * (count - depth)
            count = depth
        head = min(count, depth - start)
        self._write(start, address, head)
        if head < count:
            self._write(0, address + 2 * head, count - head)

    def _write(self, start: int, address: int, count: int) -> None:
        """Entries from ring index ``start`` on, without a wrap: ``count`` branches, the first at ``address``."""
        end, stored = start + count, from_field(self.model.lbr_fmt, address)
        self.from_ip[start:end] = range(stored, stored + 2 * count, 2)
        self.to_ip[start:end] = range(address + 1, address + 1 + 2 * count, 2)
        if self.model.info_base:
            self.info[start:end] = [INFO_CYCLES] * count

    def _pop(self, count: int) -> None:
        mask = self.model.depth - 1
        for age in range(min(count, self.model.depth)):
            i = (self.tos - age) & mask
            self.from_ip[i] = self.to_ip[i] = self.info[i] = 0
        self.tos = (self.tos - count) & mask

    def reset(self) -> None:
        """Set FROM, TO and INFO to zero. TOS and LBR_SELECT stay (``intel_pmu_lbr_reset``)."""
        depth = self.model.depth
        self.from_ip = [0] * depth
        self.to_ip = [0] * depth
        self.info = [0] * depth

    def store(self) -> LbrImage:
        return LbrImage(self.select, self.tos, self.from_ip[:], self.to_ip[:], self.info[:])

    def load(self, image: LbrImage, with_select: bool) -> None:
        """Put an image back; an empty one clears the ring."""
        depth = self.model.depth
        self.from_ip = image.from_ip[:] or [0] * depth
        self.to_ip = image.to_ip[:] or [0] * depth
        self.info = image.info[:] or [0] * depth
        self.tos = image.tos
        if with_select:
            self.select = image.select

    def newest_first(self) -> list[int]:
        """Ring indices from TOS backwards."""
        mask = self.model.depth - 1
        return [(self.tos - age) & mask for age in range(self.model.depth)]
