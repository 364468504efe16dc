"""The cost of the counted operations in CPU cycles: (low, typical, high), with the published source."""

from __future__ import annotations

import msgspec


class Price(msgspec.Struct, frozen=True):
    low: int
    typical: int
    high: int
    source: str


PRICES: dict[str, Price] = {
    "vmexit": Price(
        1200, 2000, 4000, "exit and entry together: kvm-unit-tests 2017 (1,291), mediated vPMU series 2025 (4,000)"
    ),
    "msr-exit": Price(300, 500, 1000, "handler of an MSR exit, on top of vmexit; estimate"),
    "rdmsr": Price(
        30,
        40,
        120,
        "Wei Wang, July 2019: 3,000 to 4,000 cycles for 98 registers; 120 in the enlightened MSR bitmap commit",
    ),
    "wrmsr": Price(30, 100, 150, "not serialising for LBR MSRs; 144 measured by a third party"),
    "msr-load": Price(30, 100, 150, "an entry of a VM-entry or VM-exit MSR-load list, taken as a wrmsr; estimate"),
    "msr-store": Price(30, 40, 120, "an entry of a VM-exit MSR-store list, taken as a rdmsr; estimate"),
    "ipi": Price(1000, 2000, 4000, "estimate"),
}


def cycles(operations: dict[str, int]) -> tuple[int, int, int]:
    """Low, typical and high total of counted operations; names without a price count nothing."""
    priced = [(PRICES[name], count) for name, count in operations.items() if name in PRICES]
    return (
        sum(c.low * n for c, n in priced),
        sum(c.typical * n for c, n in priced),
        sum(c.high * n for c, n in priced),
    )
