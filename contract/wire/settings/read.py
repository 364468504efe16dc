"""Settings from the command line, the environment and a file; the first of them that has a setting wins."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from contract.errors import InputError
from contract.wire.settings.kinds import FLAG
from contract.wire.settings.show import shown
from contract.wire.settings.table import CONFIG, Setting, of_service

FILE_LIMIT = 1 << 20
"""Bytes of a file of settings."""
PRECEDENCE = """\
An option can also be given as a variable of the environment ($LBRLAB_LEASE for
--lease) or as a key of the TOML file (lease = 5). The option wins over the
variable, the variable over the file.
"""


class Given(NamedTuple):
    """A value, and where it was given."""

    value: Any
    origin: str


def configured(
    service: str,
    description: str,
    epilog: str,
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> argparse.Namespace:
    """The settings of a service, by ``Setting.attribute``. Raises InputError naming the option, the variable, or the
    file and its line. Ends the process after ``--help`` and ``--print-config``."""
    settings = of_service(service)
    parser = _parser(service, settings, description, epilog)
    known, rest = parser.parse_known_args(argv)
    if rest:
        near = _nearest(rest[0].partition("=")[0], [setting.option for setting in settings if not setting.is_hidden])
        parser.error(f"there is no {'option' if rest[0][:1] == '-' else 'argument'} {rest[0]!r}{near}")
    options = vars(known)
    file, prints = options.pop("config", ""), options.pop("print_config", False)
    given = _gather(service, settings, options, file or environment.get(CONFIG, ""), environment)
    if prints:
        print(shown(settings, given), end="")
        parser.exit()
    for setting in settings:
        if setting.is_required and setting.name not in given:
            key = f"{setting.name} in the file of --config"
            raise InputError(f"expected {setting.option} {setting.kind.metavar}, ${setting.variable}, or {key}")
    return argparse.Namespace(**{s.attribute: given[s.name].value if s.name in given else s.default for s in settings})


class _ArgumentParser(argparse.ArgumentParser):
    """One whose errors are InputErrors. argparse prints the names of all options before each of its own."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')} ('{self.prog} --help' shows how)")


def _parser(service: str, settings: Sequence[Setting], description: str, epilog: str) -> argparse.ArgumentParser:
    parser = _ArgumentParser(
        prog=service,
        description=description,
        epilog=f"{PRECEDENCE}\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for setting in settings:
        told = setting.help
        if setting.kind is FLAG:
            hint = argparse.SUPPRESS if setting.is_hidden else told
            parser.add_argument(setting.option, dest=setting.name, action=argparse.BooleanOptionalAction, help=hint)
            continue
        if setting.default is not None:
            told += f" (default: {shortest(setting.default)})"
        parser.add_argument(
            setting.option,
            dest=setting.name,
            metavar=setting.kind.metavar,
            type=_typed(setting),
            help=argparse.SUPPRESS if setting.is_hidden else told,
        )
    parser.add_argument("--config", metavar="FILE", help="read settings from this TOML file")
    parser.add_argument("--print-config", action="store_true", help="print the settings in effect as TOML, and exit")
    return parser


def shortest(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _typed(setting: Setting) -> Any:
    def parse(text: str) -> Any:
        try:
            return setting.kind.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _gather(
    service: str,
    settings: Sequence[Setting],
    options: Mapping[str, Any],
    file: str,
    environment: Mapping[str, str],
) -> dict[str, Given]:
    """Raises InputError naming the variable, or the file and its line."""
    given: dict[str, Given] = {}
    if file:
        given |= _from_file(service, settings, Path(file))
    for setting in settings:
        if text := environment.get(setting.variable):
            where = f"${setting.variable}"
            given[setting.name] = Given(_checked(setting.kind.parse, text, where), where)
    for name, value in options.items():
        given[name] = Given(value, f"--{name}")
    return given


def _checked(read: Any, value: Any, where: str) -> Any:
    try:
        return read(value)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise InputError(str(error), where) from None


def _from_file(service: str, settings: Sequence[Setting], path: Path) -> dict[str, Given]:
    import tomllib

    text = _text(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"expected TOML: {error}", str(path)) from None
    known = {setting.name: setting for setting in settings}
    given = {}
    for key, value in content.items():
        where = f"{path}:{_line_of(key, text)}"
        if key not in known:
            raise InputError(f"{service} has no setting {key!r}{_nearest(key, known)}", where)
        given[key] = Given(_checked(known[key].kind.from_toml, value, f"{where}: {key}"), where)
    return given


def _text(path: Path) -> str:
    """Raises InputError for what is no regular, readable text."""
    try:
        if not path.is_file():
            raise InputError("expected a file" if path.exists() else "there is no such file", str(path))
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT + 1)
        if len(raw) > FILE_LIMIT:
            raise InputError(f"expected at most {FILE_LIMIT} bytes", str(path))
        return raw.decode()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    except ValueError:
        raise InputError("expected text in UTF-8", str(path)) from None


def _line_of(key: str, text: str) -> int:
    """The line in which a key of the first level is set. tomllib does not tell it."""
    for number, line in enumerate(text.splitlines(), 1):
        name = line.strip().lstrip("[").split("=")[0].split("]")[0].split(".")[0].strip().strip("\"'")
        if name == key:
            return number
    return 1


def _nearest(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
