"""The connection between two living services is cut in the middle of a run: the session resumes, the run goes on, and
the replay of its tape on the simulated wire is the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise

import pytest

from client.drive.pair import Pair
from client.drive.play import layout_of
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Deliver
from client.schedule.incidents import Cut, Mend
from client.schedule.schedule import replay
from contract.control import KvmSnapshot, PerfSnapshot
from contract.design import Design
from contract.messages import Resume, Welcome
from contract.network import Fate
from contract.trace import Delivery, Rest, Send, SessionChange, canonical
from tests.designs import FENCED, MERGED, REVOKE_ACK
from tests.integration.relay import Relay
from tests.integration.story import PATIENT
from tests.library import library_scenario

STORY = library_scenario("central-story")


@pytest.fixture(scope="module")
def cuttable() -> Iterator[tuple[Pair, Relay]]:
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(folder)
        with Pair(flags={"kvm": ["--perfcore", relay.address]}) as pair:
            relay.target = pair.perfcore.address
            yield pair, relay
        relay.close()


def played(cuttable: tuple[Pair, Relay], design: Design, *cut_at: int) -> Run:
    """The story, with the connection cut after so many bytes."""
    pair, relay = cuttable
    relay.passed, relay.cut_at, relay.cuts = 0, list(cut_at), 0
    wire = pair.connect(turn=PATIENT)
    done = run(Inputs(STORY, design, wire=wire))
    wire.close()
    return done


def size(cuttable: tuple[Pair, Relay], design: Design) -> int:
    """Bytes of the run on a connection that has been in use before."""
    for _ in range(2):
        played(cuttable, design)
    return cuttable[1].passed


def losses(done: Run) -> list[bool]:
    """The ends that have lost their link, in order; True is KVM's."""
    return [r.to_host for r in done.records if isinstance(r, SessionChange) and r.new == "lost"]


@pytest.mark.parametrize("design", [MERGED, REVOKE_ACK, FENCED], ids=lambda design: design.name)
def test_the_run_goes_on_after_a_cut_anywhere(cuttable: tuple[Pair, Relay], design: Design) -> None:
    total, resumed = size(cuttable, design), 0
    for part in range(1, 10):
        done = played(cuttable, design, total * part // 12)
        assert (done.failure, cuttable[1].cuts) == (None, 1)
        assert isinstance(done.records[-1], Rest)
        assert all(after.seq == before.seq + 1 for before, after in pairwise(done.records))
        assert losses(done) in ([], [False, True])
        assert canonical(run(Inputs(STORY, design, replay(done.tape))).records) == canonical(done.records)
        if design is FENCED:
            assert done.verdict.verdict == "held"
        if len(losses(done)) == 2:
            greetings = [r.body for r in done.records if isinstance(r, Send) and isinstance(r.body, Resume | Welcome)]
            resumed += [type(body) for body in greetings] == [Welcome, Resume, Welcome]
    assert resumed >= 5


def test_what_is_lost_with_its_link_is_on_the_tape_only_if_it_met_its_fate(cuttable: tuple[Pair, Relay]) -> None:
    done = played(cuttable, FENCED, size(cuttable, FENCED) // 2)
    fates = [(r.session, r.to_host, r.n) for r in done.of(Delivery) if r.fate != Fate.LOSE]
    decided = [(d.session, d.to_host, d.n) for d in done.tape if isinstance(d, Deliver)]
    assert [d for d in done.tape if isinstance(d, Cut | Mend)] == [Cut("kvm0", None), Mend("kvm0", None)]
    assert decided == fates


def test_all_kvms_of_a_host_that_are_cut_off_are_named() -> None:
    """The KVM that is called reports its own loss, and then the host reports all losses."""
    story = library_scenario("mech-four-vms-three-kvms")
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(folder)
        with Pair(layout_of(story), flags={"kvm": ["--perfcore", relay.address]}) as pair:
            relay.target = pair.perfcore.address
            assert run(Inputs(story, FENCED, wire=pair.wire)).failure is None
            assert pair.wire.losses() == []
            relay.cut()
            while not pair.wire.losses():
                pair.wire.kvm("kvm0", KvmSnapshot())
            pair.wire.perf(PerfSnapshot())
            assert pair.wire.losses() == ["kvm0", "kvm1", "kvm2"]
        relay.close()


def test_a_second_cut_is_survived_too(cuttable: tuple[Pair, Relay]) -> None:
    total = size(cuttable, FENCED)
    done = played(cuttable, FENCED, total // 3, total * 2 // 3)
    assert (done.failure, cuttable[1].cuts) == (None, 2)
    assert losses(done).count(True) >= 2
