"""Live runs on real processes: what they record, and that a replay gives the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from client.designs import design_named
from client.drive.grpc_wire import GrpcWire
from client.drive.pair import Pair
from client.drive.play import Player, layout_of
from client.drive.sim import SimWire
from client.litmus import parse
from client.litmus.ast import Repeat
from client.litmus.fault_rules import parse_fault
from client.live.faults import chances_of
from client.live.recording import Options, Recording
from client.live.scenario import freely
from client.live.workload import turns_of, workload
from client.run.confirm import confirm, confirm_beginning
from client.run.file import load_judged, save
from client.run.run import Run
from client.schedule.decisions import Deliver, Fire, Pass, Step
from client.schedule.incidents import Crash, Cut, Mend
from contract.control import PerfSnapshot
from contract.errors import SystemFailedError
from contract.messages import Resume, Welcome
from contract.network import Fate
from contract.trace import Rest, Send, SessionChange, Statement, VmEntry
from tests.integration.relay import Relay

SCENARIO = workload(2, 6)
FAULTS = ("drop p=0.1", "duplicate p=0.1", "corrupt p=0.1", "reorder p=0.2", "delay by 1ms")


@pytest.fixture(scope="module")
def services() -> Iterator[Pair]:
    with Pair(layout_of(SCENARIO)) as pair:
        yield pair


def recorded(services: Pair, design: str, options: Options) -> tuple[Recording, Run]:
    recording = Recording(services.wire, SCENARIO, design_named(design), options)
    return recording, recording.recorded().finished()


def test_a_live_run_is_a_run_that_replays(services: Pair) -> None:
    recording, run = recorded(services, "fenced", Options(0.4))

    replayed = confirm(run, SimWire())

    assert replayed.difference is None
    assert replayed.same
    assert (run.verdict.verdict, run.verdict.unfinished, recording.broken) == ("held", {}, [])
    assert isinstance(run.records[-1], Rest)
    assert {type(decision) for decision in run.tape} >= {Step, Deliver, Pass}
    assert len({record.vcpu for record in run.of(VmEntry)}) == 6
    # Each loop has made the turns that the scenario of the run names.
    for thread in recording.threads:
        if (let := turns_of(thread)) in run.scenario.lets:
            statements = sum(record.thread == thread for record in run.of(Statement))
            loop = next(block.steps[0].stmt for block in run.scenario.blocks if block.name == thread)
            assert isinstance(loop, Repeat)
            assert statements == run.scenario.lets[let] * len(loop.body)


def test_threads_do_not_wait_for_each_other(services: Pair) -> None:
    for seconds in (0.3, 3):  # A busy machine takes longer for as many steps.
        recording, run = recorded(services, "fenced", Options(seconds))
        free = [decision.thread for decision in run.tape if isinstance(decision, Step)][: recording.live_steps]
        if len(free) > 10 * len(recording.threads):
            break
    # With one command at a time, threads would step in turn.
    assert len(set(pairwise(free))) > len(recording.threads)


def test_faults_of_messages_are_decisions_like_others(services: Pair) -> None:
    chances = chances_of([parse_fault(text) for text in FAULTS])
    _, run = recorded(services, "fenced", Options(0.8, chances=chances))

    fates = {decision.fate for decision in run.tape if isinstance(decision, Deliver)}
    assert fates >= {Fate.TAKE, Fate.DROP, Fate.DUPLICATE, Fate.CORRUPT}
    assert any(isinstance(decision, Fire) and decision.timer == "resend" for decision in run.tape)
    assert not run.of(SessionChange)
    assert run.verdict.verdict == "held"
    assert confirm(run, SimWire()).same


def test_services_that_are_killed_come_back(services: Pair) -> None:
    chances = chances_of([parse_fault("drop p=0.01")])
    recording, run = recorded(services, "fenced", Options(1.0, chances=chances, kill_every=0.25))

    assert recording.kills == ["kvm0", "kvm1", "perfcore"]
    assert [decision.service for decision in run.tape if isinstance(decision, Crash)] == recording.kills
    assert recording.lost == []
    assert run.verdict.verdict == "held"
    assert confirm(run, SimWire()).same
    # Every KVM has greeted the host in its newest life, and was accepted.
    sent = run.of(Send)
    epochs = {kvm: max(r.epoch for r in sent if r.session == kvm and r.to_host) for kvm in SCENARIO.placement()}
    assert min(epochs.values()) == 3
    assert {r.session for r in sent if isinstance(r.body, Welcome) and r.epoch == epochs[r.session]} == set(epochs)


def test_a_link_that_is_cut_interrupts_a_live_run() -> None:
    """Wherever the connection breaks, in the middle of a step too."""
    scenario = workload(1, 3)
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(folder)
        with Pair(layout_of(scenario), flags={"kvm": ["--perfcore", relay.address]}) as pair:
            relay.target = pair.perfcore.address
            relay.cut_at = [20_000, 41_000, 49_900, 60_100, 77_000]
            recording = Recording(pair.wire, scenario, design_named("fenced"), Options(1.5))
            run = recording.recorded().finished()
        relay.close()

    cuts = [decision for decision in run.tape if isinstance(decision, Cut)]
    assert cuts
    # A cut while the link is down is none, and one at the end is not noticed.
    assert len(cuts) <= relay.cuts
    assert len(cuts) == sum(isinstance(decision, Mend) for decision in run.tape)
    assert recording.lost == ["kvm0"] * (2 * len(cuts))
    assert len([sent for sent in run.of(Send) if isinstance(sent.body, Resume)]) >= len(cuts)
    assert run.verdict.verdict == "held"
    assert confirm(run, SimWire()).same


OWN = freely(
    parse(
        "LBR own\nmachine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { vcpus = 1; }\n"
        "host { run vm0/0 on cpu0; repeat 9 { h = open cpu0 pinned branch any; run t0 on cpu0; branch 4 on cpu0; "
        "s = sample h; close h; run vm0/0 on cpu0; } }\n"
        "vm0/0 { nop; repeat 1 { wrmsr DEBUGCTL, LBR; t = rdmsr LBR_TOS; wrmsr 0x1DB, t; if t = #GP { cpuid; } } }\n",
        "own",
    )
)
SHORT = freely(parse("LBR short\nvm vm0 { vcpus = 1; }\nhost { run vm0/0 on cpu0; }\nvm0/0 { nop; nop; }\n", "short"))


def test_a_scenario_of_a_file_runs_freely_until_time_is_over(services: Pair) -> None:
    run = Recording(services.wire, OWN, design_named("fenced"), Options(0.3)).recorded().finished()
    short = Recording(services.wire, SHORT, design_named("fenced"), Options(60)).recorded().finished()

    assert run.verdict.verdict == "held"
    assert run.verdict.unfinished == {}
    assert run.scenario.lets["turns_host"] > 0
    assert confirm(run, SimWire()).same
    # Without a loop it ends with its last statement.
    assert len(short.of(Statement)) == 3
    assert confirm(short, SimWire()).same


def test_a_loop_that_time_did_not_reach_makes_no_turn(services: Pair) -> None:
    recording = Recording(services.wire, OWN, design_named("fenced"), Options(0.1))
    Player.begin(recording)
    recording._end_loops()
    while (decision := recording.choose()) is not None:
        recording.carry_out(decision)

    assert recording.scenario.lets == {"turns_host": 0, "turns_vm0_0": 0}
    statements = [record.text for record in recording.wire.log.records if isinstance(record, Statement)]
    assert statements == ["run vm0/0 on cpu0", "nop"]


@pytest.mark.parametrize("service", ["perfcore", "kvm0"])
def test_a_driver_that_loses_its_link_keeps_what_has_happened(service: str, tmp_path: Path) -> None:
    scenario = workload(1, 2)
    relay = Relay(str(tmp_path))

    def cut(now: Recording) -> None:
        if now.live_steps > 20:
            relay.cut()

    with Pair(layout_of(scenario)) as pair:
        addresses = {"perfcore": pair.perfcore.address, "kvm0": pair.kvm.address}
        relay.target = addresses[service]
        perfcore, kvm = (addresses | {service: relay.address}).values()
        wire = GrpcWire(perfcore, kvm)
        run = Recording(wire, scenario, design_named("fenced"), Options(20), cut).recorded()
        wire.close()
    relay.close()

    assert str(run.failure).startswith(f"{service}: the driver has lost its link to it in a free run (")
    save(run, tmp_path / "run.json")
    kept = load_judged(tmp_path / "run.json")
    again = confirm_beginning(kept, SimWire())
    assert (again.same, len(again.records)) == (True, len(run.records))
    assert sum(isinstance(decision, Step) for decision in kept.tape) > 20
    assert kept.broken() == []


def test_a_violation_ends_the_free_run(services: Pair) -> None:
    recording, run = recorded(services, "merged", Options(20))

    assert recording.elapsed < 20
    assert set(recording.broken) <= set(run.broken())
    assert recording.broken
    assert confirm(run, SimWire()).same


def test_ctrl_c_keeps_what_has_happened(services: Pair, tmp_path: Path) -> None:
    def interrupt(now: Recording) -> None:
        if now.live_steps > 20:
            raise KeyboardInterrupt

    run = Recording(services.wire, SCENARIO, design_named("fenced"), Options(20), interrupt).recorded()

    assert run.interrupted
    save(run, tmp_path / "run.json")
    kept = load_judged(tmp_path / "run.json")
    assert kept.tape == run.tape
    assert sum(isinstance(decision, Step) for decision in kept.tape) > 20


def test_no_driver_decides_in_a_free_run(services: Pair) -> None:
    def meddle(now: Recording) -> None:
        now.live.real.perf(PerfSnapshot())

    recording = Recording(services.wire, SCENARIO, design_named("fenced"), Options(20), meddle)

    with pytest.raises(SystemFailedError, match="is a free run now"):
        recording.recorded().finished()
