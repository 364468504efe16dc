"""The commands of host programs: each goes to the host that has its CPU or event, and is carried out to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from client.drive.commands import cpu_of
from client.drive.wire import perfcores_of
from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    Disable,
    Enable,
    Open,
    Read,
    Retire,
    Sample,
    SetMuxInterval,
)
from contract.results import IN_PROGRESS, AnyResult, Done

if TYPE_CHECKING:
    from client.drive.play import Player


def carry_out_on_host(player: Player, command: AnyPerfCommand) -> AnyResult:
    """Carry out a command on the host that has the CPU, the event, or its group's leader; if none is named, on the
    first. An advance of time and an interval apply to all hosts, one after the other, each with its own time.
    """
    flight, names = player.flight, player.names
    hosts = [0]
    if (cpu := cpu_of(command)) >= 0:
        hosts = [flight.host_of(cpu)]
    elif isinstance(command, Open):
        hosts = [names.hosts.get(command.group, 0)]
    elif isinstance(command, (Enable, Disable, Close, Read, Sample)):
        hosts = [names.hosts.get(command.event, 0)]
    elif isinstance(command, (Advance, SetMuxInterval)):
        still = flight.outages.down | flight.outages.stalled.keys()
        hosts = [host for host, name in enumerate(perfcores_of(player.layout)) if name not in still]
    if isinstance(command, Open):
        names.hosts[command.event] = hosts[0]
    now = flight.now
    results = []
    for host in hosts:
        flight.now = player.wire.log.now = now
        results.append(_to_its_end(player, command, host))
    if not results and isinstance(command, Advance):
        flight.now = player.wire.log.now = now + command.ns
    return results[0] if results else Done()


def _to_its_end(player: Player, command: AnyPerfCommand, host: int) -> AnyResult:
    """Time, and branches that interrupt, advance in pieces, so that other calls of a service do not wait."""
    if not isinstance(command, (Advance, Retire)):
        return player.ask(player.wire.perf, command, host)
    until = player.flight.now + (command.ns if isinstance(command, Advance) else 0)
    while True:
        result = player.ask(player.wire.perf, command, host)
        if not isinstance(result, Done) or result.errno != IN_PROGRESS.errno:
            return result
        if isinstance(command, Retire):
            command = replace(command, count=command.count - result.value)
        else:
            command = Advance(until - player.flight.now)
