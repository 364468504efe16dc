"""Who may import whom, and that the cores stay plain state without sockets, clocks or chance."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases import cases

ROOT = Path(__file__).parents[2]
EDGES = {"contract": "wire", "perfcore_svc": "service", "kvm_svc": "service"}
OUTSIDE = {
    "asyncio", "grpc", "grpc_health", "grpc_reflection", "google", "lbrlab", "buf", "time", "random", "logging",
    "structlog", "threading", "multiprocessing", "subprocess", "socket", "os", "datetime", "secrets", "uuid",
}  # fmt: skip
STRANGERS = {
    "contract": {"perfcore_svc", "kvm_svc", "client", "tests"},
    "perfcore_svc": {"kvm_svc", "client", "tests"},
    "kvm_svc": {"perfcore_svc", "client", "tests"},
}
MUTATORS = {"append", "add", "update", "setdefault", "pop", "clear", "extend", "insert", "remove", "discard", "popitem"}


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported, wherever in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def bad_imports(source: str, package: str, *, core: bool) -> list[str]:
    found = []
    for line, name in imported(ast.parse(source)):
        root = name.split(".")[0]
        edge = f"{package}.{EDGES[package]}"
        core_breaks = core and (root in OUTSIDE or name == edge or name.startswith((edge + ".", "contract.wire")))
        if core_breaks or root in STRANGERS[package] or not root:
            found.append(f"{line}: {name}")
    return found


def module_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


def stored(node: ast.expr) -> str:
    """The name at the root of ``a[..]``, ``a.b``, ``a.b[..]``."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def mutable_state(source: str) -> list[str]:
    """``global``, and functions that change what a module-level name holds."""
    tree = ast.parse(source)
    names = module_names(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.append(f"{node.lineno}: global {', '.join(node.names)}")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for inner in ast.walk(node):
            targets: list[ast.expr] = []
            if isinstance(inner, ast.Assign | ast.Delete):
                targets = [t for t in inner.targets if not isinstance(t, ast.Name)]
            elif isinstance(inner, ast.AugAssign) and not isinstance(inner.target, ast.Name):
                targets = [inner.target]
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in MUTATORS:
                targets = [inner.func.value]
            found += [f"{t.lineno}: {stored(t)} changed" for t in targets if stored(t) in names]
    return found


def files(package: str) -> list[tuple[Path, bool]]:
    """Every module with whether it belongs to the core."""
    edge = ROOT / package / EDGES[package]
    return [(p, edge not in p.parents) for p in sorted((ROOT / package).rglob("*.py"))]


@cases("package", EDGES)
def test_imports(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{problem}"
        for path, core in files(package)
        for problem in bad_imports(path.read_text(), package, core=core)
    ]
    assert found == []


@cases("package", EDGES)
def test_cores_keep_no_state_in_modules(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{problem}"
        for path, core in files(package)
        if core
        for problem in mutable_state(path.read_text())
    ]
    assert found == []


@cases("package", EDGES)
def test_the_packages_are_where_this_test_looks(package: str) -> None:
    assert sum(core for _, core in files(package)) >= 8


@cases(
    "source",
    [
        "import time",
        "import google.protobuf.message",
        "from os import path",
        "from lbrlab.v1 import contract_pb2",
        "def f():\n    import random",
        "import contract, grpc.aio as g",
        "from perfcore_svc.service import main",
        "from perfcore_svc import service",
        "from contract import wire",
        "from contract.wire.envelope import encode",
        "from . import endpoint",
    ],
)
def test_a_core_with_this_import_is_caught(source: str) -> None:
    assert bad_imports(source, "perfcore_svc", core=True)


@cases(
    ("package", "source"),
    [
        ("perfcore_svc", "from kvm_svc import core"),
        ("perfcore_svc", "import client.check"),
        ("kvm_svc", "import perfcore_svc.core"),
        ("kvm_svc", "from client.drive import play"),
        ("contract", "from perfcore_svc.core import HostCore"),
        ("contract", "import kvm_svc"),
        ("contract", "from client import schedule"),
    ],
)
def test_a_stranger_is_caught_at_the_edge_too(package: str, source: str) -> None:
    assert bad_imports(source, package, core=False)


def test_what_is_allowed() -> None:
    assert bad_imports("import asyncio, grpc\nfrom contract.wire import x", "perfcore_svc", core=False) == []
    assert bad_imports("import msgspec\nfrom contract.x86 import MASK64", "perfcore_svc", core=True) == []


@cases(
    "body",
    ["global SEEN\n    SEEN = {}", "SEEN[1] = 2", "SEEN.update(a=1)", "del SEEN[1]", "SEEN['a'] += 1", "SEEN.x.add(1)"],
)
def test_state_in_a_module_is_caught(body: str) -> None:
    assert mutable_state(f"SEEN: dict = {{}}\ndef f():\n    {body}\n")


def test_constants_and_locals_are_no_state() -> None:
    assert mutable_state("A = {1: 2}\ndef f():\n    b = dict(A)\n    b[1] = 3\n    return A[1]\n") == []


# The client ---------------------------------------------------------------------------------------------------

FLOORS = (
    {"files"},
    {"litmus", "check", "workers"},
    {"designs", "schedule", "stories"},
    {"coverage"},
    {"drive"},
    {"run"},
    {"baseline", "oracle"},
    {"matrix", "shrink", "live"},
    {"search"},
    {"claims", "cost", "api"},
    {"report"},
    {"timeline"},
    {"export", "document", "walk"},
    {"page"},
    {"web"},
    {"cli"},
)
"""Packages and modules of the client from the bottom. Those of one floor do not know each other."""
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
SHARED = {
    "completion",
    "command",
    "console",
    "runs",
    "services",
    "ledger",
    "choose",
    "progress",
    "pools",
    "run_summary",
    "options",
    "prompt",
}
"""Modules of the command line that several commands use. Each other one is a command of its own."""
AROUND = {
    *("app", "app_live", "app_model", "app_run_files", "app_runs", "app_search", "application"),
    *("documents", "entry", "reference"),
}
"""Modules of the command line that know the commands."""


def upward_imports(source: str, package: str) -> list[str]:
    """Imports of ``package`` that stay on its floor or go up."""
    found = []
    for line, name in imported(ast.parse(source)):
        root, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if root == "client" and other and other != package and FLOOR_OF[other] >= FLOOR_OF[package]:
            found.append(f"{line}: {name}")
    return found


def command_imports(source: str, module: str) -> list[str]:
    """Imports of one command from another."""
    if module in AROUND:
        return []
    names = ((line, name, name.split(".")) for line, name in imported(ast.parse(source)))
    commands = ((line, name, parts[2]) for line, name, parts in names if parts[:2] == ["client", "cli"] and parts[2:])
    return [f"{line}: {name}" for line, name, other in commands if other not in SHARED]


def client_files() -> list[tuple[Path, str]]:
    """Every module of the client with its package, or its own name where it stands alone."""
    client = ROOT / "client"
    paths = [path for path in sorted(client.rglob("*.py")) if path != client / "__init__.py"]
    return [(path, path.relative_to(client).parts[0].removesuffix(".py")) for path in paths]


def test_the_floors_of_the_client() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{problem}"
        for path, package in client_files()
        for problem in upward_imports(path.read_text(), package)
    ]
    assert found == []


