"""Every option that names a file or folder to write creates the folders that are missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from client import api
from client.cli.app import app
from contract.errors import ExitCode
from tests.client.cli.commands import lbrlab

READ = {"--tape", "--baseline", "--corpus", "--faults", "--tls"}
"""Options that name a file or folder to read."""
SMALL = "--designs v7 --scenarios guest-alone --workers 1"
WRITTEN = {
    "run --output": "run guest-alone -o new/folder/x.json",
    "run --output, the folder of outcomes": "run guest-alone --schedules 2 -o new/folder",
    "run --write-baseline": "run guest-alone --write-baseline new/folder/x.json",
    "check --write-baseline": "check lost.json --write-baseline new/folder/x.json",
    "record --output": "record --duration 0.1 --vcpus 1 -o new/folder/x.json",
    "shrink --output": "shrink lost.json -i one-owner -o new/folder/x.json",
    "export --output": "export lost.json -o new/folder/x.md",
    "report --output": "report lost.json -o new/folder/x.html",
    "step --output": "step guest-alone -o new/folder/x.tape",
    "matrix --output": f"matrix {SMALL} -o new/folder",
    "matrix --write-baseline": f"matrix {SMALL} --write-baseline new/folder/x.json",
    "claims --output": "claims C4 -o new/folder",
    "claims --write-baseline": "claims C4 --write-baseline new/folder/x.json",
    "cost --picture": "cost c09-exits-per-switch --designs v7 --vary exits=1,2 --picture new/folder/x.svg",
    "cost --picture, a page": "cost c09-exits-per-switch --designs v7 --vary exits=1,2 --picture new/folder/x.html",
    "contract --html": "contract --no-runs --html new/folder/x.html",
    "matrix --html": f"matrix {SMALL} --html new/folder/x.html",
    "matrix --html, kinds of faults": f"matrix {SMALL} --faults all --runs 1 --html new/folder/x.html",
    "differ --output": "differ v8 merged --scenarios c04-cpu-pinned-comes-later --runs 8 -o new/folder",
    "campaign --output": f"campaign {SMALL} --runs 2 -o new/folder",
    "campaign --junit": f"campaign {SMALL} --runs 2 --junit new/folder/x.xml",
    "campaign --write-baseline": f"campaign {SMALL} --runs 2 --write-baseline new/folder/x.json",
}
"""Option to a command with it."""


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("run") / "lost.json"
    api.run("central-story", "revoke-gp", faults=["drop Revoke 1"], keep_at=path)
    return path.read_bytes()


def test_missing_folders_are_created(lost: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (option, command) in enumerate(WRITTEN.items()):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        Path("lost.json").write_bytes(lost)
        result = lbrlab(*command.split())
        assert result.exit_code not in (ExitCode.BAD_INPUT, ExitCode.SYSTEM_FAILED), (option, result.stderr)
        if option in ("export --output", "report --output"):
            written = command.split()[-1]
            said = rf"{re.escape(written)}: [\d,]+ (bytes|kB), (1 run, )?90 records\n"
            assert re.fullmatch(said, result.stdout), (option, result.stdout)
        written = next(word for word in command.split() if word.startswith("new/"))
        assert Path(written).exists(), option
        assert any(Path("new/folder").iterdir()), option


def test_a_folder_that_cannot_be_there_is_named(lost: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lost.json").write_bytes(lost)
    Path("new").write_text("a file")
    for option, command in WRITTEN.items():
        result = lbrlab(*command.split())
        assert result.exit_code == ExitCode.BAD_INPUT, (option, result.output)
        assert re.search(r"error: new/?\S*: cannot (be made|write): ", result.stderr), (option, result.stderr)


def test_every_option_that_names_a_file_is_here() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    found = {
        f"{name} {param.opts[0]}"
        for name, command in group.commands.items()
        for param in command.params
        if getattr(param, "metavar", "") in ("FILE", "DIR", "RUN") and param.opts[0].startswith("--")
        if param.opts[0] not in READ
    }
    assert found == {option.split(",")[0] for option in WRITTEN}
