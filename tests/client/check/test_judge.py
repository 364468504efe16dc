"""judge(): what is no trace is an InputError that names the record; anything else gets a verdict."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.check.judge import MONITORS, judge
from client.check.monitor import Liveness
from client.litmus import library_path, load
from contract.errors import InputError
from contract.invariants import ABOUT
from contract.invariants import INVARIANTS as NAMES
from contract.messages import LbrImage
from contract.trace import (
    Access,
    AnyRecord,
    EventChange,
    EventOpen,
    GuestMsr,
    LbrRestore,
    Retired,
    SampleTaken,
    VmEntry,
    canonical,
)
from tests.cases import cases
from tests.client.check.runs import HELD, IDLE, OPEN, USE, VIOLATED, ordered, renumbered, trace, verdicts
from tests.designs import DESIGNS, KVM_SWITCH

STORY = library_path("central-story")
DESIGN_NAMES = st.sampled_from(list(DESIGNS))
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def central(design: str) -> list[AnyRecord]:
    return trace(load(STORY), DESIGNS[design])


def story(design: str) -> list[AnyRecord]:
    return deepcopy(central(design))


def refused(records: list[AnyRecord]) -> InputError:
    with pytest.raises(InputError) as error:
        judge(records)
    return error.value


def test_one_monitor_for_each_name() -> None:
    assert tuple(monitor.name for monitor in MONITORS) == NAMES
    assert [m.about for m in MONITORS] == list(ABOUT.values())
    assert [m.name for m in MONITORS if issubclass(m, Liveness)] == [m.name for m in MONITORS if m.liveness]
    assert [f.invariant for f in judge(story("v7"))] == list(NAMES)


def test_nothing_happened_nothing_held() -> None:
    assert set(verdicts(story("v8")[:1]).values()) == {IDLE}


@cases("cut", [0, 1])
def test_no_trace(cut: int) -> None:
    records = [] if cut == 0 else renumbered(story("v7")[cut:])
    error = refused(records)

    assert error.place == "trace: record 1"
    assert "begins with a setup record" in str(error)


@cases("at", [1, 10, 50])
def test_gap_in_seq(at: int) -> None:
    records = story("v7")
    del records[at]
    error = refused(records)

    assert error.place == f"trace: record {at + 1}"
    assert f"seq is {at + 2}, expected {at + 1}" in str(error)


def test_order_of_seq() -> None:
    records = story("v7")
    records[4], records[5] = records[5], records[4]

    assert refused(records).place == "trace: record 5"


@cases(
    "bad",
    [
        VmEntry(cpu=7, vcpu="vm0/0", debugctl=0, passthrough=False, host_debugctl=0),
        Retired(cpu=0, actor=99, guest=True, branch="jmp", privilege="user", first=0, count=1, recorded=True),
        Retired(cpu=0, actor=1, guest=True, branch="hop", privilege="user", first=0, count=1, recorded=True),
        EventChange(event=99, name="h9", old="OFF", new="ACTIVE", cpu=0),
        SampleTaken(event=99, name="h9", cpu=0, from_ip=[], to_ip=[], shut_out=False),
        Access(vcpu="vm9/0", cpu=0, write=False, msr=0x680, value=0, result="done"),
        GuestMsr(cpu=0, vcpu="vm9/0", write=False, msr=0x680, value=1, fault=False),
    ],
    ids=lambda r: type(r).__name__,
)
def test_record_that_does_not_fit(bad: AnyRecord) -> None:
    records = renumbered([*story("merged")[:30], bad, *story("merged")[30:]])
    error = refused(records)

    assert error.place == "trace: record 31"
    assert "does not fit what came before" in str(error)


def with_cpu(kind: type, cpu: int) -> tuple[list[AnyRecord], int]:
    """The story with the CPU of its first record of this kind changed, and that record's number."""
    records = story("merged")
    at = next(i for i, r in enumerate(records) if isinstance(r, kind))
    records[at] = msgspec.structs.replace(records[at], cpu=cpu)
    return records, at + 1


CPU_RECORDS: set[type] = {type(r) for r in central("merged") if hasattr(r, "cpu")}


@cases("kind", sorted(CPU_RECORDS, key=str), ids=lambda k: k.__name__)
def test_a_cpu_that_is_none(kind: type) -> None:
    """-1 is Python's last element, and no CPU; only an event can be on none."""
    least = -1 if kind in (EventOpen, EventChange) else 0
    for cpu in (least - 1, 1):
        records, number = with_cpu(kind, cpu)
        error = refused(records)
        assert error.place == f"trace: record {number}"
        assert f"cpu = {cpu}, expected {least} to 0" in str(error)


def test_every_record_with_a_wrong_cpu() -> None:
    records = [msgspec.structs.replace(r, cpu=-1) if isinstance(r, Retired) else r for r in story("merged")]
    assert "cpu = -1" in str(refused(records))


def test_time_does_not_run_backwards() -> None:
    records = story("merged")
    for record in records:
        record.time = 1000 - record.seq
    error = refused(records)

    assert error.place == "trace: record 2"
    assert "time is 998 ns, 999 ns have passed already" in str(error)


