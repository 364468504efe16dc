"""The tables of the grammar are kept in a folder of the user's own, and loaded from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from lark import Lark

from client.litmus import load, parse
from client.litmus import parser as litmus_parser
from client.litmus.library import library_path
from client.litmus.tables import cache_folder, parser_of
from contract.errors import InputError

GRAMMAR = 'start: "a" "b"*'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time that tables are computed."""
    times: list[str] = []
    build = Lark._build_parser

    def counted(self: Lark) -> object:
        times.append(self.source_path)
        return build(self)

    monkeypatch.setattr(Lark, "_build_parser", counted)
    return times


def kept(home: Path) -> list[Path]:
    return sorted((home / "lbrlab").iterdir())


def test_they_are_computed_once(home: Path, computed: list[str]) -> None:
    trees = [parser_of(GRAMMAR).parse("abb") for _ in range(3)]
    assert len(computed) == 1
    assert trees[0] == trees[1] == trees[2]
    assert len(kept(home)) == 1
    assert (home / "lbrlab").stat().st_mode & 0o777 == 0o700


def test_another_grammar_has_a_file_of_its_own(home: Path, computed: list[str]) -> None:
    for grammar in (GRAMMAR, 'start: "c"'):
        parser_of(grammar)
    assert len(computed) == len(kept(home)) == 2
    with pytest.raises(Exception, match="No terminal matches 'a'"):
        parser_of('start: "c"').parse("a")


@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"x"]
)
def test_a_damaged_file_is_made_good(home: Path, computed: list[str], damage: object) -> None:
    assert callable(damage)
    parser_of(GRAMMAR)
    (path,) = kept(home)
    path.write_bytes(damage(path.read_bytes()))
    assert [parser_of(GRAMMAR).parse("ab").data for _ in range(2)] == ["start", "start"]
    assert len(computed) == 2


def test_a_folder_that_others_can_write_is_not_read(home: Path, computed: list[str]) -> None:
    parser_of(GRAMMAR)
    (home / "lbrlab").chmod(0o777)
    assert cache_folder() is None
    assert parser_of(GRAMMAR).parse("a").data == "start"
    assert len(computed) == 2


def test_without_a_folder_they_are_computed(home: Path, computed: list[str]) -> None:
    home.write_text("in the way")
    assert [parser_of(GRAMMAR).parse("ab").data for _ in range(2)] == ["start", "start"]
    assert len(computed) == 2


def test_a_parser_that_is_loaded_reads_and_refuses_the_same(computed: list[str]) -> None:
    def read() -> tuple[object, str]:
        litmus_parser.grammar.cache_clear()
        with pytest.raises(InputError) as error:
            parse("LBR x\nhost { idel cpu0; }")
        return load(library_path("central-story")), str(error.value)

    assert read() == read()
    assert len(computed) == 1
    litmus_parser.grammar.cache_clear()
