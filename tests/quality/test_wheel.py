"""The source distribution and the wheel, built from a copy and installed where nothing of this tree is on the path,
beside the dependencies that are here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

from tests.docs.pages import ROOT, top_level

PACKAGES = ("contract", "perfcore_svc", "kvm_svc", "client", "protos")
MADE = shutil.ignore_patterns("__pycache__", "*_pb2*.py", "*_pb2*.pyi", "buf", "lbrlab-runs")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def built(source: Path, folder: Path) -> tuple[Path, Path]:
    """The source distribution of a tree, and the wheel that is built from it alone."""
    sdist = [sys.executable, "-c", SDIST, str(folder)]
    subprocess.run(sdist, cwd=source, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(archive)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    return archive, wheel


def installed(wheel: Path, home: Path) -> Path:
    """The folder of the installed programs. A path in a .pth file is added as it is: its own .pth files, and with them
    this tree, are not read."""
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    subprocess.run([*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home / "bin"


def test_the_distributions_have_every_file_and_what_they_install_runs(tmp_path: Path) -> None:
    """One test, because the build takes seconds."""
    source, out, away = (tmp_path / name for name in ("source", "out", "away"))
    source.mkdir()
    away.mkdir()
    for path in top_level():
        if path.is_dir():
            shutil.copytree(path, source / path.name, ignore=MADE)
        else:
            shutil.copy(path, source)
    given = files_in(source)
    archive, wheel = built(source, out)

    with tarfile.open(archive) as packed:
        assert given - {name.partition("/")[2] for name in packed.getnames()} == set()
    wanted = {name.removeprefix("protos/") for name in given if name.split("/")[0] in PACKAGES}
    compiled = {"lbrlab/v1/contract_pb2.py", "lbrlab/v1/contract_pb2.pyi", "buf/validate/validate_pb2.py"}
    assert (wanted | compiled) - {"build.py"} - set(ZipFile(wheel).namelist()) == set()

    programs = installed(wheel, tmp_path / "venv")
    where = [str(programs / "python"), "-c", "import client, lbrlab; print(client.__file__, lbrlab.__path__)"]
    assert str(ROOT) not in subprocess.run(where, cwd=away, capture_output=True, text=True, check=True).stdout
    told = subprocess.run([programs / "lbrlab", "demo", "--json"], cwd=away, capture_output=True, text=True)
    assert told.returncode == 1, told.stderr
    runs = json.loads(told.stdout)["runs"]
    assert [run["verdict"] for run in runs].count("held") == 2
    report = [str(programs / "lbrlab"), "report", runs[0]["run"], "-o", "r.html"]
    subprocess.run(report, cwd=away, check=True, capture_output=True)
    assert "<script" in (away / "r.html").read_text(encoding="utf-8")
