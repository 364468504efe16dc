"""The reference page of the command line, and the JSON schemas.

``python -m client.cli.reference commands`` prints docs/reference/commands.md, ``schemas`` prints
docs/reference/schemas.json."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from inspect import cleandoc

from typer.core import TyperArgument, TyperOption
from typer.main import get_group

from client.cli.application import app as application
from client.cli.documents import schemas

EXAMPLE = "lbrlab "


def commands_page() -> str:
    """Every command with its examples, arguments and options, in the order of the help."""
    import client.cli.app  # noqa: F401  (its import adds the commands)

    group = get_group(application)
    lines = [
        "# Commands",
        "",
        "This page is written by `make docs` from the help of the program. Change the program, not the page.",
        "",
        *_help(group.help or ""),
        "Where an example names `run.json` or `good.json`, it needs these two runs. The first violates something:",
        "",
        "    lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1' -o run.json",
        "    lbrlab run central-story -d revoke-gp -o good.json",
    ]
    for name, command in group.commands.items():
        lines += ["", f"## {name}", "", *_help(command.help or "")]
        for param in command.params:
            if isinstance(param, TyperArgument | TyperOption) and not param.hidden:
                lines.append(_entry(param))
    return "\n".join(lines) + "\n"


def _help(text: str) -> Iterator[str]:
    """The paragraphs of a help. The lines of an example are code."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        lines = [line.strip() for line in paragraph.replace("\b", "").strip().splitlines()]
        if lines[0].startswith(EXAMPLE):
            yield from (f"    {line}" for line in lines)
        else:
            yield _escaped(" ".join(lines))
        yield ""


def _entry(param: TyperArgument | TyperOption) -> str:
    shown = param.metavar or param.name or ""
    if isinstance(param, TyperArgument):
        forms = [shown if param.required else f"[{shown}]"]
    else:
        forms = [*param.opts, *param.secondary_opts]
        forms[-1] += "" if param.is_flag else f" {shown}"
    told = _escaped(" ".join((param.help or "").split()))
    return f"- {', '.join(f'`{form}`' for form in forms)}: {told}{_default(param)}"


def _default(param: TyperArgument | TyperOption) -> str:
    """The default and the environment, as ``--help`` tells them."""
    parts = [f"default `{param.default}`"] if param.show_default and param.default not in (None, False, "") else []
    parts += [f"or `{param.envvar}` in the environment"] if param.envvar else []
    return f" ({'; '.join(parts)})" if parts else ""


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>\[\]|])", r"\\\1", text)


PAGES: dict[str, Callable[[], str]] = {"commands": commands_page, "schemas": schemas}

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
