"""Compile the wire schema whenever the project is built: pyproject.toml cannot say it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent


class BuildProtos(Command):
    # A command of its own: in an editable build setuptools turns errors of a changed build_py into warnings.
    description = "compile protos/**/*.proto"
    user_options: ClassVar[list[tuple[str, str | None, str | None]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        pass

    def finalize_options(self) -> None:
        pass

    def run(self) -> None:
        # A process of its own, because protobuf's global registry outlives the compilation.
        subprocess.run([sys.executable, str(ROOT / "protos" / "build.py")], check=True)

    def get_source_files(self) -> list[str]:
        found = [ROOT / "protos" / "build.py", *sorted(ROOT.glob("protos/lbrlab/**/*.proto"))]
        return [path.relative_to(ROOT).as_posix() for path in found]

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    sub_commands: ClassVar = [("build_protos", None), *build.sub_commands]


# Packages are looked up before anything is compiled into them.
for package in ("buf/validate", "lbrlab/v1"):
    (ROOT / "protos" / package).mkdir(parents=True, exist_ok=True)

setup(cmdclass={"build": Build, "build_protos": BuildProtos})
