"""Settings of the services: one table, three places to give them, and one message for what is wrong."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from contract.control import ConfigurePerf, MachineSpec
from contract.errors import InputError
from contract.messages import Envelope, Hello, Welcome
from contract.wire import limits
from contract.wire.bootstrap import arguments
from contract.wire.settings import SERVICES, TABLE, configured, of_service
from contract.wire.settings.kinds import FLAG
from contract.wire.settings.show import _toml, page
from contract.wire.settings.table import KVM, PERFCORE, Setting
from perfcore_svc.core import HostCore
from tests.cases import cases
from tests.designs import MERGED
from tests.docs.pages import ROOT

LONG = "7" * 99
NEEDED = {"LBRLAB_PERFCORE": "unix:p"}
VALUES = {
    "listen": "unix:x.sock",
    "perfcore": "10.0.0.1:7401",
    "name": 'kvm "1"\\',
    "tls": "certs/kvm1",
    "insecure": "true",
    "lease": "7.5",
    "answer-timeout": "0.25",
    "redial-limit": "30",
    "metrics": "[::1]:9464",
    "health": "0.0.0.0:7402",
    "traces": "localhost:4317",
    "log-format": "json",
    "exit-with-parent": "yes",
    "protocol": "77",
    **{
        f"max-{limit.name}": str(limit.least if limit.least != limit.default else limit.most)
        for limit in limits.table()
    },
}
"""A value of each setting that is not its default."""


def settings(service: str, *argv: str, **environment: str) -> argparse.Namespace:
    return configured(service, "", "", argv, {**NEEDED, **environment})


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "svc.toml"
    file.write_text(text)
    return str(file)


def toml(setting: Setting) -> str:
    value = setting.kind.parse(VALUES[setting.name])
    literal = str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else value
    return f"{setting.name} = {literal}\n"


@cases(("service", "setting"), [(s, x) for s in SERVICES for x in of_service(s)], ids=str)
def test_the_option_wins_over_the_variable_the_variable_over_the_file(
    service: str, setting: Setting, tmp_path: Path
) -> None:
    wanted = setting.kind.parse(VALUES[setting.name])
    base = {name: value for name, value in NEEDED.items() if name != setting.variable}

    def read(*argv: str, **environment: str) -> object:
        return vars(configured(service, "", "", argv, {**base, **environment}))[setting.attribute]

    low = written(tmp_path, toml(setting))
    assert read("--config", low) == wanted != setting.default
    other = str(setting.default).lower() if setting.default is not None else "localhost:1"
    back = setting.kind.parse(other)
    assert read("--config", low, **{setting.variable: other}) == back
    assert read("--config", low, **{setting.variable: ""}) == wanted
    option = [setting.option] if setting.kind is FLAG else [setting.option, VALUES[setting.name]]
    assert read(*option, **{setting.variable: other}) == wanted


def test_a_flag_can_be_taken_back() -> None:
    assert settings(PERFCORE, "--no-insecure", LBRLAB_INSECURE="1").insecure is False


@cases("service", SERVICES)
def test_the_printed_configuration_is_one(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = written(tmp_path, "".join(toml(s) for s in of_service(service) if s.name != "log-format"))
    with pytest.raises(SystemExit, match=r"^0$"):
        settings(service, "--config", given, "--log-format", "json", "--print-config", LBRLAB_INSECURE="on")
    printed = capsys.readouterr().out
    again = vars(settings(service, LBRLAB_CONFIG=written(tmp_path, printed)))

    assert again == {s.attribute: s.kind.parse(VALUES[s.name]) for s in of_service(service)} | (
        {"perfcore": "unix:p"} if service == KVM else {}
    )
    assert f'listen = "unix:x.sock"  # {tmp_path}/svc.toml:1\n' in printed
    assert "insecure = true  # $LBRLAB_INSECURE\n" in printed
    assert 'log-format = "json"  # --log-format\n' in printed


def test_what_is_not_set_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        configured(KVM, "", "", ["--print-config"], {})
    printed = capsys.readouterr().out
    assert tomllib.loads(printed) == {
        s.name: s.default for s in of_service(KVM) if s.default is not None and not s.is_hidden
    }
    assert "# perfcore is not set: HOST:PORT or unix:PATH\n" in printed
    assert max(map(len, printed.splitlines())) <= 80


@cases(
    ("text", "said"),
    [
        ("lease = 5\n\nleese = 1\n", r"svc\.toml:3: perfcore-svc has no setting 'leese'; did you mean lease\?"),
        ("answer-timeout = 5\n", r"svc\.toml:1: perfcore-svc has no setting 'answer-timeout'"),
        ("\n[limits]\nx = 1\n", r"svc\.toml:2: perfcore-svc has no setting 'limits'"),
        ('"\\u001b[2J" = 1\n', r"svc\.toml:1: perfcore-svc has no setting '\\x1b\[2J'"),
        ("# a\nlease = 0\n", r"svc\.toml:2: lease: expected seconds from 0\.001 to 86400, found '0'"),
        ("lease = nan\n", r"svc\.toml:1: lease: expected seconds .* found 'nan'"),
        ("lease = '5'\n", r"svc\.toml:1: lease: expected seconds .* found '5'"),
        ("insecure = 1\n", r"svc\.toml:1: insecure: expected true or false, found 1"),
        ("lease = true\n", r"svc\.toml:1: lease: expected seconds .* found True"),
        ("listen = '7401'\n", r"svc\.toml:1: listen: expected HOST:PORT .* found '7401'"),
        ("lease = \n", r"svc\.toml: expected TOML: Invalid value \(at line 1, column 9\)"),
        ("lease = 5\nlease = 6\n", r"svc\.toml: expected TOML: Cannot overwrite a value \(at line 2"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        settings(PERFCORE, "--config", written(tmp_path, text))


def test_only_a_file_of_sound_size_is_read(tmp_path: Path) -> None:
    for path, said in (
        (str(tmp_path), "expected a file"),
        ("/dev/zero", "expected a file"),
        (str(tmp_path / "none"), "there is no such file"),
        (written(tmp_path, "#" * (1 << 21)), "expected at most 1048576 bytes"),
    ):
        with pytest.raises(InputError, match=re.escape(f"{path}: {said}")):
            settings(PERFCORE, "--config", path)
    (tmp_path / "latin").write_bytes(b"name = '\xe4'")
    with pytest.raises(InputError, match="latin: expected text in UTF-8"):
        settings(PERFCORE, LBRLAB_CONFIG=str(tmp_path / "latin"))


@cases(
    ("variable", "text"),
    [("LBRLAB_LEASE", "soon"), ("LBRLAB_INSECURE", "maybe"), ("LBRLAB_LISTEN", "x"), ("LBRLAB_LOG_FORMAT", "xml")],
)
def test_a_variable_that_is_wrong_is_named(variable: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"^\${variable}: expected .*, found '{text}'$"):
        settings(PERFCORE, **{variable: text})


def test_an_inbox_has_room_for_the_credits_that_welcome_tells() -> None:
    host = HostCore.configured(ConfigurePerf(MachineSpec(), MERGED, [], []))
    (sent,) = host.take(Envelope("k", True, 1, 1, Hello("k")), 0).messages
    assert isinstance(sent.body, Welcome)
    credits = sent.body.credits

    for service in SERVICES:
        assert settings(service, "--max-inbox", str(credits)).max_inbox == credits
        with pytest.raises(InputError, match=rf"^\$LBRLAB_MAX_INBOX: expected a number from {credits} to 65536, found"):
            settings(service, LBRLAB_MAX_INBOX=str(credits - 1))


def test_a_name_is_printable_and_a_path_may_be_anything() -> None:
    with pytest.raises(InputError, match=r"^\$LBRLAB_NAME: expected 1 to 128 printable characters, found 'a\\x1b'$"):
        settings(KVM, LBRLAB_NAME="a\x1b")
    for path in ("\x7f", '"\\', "\t", "\u202e"):
        assert tomllib.loads(f"path = {_toml(path)}") == {"path": path}


def test_a_setting_that_is_required_can_come_from_anywhere() -> None:
    said = r"^expected --perfcore ADDR, \$LBRLAB_PERFCORE, or perfcore in the file of --config$"
    with pytest.raises(InputError, match=said):
        configured(KVM, "", "", [], {})


@cases(
    ("argv", "said"),
    [
        (["--leas", "1"], "there is no option '--leas'; did you mean --lease?"),
        (["--leas=1"], "there is no option '--leas=1'; did you mean --lease?"),
        (["--lease", "1e9"], "--lease: expected seconds from 0.001 to 86400, found '1e9'"),
        (["--lease"], "--lease: expected one argument"),
        (["--log-format", "xml"], "--log-format: expected console or json, found 'xml'"),
        (["--insecure=yes"], "--insecure/--no-insecure: ignored explicit argument 'yes'"),
        (["perfcore.toml"], "there is no argument 'perfcore.toml'"),
        (["--listen", LONG], f"--listen: expected HOST:PORT with a port from 0 to 65535, or unix:PATH, found '{LONG}'"),
    ],
)
def test_an_option_that_is_wrong_is_one_error_that_fits(
    argv: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["perfcore-svc", *argv])
    with pytest.raises(SystemExit, match=r"^2$"):
        arguments(PERFCORE, "", "")
    lines = capsys.readouterr().err.splitlines()
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)
    assert " ".join(line.strip() for line in lines) == f"perfcore-svc: error: {said} ('perfcore-svc --help' shows how)"


@cases("service", SERVICES)
def test_help_fits_and_names_every_setting(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        settings(service, "--help")
    said = capsys.readouterr().out
    assert {s.option for s in of_service(service) if not s.is_hidden} <= set(re.findall(r"--[a-z-]+", said))


def test_names_are_used_once_and_defaults_are_values() -> None:
    assert len({setting.name for setting in TABLE}) == len(TABLE) == len(VALUES)
    for setting in TABLE:
        if setting.default is not None:
            assert setting.kind.parse(str(setting.default).lower()) == setting.default


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    kept = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert kept == page(), "docs/reference/settings.md is out of date: run 'make docs' and commit the page"


LOG = """
import sys
from contract.wire.log import log, log_as
log_as(sys.argv[1])
log().warning("said", peer="\\x1b[2J", why="a\\nb")
assert not {"rich", "rich.console"} & set(sys.modules)
"""


@cases(
    ("form", "said"),
    [("console", "event=said peer=\\x1b[2J why=a\\nb"), ("json", '"peer": "\\\\x1b[2J", "why": "a\\nb"')],
)
def test_a_line_of_the_log_is_printable_and_costs_no_rich(form: str, said: str) -> None:
    made = subprocess.run([sys.executable, "-c", LOG, form], capture_output=True, text=True, cwd=ROOT)
    assert made.returncode == 0, made.stderr
    assert said in made.stderr
    assert len(made.stderr.splitlines()) == 1
