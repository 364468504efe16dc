"""The decorator of every command, which turns errors into messages and exit codes, and checks of options that commands
share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, ParamSpec, TypeVar

import typer

from client.cli.console import tell
from client.report.json import ErrorDocument, print_json
from contract.errors import ExitCode, InputError, LbrlabError

P = ParamSpec("P")
D = TypeVar("D", str, None)
INTERRUPTED = 130
DEBUG = "LBRLAB_DEBUG"
"""The variable that lets an unforeseen error end the program with a traceback."""


def only(flag: str, given: Sequence[str] | None, usual: D) -> str | D:
    """The value of an option that may be given once; ``usual`` if it is not given. Raises InputError if it is given
    twice."""
    if given and len(given) > 1:
        raise InputError(f"expected one, found {', '.join(given)}", flag)
    return given[0] if given else usual


def refuse(flag: str, others: Mapping[str, object], why: str = "") -> None:
    """Raise InputError if an option is given together with one that does not fit it. ``others``: name of the option to
    its value."""
    if together := [name for name, value in others.items() if value]:
        raise InputError(f"does not go with {', '.join(together)}{f': {why}' if why else ''}", flag)


def needs(flag: str, given: object, what: str) -> None:
    """Raise InputError if an option is given that has no effect without another one. ``what``: the other one."""
    if given is not None and given is not False:
        raise InputError(f"has no effect without {what}", flag)


def finish(code: int) -> NoReturn:
    raise typer.Exit(code)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn errors into a message on standard error (with ``--json`` also a document) and the documented exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except LbrlabError as error:
            _fail(str(error), int(error.exit_code), as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt as interrupt:
            text = str(interrupt) or "interrupted"
            _fail(text, INTERRUPTED, as_json=bool(kwargs.get("as_json")))
        except (typer.Exit, typer.Abort, OSError):
            raise
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            text = f"internal error: {type(error).__name__}: {error} ({DEBUG}=1 shows where)"
            _fail(text, int(ExitCode.SYSTEM_FAILED), as_json=bool(kwargs.get("as_json")))

    return wrapped


def _fail(text: str, code: int, *, as_json: bool) -> NoReturn:
    report_error(text, code, as_json=as_json)
    finish(code)


def report_error(text: str, code: int, *, as_json: bool) -> None:
    if as_json:
        print_json(ErrorDocument(text, code))
    tell("error", text)