def test_time_may_stand_still() -> None:
    records = story("merged")
    for record in records:
        record.time = 7
    assert verdicts(records) == verdicts(story("merged"))


@cases("changes", [{"count": 0}, {"count": -3}, {"first": -1}, {"first": 1 << 28}], ids=str)
def test_branches_that_cannot_be(changes: dict[str, int]) -> None:
    records = story("merged")
    at = next(i for i, r in enumerate(records) if isinstance(r, Retired))
    records[at] = msgspec.structs.replace(records[at], **changes)

    assert refused(records).place == f"trace: record {at + 1}"


@cases(
    "changes",
    [{"lbr": "vax"}, {"depth": 3}, {"depth": 64}, {"vcpus": ["vm9/0"]}, {"axes": {}}, {"actors": []}, {"cpus": 0}],
    ids=str,
)
def test_bad_setup(changes: dict[str, Any]) -> None:
    records = story("merged")
    records[0] = msgspec.structs.replace(records[0], **changes)

    assert refused(records).place.startswith("trace: record ")


def test_image_of_another_size() -> None:
    steps = USE + "host: idle cpu0; host: run vm0/0 on cpu0; vm0/0: nop;"
    records = trace(ordered(steps), KVM_SWITCH)
    at, restore = [(i, r) for i, r in enumerate(records) if isinstance(r, LbrRestore)][-1]
    records[at] = msgspec.structs.replace(restore, image=LbrImage(0, 5, [1], [1], [1]))

    assert tuple(verdicts(records)) == NAMES


@relaxed
@given(DESIGN_NAMES, st.data())
def test_truncated_traces_are_judged(design: str, data: st.DataObject) -> None:
    """A violation stays. Agreement is about the end only. Liveness does not hold before the end."""
    records = story(design)
    cut = data.draw(st.integers(1, len(records)))
    part, whole = verdicts(records[:cut]), verdicts(records)

    order = [IDLE, OPEN, HELD, VIOLATED]
    if cut < len(records):
        assert not [i.name for i in MONITORS if i.liveness and part[i.name] == HELD]
    assert all(order.index(part[name]) <= order.index(whole[name]) for name in NAMES)


def test_judging_changes_nothing() -> None:
    records = story("kvm-switch")
    before = canonical(records)

    assert msgspec.to_builtins(judge(records)) == msgspec.to_builtins(judge(records))
    assert canonical(records) == before


# Damaged traces ------------------------------------------------------------------------------------------

INTS = st.one_of(st.integers(-3, 70), st.sampled_from([-(2**63), 2**63, 2**64 - 1, 0x680, 0x1D9, 0x1C9]))
TEXTS = st.sampled_from(["", "vm0/0", "vm9/9", "h0", "ACTIVE", "ERROR", "jmp", "user", "done", "take", "kvm0", "x"])


def leaves(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() if key != "kind" for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, inner in enumerate(value) for leaf in leaves(inner, (*path, i))] + [path]
    return [path]


def damaged(record: AnyRecord, data: st.DataObject) -> AnyRecord | None:
    """The record with one value replaced; None if it is then no record at all."""
    plain = msgspec.to_builtins(record)
    paths = [p for p in leaves(plain) if p != ("seq",)]
    path = data.draw(st.sampled_from(paths))
    parent: Any = plain
    for key in path[:-1]:
        parent = parent[key]
    old = parent[path[-1]]
    if isinstance(old, bool):
        parent[path[-1]] = not old
    elif isinstance(old, list):
        parent[path[-1]] = old[: data.draw(st.integers(0, len(old)))]
    else:
        parent[path[-1]] = data.draw(INTS if isinstance(old, int) else TEXTS)
    try:
        return msgspec.convert(plain, AnyRecord)
    except msgspec.ValidationError:
        return None


@settings(relaxed, max_examples=400)
@given(DESIGN_NAMES, st.data())
def test_damaged_traces_get_a_verdict_or_an_input_error(design: str, data: st.DataObject) -> None:
    records = story(design)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(records) - 1))
        match data.draw(st.sampled_from(["corrupt", "corrupt", "delete", "double", "swap"])):
            case "corrupt":
                records[at] = damaged(records[at], data) or records[at]
            case "delete" if len(records) > 1:
                del records[at]
            case "double":
                records.insert(at, records[at])
            case _:
                other = data.draw(st.integers(0, len(records) - 1))
                records[at], records[other] = records[other], records[at]
    if data.draw(st.integers(0, 9)):
        records = renumbered(records)
    try:
        findings = judge(records)
    except InputError as error:
        place = error.place
    else:
        place = "trace: record -"
        assert all(1 <= v.seq <= len(records) for f in findings for v in f.violations)
    assert place.startswith("trace: record ")


def test_the_damage_does_reach_the_monitors() -> None:
    """A corrupted value that makes a difference."""
    records = story("revoke-gp")
    assert verdicts(records)["debugctl-restored"] == HELD
    at = next(i for i, r in enumerate(records) if isinstance(r, VmEntry))
    records[at] = msgspec.structs.replace(records[at], host_debugctl=0x40)

    assert verdicts(records)["debugctl-restored"] == VIOLATED
