"""``lbrlab export``."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from rich.markup import escape

from client.cli.console import console, print_columns, print_text, size_of
from client.export.registry import FORMATS, export
from client.files import write_file
from client.report.json import print_json
from client.report.plain import plain
from client.run.file import errors_of, is_run_file, load_judged
from contract.errors import InputError


class FormatDocument(msgspec.Struct):
    """``export --list --json`` prints a list of these."""

    format: str
    about: str
    ending: str


class ExportDocument(msgspec.Struct):
    """``export --json``. ``bytes``: the size of ``output``. ``records``: of the run."""

    run: str
    format: str
    output: str
    bytes: int
    records: int


def list_formats(*, as_json: bool) -> None:
    if as_json:
        print_json([FormatDocument(name, about, ending) for name, (about, ending) in FORMATS.items()])
    else:
        print_columns(console(), ("format", "about"), [(name, about) for name, (about, _) in FORMATS.items()])


def export_run(path: Path, name: str, output: Path | None, *, as_json: bool) -> None:
    if as_json and output is None:
        raise InputError("expected a file for the export: -o FILE", "--json")
    run = load_judged(path)
    with errors_of(path):
        content = export(run, name)
    if output is None:
        if sys.stdout.isatty() and b"\0" in content:
            raise InputError(f"{name} is not text; expected a file: -o FILE", "--to")
        sys.stdout.flush()
        sys.stdout.buffer.write(content if b"\0" in content else plain(content.decode(errors="replace")).encode())
        return
    if output.exists() and (output.samefile(path) or is_run_file(output)):
        raise InputError("is a run file; choose another name", str(output))
    write_file(output, content)
    if as_json:
        print_json(ExportDocument(str(path), name, str(output), len(content), len(run.records)))
    else:
        print_text(console(), f"{escape(str(output))}: {size_of(content)}, {len(run.records):,} records")
