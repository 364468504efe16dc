"""Defects that were found in design files, each by its smallest test."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from client.designs import DESIGNS, format_design, load_design
from contract.errors import InputError


def refusal(folder: Path, text: str) -> InputError:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_design(path, DESIGNS)
    return error.value


@pytest.mark.parametrize(
    "text", ["about = " + "1" * 5000, "about = " + "[" * 5000], ids=["ValueError", "RecursionError"]
)
def test_what_tomllib_does_not_blame_on_the_text_is_an_input_error_too(tmp_path: Path, text: str) -> None:
    refusal(tmp_path, text)


def test_a_source_is_a_line_of_text(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'like = "v7"\nsource = 3\n').place.endswith("mine.toml:2")


@pytest.mark.parametrize("text", ['like = "v7"\n[[axes]]\nevent = "none"\n', 'like = "v7"\naxes.event = "nil"\n'])
def test_a_line_that_sets_a_key_in_another_way_is_named(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).place.endswith("mine.toml:2")


@pytest.mark.parametrize("about", ["two\nlines", "a\x7fb"])
def test_what_a_package_s_design_is_about_is_written_so_that_it_can_be_read(tmp_path: Path, about: str) -> None:
    path = tmp_path / "v7.toml"
    path.write_text(format_design(replace(DESIGNS["v7"], about=about)), encoding="utf-8")
    assert load_design(path, DESIGNS).axes() == DESIGNS["v7"].axes()
