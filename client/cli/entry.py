"""The process around the commands: signals, a closed standard output, usage errors.

Little is imported before the handlers are in place, so Ctrl-C works from the start.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
PIPE_CLOSED = 141
BAD_INPUT = 2
FAILED = 3
UNCOLLECTED = 100_000
"""New objects between two passes of the garbage collector. Nearly all that a start makes lives to the end, and passes
over it would take a seventh of the time of a run."""


def main() -> None:
    """``lbrlab``; ends the process with a documented exit code."""
    gc.set_threshold(UNCOLLECTED)
    # grpc reads it while it is imported. Its own lines would stand before the error, which has the reason in words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if sys.stdout is None or sys.stderr is None:
        _replace_missing_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _end(INTERRUPTED, "interrupted")
    except BrokenPipeError:
        _end(PIPE_CLOSED, "")
    except OSError as error:
        _end(FAILED, f"cannot write to standard output: {error.strerror}")
    sys.exit(code)


def _run() -> int:
    import typer

    from client.cli.app import app

    # typer builds each command that is there from its signature. For all that takes a tenth of the time of a run.
    called = [command for command in app.registered_commands if command.name in sys.argv[1:2]]
    app.registered_commands = called or app.registered_commands
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Exit as done:
        return done.exit_code
    except SystemExit:
        # click's exception for a closed pipe, at any place.
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":
            raise BrokenPipeError from None
        raise
    except Exception as error:
        # Usage errors have a class that typer does not export.
        if hasattr(error, "format_message"):
            return _usage(error.format_message(), getattr(error, "ctx", None))
        raise


def _usage(text: str, context: Any) -> int:
    """``context``: click's, of the command that was called; None if it is not known."""
    from client.cli.command import report_error

    command = " ".join(["lbrlab", *(context.command_path.split()[1:] if context is not None else ())])
    report_error(f"{plain(text)} ('{command} --help' shows how)", BAD_INPUT, as_json="--json" in sys.argv)
    return BAD_INPUT


def plain(text: str) -> str:
    """A usage error without click's names of types."""
    for kind, words in (("int(?:eger)?", "a whole number"), ("float", "a number")):
        text = re.sub(rf"is not a valid {kind}( range)?\b", f"is not {words}", text)
    return text


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _replace_missing_streams() -> None:
    nowhere = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere


def _end(code: int, text: str) -> NoReturn:
    """End the process without a last flush: the rest of the buffer could not be written either."""
    if text:
        print(f"lbrlab: error: {text}", file=sys.stderr, flush=True)
    os._exit(code)