def test_every_package_of_the_client_has_a_floor() -> None:
    assert {package for _, package in client_files()} == set(FLOOR_OF)


def test_no_command_imports_another() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{problem}"
        for path in sorted((ROOT / "client" / "cli").glob("*.py"))
        for problem in command_imports(path.read_text(), path.stem)
    ]
    assert found == []


@cases(
    ("package", "source"),
    [
        ("litmus", "from client.check import judge"),
        ("schedule", "from client.drive.play import Player"),
        ("check", "def f():\n    from client.litmus.ast import Scenario"),
        ("drive", "from client.run.run import Run"),
        ("matrix", "import client.report.tables"),
        ("report", "from client import cli"),
    ],
)
def test_an_import_that_goes_up_is_caught(package: str, source: str) -> None:
    assert upward_imports(source, package)


def test_imports_that_go_down_are_allowed() -> None:
    assert upward_imports("from client.litmus import load\nfrom client.run.file import keep", "run") == []
    assert command_imports("from client.cli.command import finish", "run") == []
    assert command_imports("from client.cli.matrix import matrix", "app") == []
    assert command_imports("from client.cli.matrix import chosen_designs", "cost")


AT_THE_ROOT = {
    ".ci", ".gitignore", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile",
    "README.md", "buf.yaml", "client", "contract", "deploy", "docs", "kvm_svc", "perfcore_svc", "protos",
    "pyproject.toml", "requirements.lock", "SECURITY.md", "setup.py", "tests",
}  # fmt: skip


def test_the_root_holds_only_what_belongs_there() -> None:
    """Of the files that git knows: run files and scratch scenarios were committed there once."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing tells sources from what was made here")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    found = {path.split("/")[0] for path in listed.split("\0") if path}
    assert found <= AT_THE_ROOT
    assert found >= {"README.md", "client", "tests"}
