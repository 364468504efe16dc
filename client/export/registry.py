"""Every format by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from client.litmus.spelling import unknown
from client.run.run import Run
from client.timeline.timeline import timeline_of
from contract.errors import InputError


class Format(NamedTuple):
    """``ending``: of a file of this format."""

    about: str
    ending: str


FORMATS = {
    "markdown": Format("a mail: the race in two columns of 72, the verdict, how to repeat it", ".md"),
    "mermaid": Format("a sequence diagram that GitHub and GitLab draw in a page", ".mmd"),
    "pytest": Format("a test of one file that fails as the run did", "_test.py"),
    "litmus": Format("a scenario with its faults that fails as the run did", ".litmus"),
    "perfetto": Format("a trace for ui.perfetto.dev, as TrackEvent protobuf", ".pftrace"),
    "svg": Format("a picture of the story, light or dark as its page is", ".svg"),
    "junit": Format("JUnit XML, a case for each invariant", ".xml"),
    "ktap": Format("KTAP, as the kernel's own tests print, a test for each invariant", ".ktap"),
    "itf": Format("a trace in the Informal Trace Format of Apalache and Quint", ".itf.json"),
    "shiviz": Format("a log with vector clocks for ShiViz", ".log"),
}
"""Name to description. The module ``client.export.NAME`` has a function of this name."""


def export(run: Run, name: str) -> bytes:
    """The run in this format. Raises InputError if there is no such format, or if the run has no valid trace."""
    if name not in FORMATS:
        raise InputError(unknown("format", name, tuple(FORMATS)), "--to")
    write: Callable[..., str | bytes] = getattr(import_module(f"client.export.{name}"), name)
    written = write(run, timeline_of(run))
    return written.encode() if isinstance(written, str) else written
