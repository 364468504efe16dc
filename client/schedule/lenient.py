"""Replay of a tape that need not fit the scenario: an edited tape, or the tape of a run whose scenario was edited.

A decision that is not possible now is skipped; but a fault is taken as soon as it is possible. Numbers of messages do
not count: ``take`` takes the oldest message of its way, and a fault applies to the oldest message of its kind there.
After the end of the tape the default strategy decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from client.schedule.choices import FREE, allows, ways_on
from client.schedule.decisions import Decision, Deliver, Step, is_fault
from client.schedule.flight import Flight
from client.schedule.incidents import Outage, Restart
from client.schedule.strategies import DefaultStrategy
from contract.network import Fate


class LenientStrategy:
    """Replay leniently. A tape that fits is replayed as by ``ReplayStrategy``. ``kinds``: kinds of messages count, and
    ``take`` is not possible where the oldest message of its way is of another kind."""

    def __init__(self, decisions: Sequence[Decision], *, kinds: bool = False) -> None:
        self.left = deque(decisions)
        self.kinds = kinds
        self.waiting: list[Decision] = []
        """Faults that were not possible when their turn came."""
        self.default = DefaultStrategy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        for fault in self.waiting:
            if (decision := _fitting(fault, flight, threads)) is not None:
                self.waiting.remove(fault)
                return decision
        while self.left:
            wanted = self.left.popleft()
            if (decision := _fitting(wanted, flight, threads, kinds=self.kinds)) is not None:
                if isinstance(decision, Step):
                    self.default.last = decision.thread
                return decision
            if is_fault(wanted):
                self.waiting.append(wanted)
        return self.default.choose(flight, threads, all_threads)


class WatchedReplay:
    """Lenient replay that notes where it leaves the default schedule. ``unusual``: the decisions that the default
    strategy would not have taken, by number from 0, each with the one that it would have taken. ``records``: for each
    decision, how many records there were before it."""

    def __init__(self, decisions: Sequence[Decision], *, kinds: bool = False) -> None:
        self.replay = LenientStrategy(decisions, kinds=kinds)
        self.unusual: list[tuple[int, Decision | None]] = []
        self.records: list[int] = []
        self.last = ""

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        default = DefaultStrategy()
        default.last = self.last
        usual = default.choose(flight, threads, all_threads)
        decision = self.replay.choose(flight, threads, all_threads)
        if plain(decision) != plain(usual):
            self.unusual.append((len(self.records), usual))
        self.records.append(flight.record)
        self.last = decision.thread if isinstance(decision, Step) else self.last
        return decision


def plain(decision: Decision | None) -> Decision | None:
    """The decision without the id of its fault."""
    return replace(decision, fault="") if isinstance(decision, Deliver | Restart | Outage) else decision


def _fitting(wanted: Decision, flight: Flight, threads: list[str], *, kinds: bool = False) -> Decision | None:
    """The choice that a decision of the tape stands for; None if there is none."""
    if allows(wanted, flight, threads):
        return wanted
    if not isinstance(wanted, Deliver):
        return None
    fate = Fate.TAKE if wanted.fate in FREE else wanted.fate
    alike = ways_on(flight, fate, wanted.session, wanted.to_host)
    found = next((c for c in alike if not (kinds or is_fault(wanted)) or c.message == wanted.message), None)
    return None if found is None else replace(found, fate=wanted.fate, fault=wanted.fault, field=wanted.field)
