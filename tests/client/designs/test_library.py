"""The designs that come along, and finding one by its name or its file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import client.designs
from client.designs import DESIGNS, design_named, load_design
from client.designs.library import ORDER
from contract.design_check import flaw
from contract.errors import InputError

FOLDER = Path(client.designs.__file__).parent
FILES = {path.stem: path for path in FOLDER.glob("*.toml")}


def test_every_file_is_a_design_and_every_design_a_file() -> None:
    assert set(FILES) == set(DESIGNS) == set(ORDER)
    assert [design.name for design in DESIGNS.values()] == list(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_a_design_of_the_library_is_possible_and_says_what_it_is_and_whose(name: str) -> None:
    content = tomllib.loads(FILES[name].read_text(encoding="utf-8"))
    assert flaw(DESIGNS[name]) is None
    assert DESIGNS[name].about == content["about"]
    assert content["source"]


@pytest.mark.parametrize("name", ORDER)
def test_a_file_names_only_the_axes_in_which_it_differs(name: str) -> None:
    content = tomllib.loads(FILES[name].read_text(encoding="utf-8"))
    own = load_design(FILES[name], DESIGNS).axes()
    like = DESIGNS[content["like"]].axes() if "like" in content else {}
    assert {axis: value for axis, value in own.items() if like.get(axis) != value}.keys() == content["axes"].keys()


def test_no_two_designs_are_the_same() -> None:
    axes = [tuple(design.axes().items()) for design in DESIGNS.values()]
    assert len(set(axes)) == len(axes)


def test_a_design_is_found_by_its_name() -> None:
    assert design_named("revoke-ack") is DESIGNS["revoke-ack"]


@pytest.mark.parametrize("written", ["{}/mine.toml", "{}/mine"])
def test_a_design_is_found_by_its_file(tmp_path: Path, written: str) -> None:
    path = Path(written.format(tmp_path))
    path.write_text('like = "v7"\n', encoding="utf-8")
    assert design_named(str(path)).axes() == DESIGNS["v7"].axes()


def test_a_file_in_this_folder_is_told_by_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('like = "v7"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert design_named("mine.toml").axes() == DESIGNS["v7"].axes()


def test_a_file_is_not_called_as_one_of_the_library_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is said of it would be taken for what is said of that one."""
    (tmp_path / "v8.toml").write_text('like = "v7"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is a design 'v8' already"):
        design_named("v8.toml")


def test_a_changed_file_has_its_name_without_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    (tmp_path / "a+b" / "mine.toml").write_text('like = "v7"\n', encoding="utf-8")
    changed = design_named(f"{tmp_path}/a+b/mine.toml+save=none")
    assert (changed.name, changed.axes()["save"]) == ("mine+save=none", "none")
    assert design_named("v8") is DESIGNS["v8"]


@pytest.mark.parametrize(("name", "near"), [("revoke_gp", "revoke-gp"), ("fence", "fenced"), ("merge", "merged")])
def test_an_unknown_name_has_the_nearest_one_hinted_at(name: str, near: str) -> None:
    with pytest.raises(InputError) as error:
        design_named(name)
    expected = f"unknown design {name!r}, expected a file or one of {', '.join(ORDER)}, did you mean {near!r}?"
    assert str(error.value) == expected


def test_a_name_like_no_other_has_none_hinted_at() -> None:
    with pytest.raises(InputError) as error:
        design_named("qqqqqq")
    assert str(error.value).endswith(ORDER[-1])
