"""An unforeseen error of a core or of the player, and the form of the failure of a run."""

from __future__ import annotations

import re
import traceback

from contract.errors import SystemFailedError

PACKAGES = {"kvm_svc": "kvm", "perfcore_svc": "perfcore"}
"""Package of a core to the name of its service. An error elsewhere is of this program."""
_CORE_ERROR = re.compile(r"([A-Za-z]+): .* \(in (\S+)\)", re.DOTALL)


class CoreFailedError(SystemFailedError):
    """A core, or the player, raised an error that no rule foresees: a bug of this program. The reason has its class,
    its message, and the module and function that raised it."""

    def __init__(self, error: Exception) -> None:
        raised = list(traceback.walk_tb(error.__traceback__))[-1][0]
        module = str(raised.f_globals.get("__name__", ""))
        text = " ".join(str(error).split())
        service = PACKAGES.get(module.partition(".")[0], "lbrlab")
        super().__init__(service, f"{type(error).__name__}: {text} (in {module}.{raised.f_code.co_name})")
        self.__cause__ = error


def form_of(text: str) -> str:
    """A text without its numbers, so that texts about the same thing are equal."""
    return re.sub(r"0x[0-9a-f]+|\d+", "N", text)


def failure_form(failure: SystemFailedError) -> str:
    """The form of a failure: failures with the same form are alike. An unforeseen error is known by its class and the
    function that raised it; any other failure by its text without the numbers."""
    if match := _CORE_ERROR.fullmatch(failure.reason):
        return f"{failure.service}: {match[1]} in {match[2]}"
    return form_of(str(failure))
