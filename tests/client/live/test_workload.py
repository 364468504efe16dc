"""The scenario of a live run."""

from __future__ import annotations

import pytest

from client.litmus import format_scenario, parse
from client.live.workload import turns_of, workload
from contract.errors import InputError
from tests.cases import cases


@cases(("kvms", "vcpus"), [(1, 1), (1, 9), (3, 7), (4, 64), (8, 8)])
def test_there_are_as_many_as_asked_for(kvms: int, vcpus: int) -> None:
    scenario = workload(kvms, vcpus)

    assert len(scenario.placement()) == kvms
    assert len(scenario.vcpus()) == scenario.cpus() == vcpus
    shares = [sum(vm.vcpus for vm in scenario.vms_at(kvm)) for kvm in scenario.placement()]
    assert max(shares) - min(shares) <= 1


def test_each_cpu_has_its_vcpu_and_one_host_thread() -> None:
    scenario = workload(2, 6)
    texts = [(step.actor, step.stmt.text()) for step in scenario.steps()]

    assert [text for actor, text in texts if actor == "host"] == [
        f"run {vcpu} on cpu{cpu}" for cpu, vcpu in enumerate(scenario.vcpus())
    ]
    opened = [text for _, text in texts if " = open " in text]
    assert sorted(opened) == [f"h{cpu} = open cpu{cpu} pinned branch any" for cpu in range(6)]


def test_its_text_can_be_read_again_with_the_numbers_of_turns() -> None:
    scenario = workload(2, 3)

    assert parse(format_scenario(scenario), "text") == scenario
    assert {turns_of(block.name) for block in scenario.blocks} - scenario.lets.keys() == {turns_of("host")}


@cases(("kvms", "vcpus", "place"), [(0, 1, "--kvms"), (9, 9, "--kvms"), (3, 2, "--vcpus"), (1, 65, "--vcpus")])
def test_impossible_numbers_are_refused(kvms: int, vcpus: int, place: str) -> None:
    with pytest.raises(InputError, match=place):
        workload(kvms, vcpus)
