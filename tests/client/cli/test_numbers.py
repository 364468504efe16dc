"""Options that take a number refuse what is not a number of theirs: with status 2, and by their name."""

from __future__ import annotations

from typing import get_type_hints

from client.cli.app import app
from client.cli.entry import plain
from tests.cases import cases
from tests.client.cli.commands import lbrlab

ARGUMENTS = {
    "run": ("central-story", "--wire", "grpc"),
    "matrix": ("--scenarios", "c05*", "--designs", "fenced"),
    "msrs": (),
    "claims": ("C3",),
    "demo": (),
    "confirm": ("run.json",),
    "campaign": ("--runs", "1"),
    "contract": ("--no-runs",),
    "web": (),
    "certs": ("certs",),
    "step": ("run.json",),
    "record": ("--duration", "0.1"),
    "differ": ("merged", "v8"),
    "scoreboard": ("tests.quality.few",),
}
"""The other arguments that a command needs. A command with such an option that is not here fails the test."""
SERVICES = ("--perfcore", "unix:none.sock", "--kvm", "unix:none-either.sock")
PAIR = ("--pair", "unix:none.sock,unix:none-either.sock")
NEVER = ("nan", "inf", "-inf", "-1", "1e400", "", "a")
BELOW = {
    "--counters": "0",
    "--timeout": "0",
    "--duration": "0",
    "--speed": "0",
    "--kvms": "0",
    "--kill-every": "0",
    "--vcpus": "0",
}
"""Options that take no 0."""


def options() -> list[tuple[str, str]]:
    """Each command with each option of it that takes a number."""
    found = []
    for command in app.registered_commands:
        assert command.name
        assert command.callback
        for name, hint in get_type_hints(command.callback).items():
            if hint in (int, float, int | None, float | None):
                found.append((command.name, f"--{name.replace('_', '-')}"))
    return found


def test_there_are_some() -> None:
    assert {
        "--timeout",
        "--wait",
        "--workers",
        "--counters",
        "--fixed",
        "--pmu",
        "--schedules",
        "--seed",
        "--port",
        "--days",
        "--at",
        "--runs",
        "--control-runs",
        "--duration",
        "--speed",
        "--kvms",
        "--kill-every",
        "--vcpus",
    } == {flag for _, flag in options()}


@cases(("command", "flag"), options())
def test_refused(command: str, flag: str) -> None:
    services = () if flag != "--wait" else PAIR if command == "campaign" else SERVICES
    for value in (*NEVER, *([BELOW[flag]] if flag in BELOW else [])):
        result = lbrlab(command, *ARGUMENTS[command], *services, f"{flag}={value}")
        assert result.exit_code == 2, value
        assert flag.lstrip("-") in result.stderr.splitlines()[-1], value


@cases(
    ("said", "told"),
    [
        ("'x' is not a valid int range.", "'x' is not a whole number."),
        ("'x' is not a valid integer.", "'x' is not a whole number."),
        ("'x' is not a valid float range.", "'x' is not a number."),
        ("'x' is not a valid float.", "'x' is not a number."),
    ],
)
def test_no_name_of_a_type_is_shown(said: str, told: str) -> None:
    assert plain(f"Invalid value for '--runs': {said}") == f"Invalid value for '--runs': {told}"
