"""Settings in writing: as TOML (``--print-config``), and as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contract.wire.settings.table import TABLE, Setting

if TYPE_CHECKING:
    from contract.wire.settings.read import Given

_PAGE = """\
# Settings of the services

Written by `make docs`. The option wins over the variable of the environment, the variable over the key in the TOML
file of `--config` (`$LBRLAB_CONFIG`), and the key over the default. An empty variable counts as not set. A key that the
service does not have is refused with its file and line. `--print-config` prints what is in effect, and where each value
comes from, as a file that `--config` takes.

| option | variable | key in TOML | of | default | takes | meaning |
| --- | --- | --- | --- | --- | --- | --- |
"""


def shown(settings: Sequence[Setting], given: Mapping[str, Given]) -> str:
    """The settings in effect as TOML."""
    lines = []
    for setting in settings:
        if setting.is_hidden and setting.name not in given:
            continue
        value, origin = given.get(setting.name, (setting.default, "default"))
        if value is None:
            lines.append(f"# {setting.name} is not set: {setting.kind.takes}")
        else:
            lines.append(f"{setting.name} = {_toml(value)}  # {origin}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # A string of JSON is a basic string of TOML, except for DEL.
    return json.dumps(value).replace("\x7f", "\\u007f")


def page() -> str:
    """The table as Markdown."""
    rows = []
    for setting in TABLE:
        if setting.is_hidden:
            continue
        default = "" if setting.default is None else f"`{_toml(setting.default)}`"
        of = "both" if len(setting.services) == 2 else setting.services[0]
        cells = (
            f"`{setting.option}`",
            f"`{setting.variable}`",
            f"`{setting.name}`",
            of,
            "required" if setting.is_required else default,
        )
        rows.append(f"| {' | '.join((*cells, setting.kind.takes, setting.help))} |\n".replace("|  |", "| |"))
    return _PAGE + "".join(rows)
