"""``lbrlab web``."""

from __future__ import annotations

import contextlib
import socket
import sys

import msgspec

from client.report.json import print_json
from contract.errors import SystemFailedError

LOOPBACK = "127.0.0.1"


class WebDocument(msgspec.Struct):
    """``web --json``."""

    url: str


def web(port: int, *, as_json: bool) -> None:
    """Serve until Ctrl-C, which is the usual end."""
    import uvicorn

    from client.web.app import Server

    listening = bound(port)
    server = Server(listening.getsockname()[1])
    url = f"http://{LOOPBACK}:{server.port}/"
    if as_json:
        print_json(WebDocument(url))
    else:
        print(f"lbrlab is at {url} on this machine; Ctrl-C ends it")
    sys.stdout.flush()
    config = uvicorn.Config(
        server.app(), log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
    )
    # uvicorn closes its connections on Ctrl-C, and then sends the signal again.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def bound(port: int) -> socket.socket:
    """A socket of the loopback interface. Raises SystemFailedError if the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise SystemFailedError(f"{LOOPBACK}:{port}", f"cannot listen: {error.strerror}") from None
    return listening
