"""A running server of the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import uvicorn

from client.cli.web import bound
from client.web.app import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    listening = bound(0)
    made = Server(listening.getsockname()[1])
    running = uvicorn.Server(uvicorn.Config(made.app(), log_level="warning", server_header=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield made
    running.should_exit = True
    thread.join()
