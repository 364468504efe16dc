"""Addresses of services, as command lines give them."""

from __future__ import annotations

import os
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


def bind_fault(listen: str) -> str:
    """Why no server can listen at an address ``HOST:PORT``, in words; "" if one can. gRPC prints a line of its own and
    does not tell the program the reason."""
    import socket

    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"cannot resolve the name: {error.strerror}"
    why = ""
    for family, kind, protocol, _, place in found:
        with socket.socket(family, kind, protocol) as plain:
            # As gRPC does: connections of an earlier server do not keep the port.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                plain.bind(place)
            except OSError as error:
                why = os.strerror(error.errno or 0).lower()
            else:
                return ""
    return why
