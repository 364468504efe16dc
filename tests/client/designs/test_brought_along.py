"""Designs that other installed packages bring along."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from msgspec.structs import replace

from client.designs import DESIGNS, design_named
from client.designs.library import GROUP, all_designs, brought_along
from contract.design import axis_values
from contract.design_check import flaw
from contract.errors import ExitCode, InputError

GOOD = """
from msgspec.structs import replace
from client.designs import DESIGNS
mine = replace(DESIGNS["v7"], name="mine", about="Mine.")
yours = replace(DESIGNS["v8"], name="yours")
both = [mine, yours]
def made():
    return both
def one():
    return mine
def generated():
    yield from both
"""


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Entry points are looked up once in a process; each test is one."""
    brought_along.cache_clear()
    yield
    brought_along.cache_clear()


class Package:
    """A distribution on ``sys.path`` with one module and these entry points."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "outside", raising=False)

    def brings(self, code: str, *points: str) -> None:
        (self.folder / "outside.py").write_text(dedent(code), encoding="utf-8")
        info = self.folder / "outside-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[{GROUP}]", *(f"p{n} = outside:{point}" for n, point in enumerate(points))]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    return Package(tmp_path, monkeypatch)


def refusal() -> str:
    with pytest.raises(InputError) as error:
        all_designs()
    assert error.value.exit_code is ExitCode.BAD_INPUT
    assert error.value.place.startswith("entry point p")
    return str(error.value)


@pytest.mark.parametrize(
    ("point", "names"),
    [
        ("mine", ["mine"]),
        ("both", ["mine", "yours"]),
        ("one", ["mine"]),
        ("made", ["mine", "yours"]),
        ("generated", ["mine", "yours"]),
    ],
)
def test_an_entry_point_is_a_design_or_several_or_a_function_that_gives_them(
    package: Package, point: str, names: list[str]
) -> None:
    package.brings(GOOD, point)
    assert list(all_designs()) == [*DESIGNS, *names]


def test_what_was_brought_along_is_found_by_its_name(package: Package) -> None:
    package.brings(GOOD, "both")
    assert (design_named("mine").about, design_named("mine").axes()) == ("Mine.", DESIGNS["v7"].axes())


def test_several_entry_points_add_up(package: Package) -> None:
    package.brings(GOOD, "mine", "yours")
    assert list(brought_along()) == ["mine", "yours"]


def test_a_file_can_be_like_what_was_brought_along(package: Package, tmp_path: Path) -> None:
    package.brings(GOOD, "mine")
    (tmp_path / "file.toml").write_text('like = "mine"\n', encoding="utf-8")
    assert design_named(str(tmp_path / "file.toml")).axes() == DESIGNS["v7"].axes()


def test_an_unknown_name_is_compared_with_what_was_brought_along(package: Package) -> None:
    package.brings(GOOD, "yours")
    with pytest.raises(InputError, match="did you mean 'yours'"):
        design_named("yuors")


def test_without_any_there_are_those_of_the_library() -> None:
    assert all_designs() == DESIGNS


BROKEN = {
    "no module": ("raise OSError('gone')", "x", "OSError: gone"),
    "syntax": ("def", "x", "SyntaxError: "),
    "no attribute": ("", "x", "AttributeError: "),
    "raises": ("def x():\n    raise KeyError('k')", "x", "KeyError: 'k'"),
    "wants arguments": ("def x(a):\n    return []", "x", "TypeError: "),
    "number": ("x = 3", "x", "TypeError: 'int' object is not iterable"),
    "others": ("x = [3]", "x", "gives a int, expected a Design"),
    "text": ("x = 'ab'", "x", "gives a str, expected a Design"),
    "breaks off": ("def x():\n    yield from ()\n    raise ValueError('late')", "x", "ValueError: late"),
    "clash with the library": (
        "from client.designs import DESIGNS\nx = DESIGNS['v7']",
        "x",
        "there is a design 'v7' already",
    ),
    "clash": (GOOD + "x = [mine, mine]", "x", "there is a design 'mine' already"),
    "impossible": (
        GOOD + "from contract.design import Admission\nx = replace(mine, admission=Admission.NONE)",
        "x",
        "mine: admission = none is impossible here: an event has to be admitted somehow",
    ),
    "impossible as text": (
        GOOD + "x = replace(DESIGNS['fenced'], name='mine', event='none')",
        "x",
        "mine: admission = private-slot needs an event",
    ),
    "value": (GOOD + "x = replace(mine, save='bogus')", "x", "mine: save: unknown value 'bogus'"),
    "name": (GOOD + "x = replace(mine, name='a/../b')", "x", "'a/../b' is not a name for a design"),
    "exit": ("import sys\nsys.exit(7)", "x", "SystemExit: 7"),
}


def test_a_text_on_an_axis_is_the_value_of_that_name(package: Package) -> None:
    """The cores compare values by identity: a design that keeps the text behaves as another one."""
    texts: dict[str, tuple[str, str]] = {}
    for axis in DESIGNS["fenced"].axes():
        for name, value in axis_values(axis).items():
            field = axis.replace("-", "_")
            if not isinstance(value, bool) and flaw(replace(DESIGNS["fenced"], **{field: value})) is None:
                texts[f"d{len(texts)}"] = field, name
    assert len(texts) > 20
    package.brings(
        f"""
        from msgspec.structs import replace
        from client.designs import DESIGNS
        x = [replace(DESIGNS["fenced"], name=name, **{{field: text}}) for name, (field, text) in {texts!r}.items()]
        """,
        "x",
    )
    for name, (field, text) in texts.items():
        axis = field.replace("_", "-")
        assert getattr(design_named(name), field) is axis_values(axis)[text]
        assert design_named(name).axes() == design_named(f"fenced+{axis}={text}").axes()


@pytest.mark.parametrize(("code", "point", "what"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_with_a_package_is_one_error_that_names_its_entry_point(
    package: Package, code: str, point: str, what: str
) -> None:
    package.brings(code, point)
    message = refusal()
    assert message.startswith(f"entry point p0 = outside:{point} of {GROUP}: {what}")
    assert "Traceback" not in message


def test_two_entry_points_that_bring_the_same_name_clash(package: Package) -> None:
    package.brings(GOOD, "mine", "both")
    assert refusal().endswith("there is a design 'mine' already")


@pytest.mark.parametrize("name", DESIGNS)
def test_a_broken_package_is_in_nobody_s_way_who_asks_for_a_library_design(package: Package, name: str) -> None:
    package.brings("raise OSError", "x")
    assert design_named(name) is DESIGNS[name]
