"""One pair of service processes for all tests of a worker that do no harm to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client.drive.grpc_wire import GrpcWire
from client.drive.pair import Pair
from tests.integration.story import PATIENT


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def wire(pair: Pair) -> Iterator[GrpcWire]:
    """A wire of its own, as every client has one, to the shared pair."""
    wire = pair.connect(turn=PATIENT)
    yield wire
    wire.close()
