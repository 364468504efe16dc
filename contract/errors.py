"""The ways in which a run can go wrong, each with its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    HELD = 0
    VIOLATED = 1
    BAD_INPUT = 2
    SYSTEM_FAILED = 3
    UNDECIDED = 4


class LbrlabError(Exception):
    exit_code = ExitCode.SYSTEM_FAILED


class InputError(LbrlabError):
    """An input is wrong. ``place`` says where (file:line:column, a path in a document, a flag)."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.place = place


class FullDiskError(InputError):
    """There is no room for a file. The path is right, so the environment has failed."""

    exit_code = ExitCode.SYSTEM_FAILED


class DivergedError(InputError):
    """A tape has a decision that is not possible in its run."""


class RefusedError(InputError):
    """A core refused a command, and its state is as before. ``effects``: records of independent events in the meantime:
    a link was lost."""

    effects: Sequence[Any] = ()

    def __init__(self, message: str, errno: str = "EINVAL") -> None:
        super().__init__(message)
        self.errno = errno


class LimitError(RefusedError):
    """A command would go beyond a limit of the service. Its message names the limit."""


class SystemFailedError(LbrlabError):
    """A service died, is missing, stalls, or speaks another protocol. ``service`` names it."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class LocalContractError(LbrlabError):
    """This side broke a rule of the contract: a bug in this program."""


class PeerContractError(LbrlabError):
    """The peer broke a rule of the contract."""
