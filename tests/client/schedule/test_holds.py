"""The player's view of a held direction is that of the network."""

from __future__ import annotations

import pytest

from client.schedule.flight import Flight
from contract.messages import Envelope, Hello
from contract.network import Fate, Network
from contract.trace import Recorder, Send


@pytest.mark.parametrize("end", [Fate.RELEASE, Fate.LOSE])
def test_a_hold_ends_with_its_release_or_with_the_loss_of_its_message(end: Fate) -> None:
    network, flight, log = Network(), Flight(), Recorder()
    envelope = Envelope("kvm0", True, 1, 1, Hello("kvm0"))
    network.put(envelope)
    flight.follow([Send("kvm0", True, 1, 1, 1, envelope.body)])
    for fate in (Fate.HOLD, end):
        mark = len(log.records)
        network.decide(fate, "kvm0", True, 1, log)
        flight.follow(log.records[mark:])
        assert flight.held == network.held
    assert flight.held == set()
