"""The values of registers: results of statements as numbers, words and small tables of fields."""

from __future__ import annotations

from client.litmus.ast import FAULT
from contract.machine import GuestValue
from contract.provenance import origin_of
from contract.results import AnyResult, Branches, Counted, Done, MsrsRead

Value = int | str | dict[str, int | str]


def host_value(result: AnyResult) -> Value:
    match result:
        case Branches(sampled=False):
            return "none"
        case Branches():
            return sample_value(result.from_ip)
        case MsrsRead(errno=""):
            return {"done": len(result.values), **{f"v{i}": value for i, value in enumerate(result.values)}}
        case MsrsRead():
            return result.errno
        case Counted(errno=""):
            return {"count": result.count, "enabled": result.enabled, "running": result.running}
        case Counted():
            return result.errno
        case Done(errno=""):
            return result.value
        case Done():
            return result.errno
        case _:
            raise TypeError(f"{type(result).__name__} is not a register value")


def event_value(state: str, samples: int = 0) -> Value:
    """The final state of an event, or the errno of its open."""
    return {"state": state, "samples": samples}


def fields_text(value: dict[str, int | str]) -> str:
    """The fields of a register in words. The samples of an event are those of its PMIs: a statement "sample" that takes
    one has a register of its own."""
    return ", ".join(f"{'PMI samples' if field == 'samples' else field} {v}" for field, v in value.items())


def sample_value(from_ip: list[int]) -> dict[str, int | str]:
    """The value of a sample: the number of branches in its stack, retired in host mode and in guest mode, and the
    number of empty entries."""
    empty = from_ip.count(0)
    guest = sum((o := origin_of(value)) is not None and o.guest for value in from_ip)
    entries = len(from_ip) - empty
    return {"entries": entries, "host": entries - guest, "guest": guest, "empty": empty}


def read_value(value: GuestValue) -> Value:
    return FAULT if value.fault else value.value


def stack_value(values: list[GuestValue], actor: int) -> Value:
    """The value of a guest's own read of the whole LBR: TOS, then FROM of each entry. ``actor`` is the guest that
    reads. ``written``: entries without a branch, whose value somebody wrote."""
    if any(v.fault for v in values):
        return FAULT
    tos, entries = values[0].value, [v.value for v in values[1:]]
    origins = [origin_of(v) for v in entries if v]
    own = sum(o is not None and o.guest and o.actor == actor for o in origins)
    foreign = sum(o is not None for o in origins) - own
    empty = entries.count(0)
    return {"tos": tos, "own": own, "foreign": foreign, "written": len(entries) - own - foreign - empty, "empty": empty}
