"""The server of the page: which requests it takes, and from whom.

It listens on the loopback interface only. Any page of any site can send requests there, so a request has to name this
server as its host (a name of another site that resolves to the loopback address does not), and one that plays has to
come from this page: from its origin, and with the token that only this page holds. Answers forbid all that they do not
need.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from html import escape
from importlib.resources import files
from string import Template
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from client.files import json_flaw
from client.run.file import installed_version
from client.walk.documents import WalkDocument, walk_document
from client.web.play import Asked, Chosen, lists, report_of, text_of
from client.web.walk import WalkAsked, file_of_walk, report_of_walk, walk_of
from contract.errors import InputError, LbrlabError

A = TypeVar("A", bound=Chosen)

BODY_LIMIT = 1 << 18
DRAINED_LIMIT = 1 << 22
"""A longer request is read up to here, so that its sender gets the answer."""
REPORTS_LIMIT = 32
"""The most reports that are kept; the oldest goes first."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REPORT_POLICY = "frame-ancestors 'self'"
"""The report itself has a policy for its script and style."""


class Played(msgspec.Struct):
    """``report``: the path of the report."""

    report: str


class Walked(msgspec.Struct):
    """``report``: the path of the report of the run so far. ``walk``: where the walk stands. ``moves``: those that were
    asked for, with every decision in full."""

    report: str
    walk: WalkDocument
    moves: list[str]


class Refused(msgspec.Struct):
    error: str


class Server:
    """``port``: the port it is bound to; requests for another host are refused. ``token``: the page's own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = secrets.token_urlsafe(24)
        self.reports: OrderedDict[str, str] = OrderedDict()
        self.one = anyio.CapacityLimiter(1)
        self.lists = msgspec.json.encode(lists())
        self.page, self.policy = _page(self.token)

    @property
    def hosts(self) -> set[str]:
        return {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    def app(self) -> Starlette:
        routes = [
            Route("/", self.home),
            Route("/lists", self.all_lists),
            Route("/scenario/{name}", self.scenario),
            Route("/report/{number}", self.report),
            Route("/play", self.play, methods=["POST"]),
            Route("/walk", self.walk, methods=["POST"]),
            Route("/walk/file", self.walk_file, methods=["POST"]),
        ]
        return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.guard)])

    async def guard(self, request: Request, then: RequestResponseEndpoint) -> Response:
        """Refuse a request for another host, and add the headers of every answer."""
        if request.headers.get("host", "") not in self.hosts:
            answer: Response = _json(Refused("this server is for its own page on this machine only"), 421)
        elif request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            answer = _json(Refused("the request comes from another site"), 403)
        else:
            answer = await then(request)
        answer.headers.update(HEADERS)
        return answer

    async def home(self, request: Request) -> Response:
        return HTMLResponse(self.page, headers={"Content-Security-Policy": self.policy, "X-Frame-Options": "DENY"})

    async def all_lists(self, request: Request) -> Response:
        return Response(self.lists, media_type="application/json")

    async def scenario(self, request: Request) -> Response:
        try:
            return Response(text_of(request.path_params["name"]), media_type="text/plain; charset=utf-8")
        except InputError as error:
            return _json(Refused(str(error)), 404)

    async def report(self, request: Request) -> Response:
        found = self.reports.get(request.path_params["number"])
        if found is None:
            return _json(Refused("this report is no longer kept; play it again"), 404)
        return HTMLResponse(found, headers={"Content-Security-Policy": REPORT_POLICY})

    async def play(self, request: Request) -> Response:
        def play(asked: Asked) -> Response:
            return _json(Played(self._keep(report_of(asked))))

        return await self._answer(request, Asked, play)

    async def walk(self, request: Request) -> Response:
        def walk(asked: WalkAsked) -> Response:
            walked, moves = walk_of(asked)
            return _json(Walked(self._keep(report_of_walk(walked)), walk_document(walked), moves))

        return await self._answer(request, WalkAsked, walk)

    async def walk_file(self, request: Request) -> Response:
        return await self._answer(
            request, WalkAsked, lambda asked: Response(file_of_walk(asked), media_type="application/json")
        )

    async def _answer(self, request: Request, kind: type[A], act: Callable[[A], Response]) -> Response:
        """Answer a request of the page. Only one is carried out at a time."""
        origin = request.headers.get("origin", "").removeprefix("http://")
        token = request.headers.get("x-lbrlab-token", "")
        if origin not in self.hosts or not secrets.compare_digest(token.encode(), self.token.encode()):
            return _json(Refused("only the page of this server may play; load it again"), 403)
        body, size = bytearray(), 0
        async for piece in request.stream():
            size += len(piece)
            if size <= BODY_LIMIT:
                body += piece
            elif size > DRAINED_LIMIT:
                break
        if size > BODY_LIMIT:
            return _json(Refused(f"the request is longer than {BODY_LIMIT} bytes"), 413)
        try:
            asked = msgspec.json.decode(bytes(body), type=kind)
            return await anyio.to_thread.run_sync(act, asked, limiter=self.one)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _json(Refused(f"not a request: {json_flaw(error, bytes(body))}"), 400)
        except LbrlabError as error:
            return _json(Refused(str(error)), 400)

    def _keep(self, report: str) -> str:
        """Keep a report; gives its path."""
        number = secrets.token_urlsafe(9)
        self.reports[number] = report
        while len(self.reports) > REPORTS_LIMIT:
            self.reports.popitem(last=False)
        return f"/report/{number}"


def _json(document: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _page(token: str) -> tuple[str, str]:
    """The page, and its content policy."""
    assets = files("client.web") / "assets"
    style, hand, script = ((assets / name).read_text(encoding="utf-8") for name in ("web.css", "walk.js", "web.js"))
    page = Template((assets / "web.html").read_text(encoding="utf-8")).substitute(
        style=style, hand=hand, script=script, token=escape(token), version=escape(installed_version())
    )
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(hand)} {_digest(script)}; "
        "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
