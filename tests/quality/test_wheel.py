"""The wheel, installed where nothing of this tree is on the path, beside the dependencies that are here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contract", "perfcore_svc", "kvm_svc", "client", "protos")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
MADE = shutil.ignore_patterns("__pycache__", "*_pb2*.py", "*_pb2*.pyi", "buf")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing made in this tree gets into it."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=MADE)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed programs. A path in a .pth file is added as it is: its own .pth files, and with them
    this tree, are not read."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    subprocess.run([*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home / "bin"


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    packed = set(ZipFile(wheel).namelist())
    for name in PACKAGES:
        top = ROOT / name if name != "protos" else ROOT / name / "lbrlab"
        for path in top.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)).removeprefix("protos/") in packed


def test_the_installed_programs_play_the_demo_on_two_processes(programs: Path, tmp_path: Path) -> None:
    told = subprocess.run([programs / "lbrlab", "demo", "--json"], cwd=tmp_path, capture_output=True, text=True)
    where = [str(programs / "python"), "-c", "import client, lbrlab; print(client.__file__, lbrlab.__path__)"]
    assert str(ROOT) not in subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.returncode == 1, told.stderr
    assert [run["verdict"] for run in json.loads(told.stdout)["runs"]].count("held") == 2


def test_the_installed_program_writes_a_report(programs: Path, tmp_path: Path) -> None:
    lbrlab = programs / "lbrlab"
    subprocess.run([lbrlab, "run", "exits", "-o", "run.json"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([lbrlab, "report", "run.json", "-o", "r.html"], cwd=tmp_path, check=True, capture_output=True)
    assert "<script" in (tmp_path / "r.html").read_text(encoding="utf-8")
