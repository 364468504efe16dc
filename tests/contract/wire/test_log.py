"""The services' log is logfmt, one line for each event."""

from __future__ import annotations

import re

import pytest

from contract.wire import log as wire_log
from contract.wire.log import bind, log
from tests.cases import cases


def written(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"timestamp=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ", line)
    return line.partition(" ")[2]


@pytest.fixture(autouse=True)
def _bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_log, "_bound", {})


def test_the_fields_stand_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    bind(service="kvm")
    log().warning("link-lost", reason="gone", kvm="kvm1")
    assert written(capsys) == "level=warning service=kvm event=link-lost kvm=kvm1 reason=gone"


@cases(
    ("value", "text"),
    [
        ("", ""),
        (None, ""),
        (7, "7"),
        ("C:\\x", "C:\\x"),
        ("two words", '"two words"'),
        ('a="b"', r'"a=\"b\""'),
        ("two\nlines\r\t\\", r'"two\nlines\r\t\\"'),
    ],
)
def test_a_value_has_an_end(capsys: pytest.CaptureFixture[str], value: object, text: str) -> None:
    log().info("x", value=value)
    assert written(capsys) == f"level=info service= event=x value={text}"


def test_an_error_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("surprise")
    except KeyError as error:
        log().error("internal-error", error, doing="a step")
    line = written(capsys)
    assert line.startswith('level=error service= event=internal-error doing="a step" error="KeyError: \'surprise\'')
    assert "Traceback (most recent call last):\\n" in line
    assert "in test_an_error_is_one_line_too\\n" in line
