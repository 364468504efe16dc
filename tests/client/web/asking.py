"""Requests to the server of the page."""

from __future__ import annotations

import http.client
import json

from client.web.app import Server


def ask(server: Server, path: str, body: object = None, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and content. With a body it is a request of the page itself."""
    here = f"127.0.0.1:{server.port}"
    own = {"Host": here}
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    if content is not None:
        own |= {"Origin": f"http://{here}", "X-Lbrlab-Token": server.token, "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    given = {name: value for name, value in (own | headers).items() if value}
    connection.request("POST" if content is not None else "GET", path, content, given)
    answer = connection.getresponse()
    told = answer.status, answer.headers, answer.read()
    connection.close()
    return told
