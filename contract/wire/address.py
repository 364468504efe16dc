"""Addresses of services, as command lines give them."""

from __future__ import annotations

from argparse import ArgumentTypeError

UNIX_PATH_LIMIT = 107
"""Bytes of a Unix socket's path (``sun_path``)."""


def address(text: str) -> str:
    """``HOST:PORT`` or ``unix:PATH``; raises ArgumentTypeError saying what is wrong with it."""
    if text.startswith("unix:"):
        if text == "unix:":
            raise ArgumentTypeError("expected a path after unix:")
        if len(text.encode()) - len("unix:") > UNIX_PATH_LIMIT:
            raise ArgumentTypeError(f"the socket's path is longer than {UNIX_PATH_LIMIT} bytes")
        return text
    host, colon, port = text.rpartition(":")
    named = host and not set(host) & set("/@ \t") and (":" not in host or (host[0] == "[" and host[-1] == "]"))
    if not (named and colon and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ArgumentTypeError(f"expected HOST:PORT with a port from 0 to 65535, or unix:PATH, found {text!r}")
    return text
