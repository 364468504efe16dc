"""The document of ``record --json``."""

from __future__ import annotations

import msgspec
from msgspec.structs import asdict

from client.report.documents import RunDocument


class LiveDocument(msgspec.Struct):
    """The free part of a live run. ``seconds``: wall time. ``speed``: virtual time in wall time. ``steps``: of threads,
    in the free part. ``messages``: that were sent in the whole run. ``kills``: the services that were killed and
    started again. ``lost``: the sessions that lost their link, or ended, without a kill. ``replayed``: a replay on the
    simulated wire gives the same records; if not, ``difference`` says where it differs."""

    seconds: float
    speed: float
    kvms: int
    vcpus: int
    steps: int
    messages: int
    kills: list[str]
    lost: list[str]
    replayed: bool
    difference: str = ""


class RecordDocument(RunDocument, kw_only=True):
    """``record``: the document of a run, with its free part."""

    live: LiveDocument


def record_document(run: RunDocument, live: LiveDocument) -> RecordDocument:
    return RecordDocument(**asdict(run), live=live)
