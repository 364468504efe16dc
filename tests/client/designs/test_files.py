"""Design files: what they say, what is wrong with them and where, and that writing one says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from client.designs import DESIGNS, format_design, load_design
from contract.design import AXIS_FIELDS, Design, Recovery, axis_values, design_from_axes
from contract.design_check import flaw
from contract.errors import ExitCode, InputError

every_design = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)


def values(axis: str) -> list[str]:
    return list(axis_values(axis))


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> Design:
    return load_design(path, DESIGNS)


def refusal(path: Path) -> tuple[str, str]:
    """Where in the file, and what."""
    with pytest.raises(InputError) as error:
        read(path)
    assert error.value.exit_code is ExitCode.BAD_INPUT
    place, message = error.value.place, str(error.value).removeprefix(f"{error.value.place}: ")
    assert place.startswith(str(path))
    return place.removeprefix(str(path)), message


# Their contents ----------------------------------------------------------------------------------------------


def test_a_design_is_named_after_its_file(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'like = "v7"', "v7.1_mine-2.toml")).name == "v7.1_mine-2"


def test_the_ending_is_not_needed(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'like = "v7"', "mine.v2")).name == "mine.v2"


def test_a_design_like_another_has_its_axes_and_says_what_it_is_about(tmp_path: Path) -> None:
    design = read(written(tmp_path, 'like = "v8"\nabout = "Mine."\n'))
    assert (design.axes(), design.about) == (DESIGNS["v8"].axes(), "Mine.")


def test_what_it_is_about_is_not_inherited(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'like = "v8"')).about == ""


def test_a_file_that_is_no_toml_says_what_it_is(tmp_path: Path) -> None:
    json = "is JSON, such as a run file; expected a design in TOML"
    assert refusal(written(tmp_path, '{"format": "lbrlab-run"}', "run.json")) == ("", json)
    assert refusal(written(tmp_path, "like v7"))[1].startswith("not TOML: Expected '='")


def test_an_axis_that_is_named_takes_the_place_of_the_inherited(tmp_path: Path) -> None:
    design = read(written(tmp_path, 'like = "fenced"\n[axes]\nrecovery = "sticky-error"\n'))
    assert design.axes() == DESIGNS["fenced"].axes() | {"recovery": "sticky-error"}
    assert design.recovery is Recovery.STICKY


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("false", False), ('"yes"', True), ('"no"', False)])
def test_a_question_is_answered_with_a_truth_or_in_words(tmp_path: Path, said: str, meant: bool) -> None:
    design = read(written(tmp_path, f'like = "v7"\n[axes]\nwhole-ring = {said}\n'))
    assert design.whole_ring is meant


def test_a_design_is_like_what_it_is_given(tmp_path: Path) -> None:
    known = {"other": replace(DESIGNS["v7"], name="other")}
    assert load_design(written(tmp_path, 'like = "other"'), known).axes() == DESIGNS["v7"].axes()
    with pytest.raises(InputError, match="unknown design 'v7'"):
        load_design(written(tmp_path, 'like = "v7"'), known)


# Their errors ------------------------------------------------------------------------------------------------

WRONG = {
    "key": ('like = "v7"\n\nwhat = 1\n', ":3", "unknown key 'what', expected about, source, like, axes or claims"),
    "near key": ('like = "v7"\nabuot = ""\n', ":2", "unknown key 'abuot', did you mean 'about'?"),
    "table": ('like = "v7"\n[axis]\n', ":2", "unknown key 'axis', did you mean 'axes'?"),
    "like": ('about = ""\nlike = "v77"\n', ":2", "unknown design 'v77', did you mean 'v7'?"),
    "axis": ('like = "v7"\n[axes]\nevnt = "none"\n', ":3", "unknown axis 'evnt', expected one of event, admission, "),
    "value": (
        'like = "v7"\n[axes]\n\nevent = "nil"\n',
        ":4",
        "event = 'nil', expected one of none, task-flexible, task-pinned",
    ),
    "quoted axis": ('like = "v7"\n[axes]\n"event" = "nil"\n', ":3", "event = 'nil'"),
    "truth": ('like = "v7"\n[axes]\nshut-out = "maybe"\n', ":3", "shut-out = 'maybe', expected one of yes, no"),
    "truth where none is asked": ('like = "v7"\n[axes]\nevent = true\n', ":3", "event = 'yes', expected one of"),
    "number": ('like = "v7"\n[axes]\nevent = 1\n', ":3", "event is neither a text nor true or false"),
    "list": ('like = "v7"\n[axes]\nevent = ["none"]\n', ":3", "event is neither a text nor true or false"),
    "axes": ('like = "v7"\naxes = "none"\n', ":2", "axes is not a table"),
    "about": ('like = "v7"\nabout = 1\n', ":2", "about is not a line of text of at most 4096 characters"),
    "lines": ('like = "v7"\nabout = "a\\nb"\n', ":2", "about is not a line of text"),
    "long": ('like = "v7"\nabout = "' + "a" * 4097 + '"\n', ":2", "about is not a line of text"),
    "like no text": ("like = []\n", ":1", "like is not a line of text"),
    "nothing": ("", "", "no value for axis 'event'"),
    "some": ('[axes]\nevent = "none"\n', "", "no value for axis 'admission'"),
    "impossible": (
        'like = "revoke-gp"\n[axes]\nnotifier = "none"\nrecovery = "sticky-error"\npassthrough = "on-grant"\n',
        ":5",
        "passthrough = on-grant is impossible here: there are no grants",
    ),
    "impossible by inheritance": (
        'like = "revoke-gp"\n[axes]\nnotifier = "none"\n',
        "",
        "passthrough = on-grant is impossible here: there are no grants",
    ),
    "toml": ('like = "v7"\n[axes\n', "", "Expected ']'"),
    "twice": ('like = "v7"\nlike = "v8"\n', "", "Cannot overwrite a value (at line 2"),
}


@pytest.mark.parametrize(("text", "where", "what"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, where: str, what: str) -> None:
    place, message = refusal(written(tmp_path, text))
    assert place == where
    assert what in message


@pytest.mark.parametrize("name", ["-mine.toml", ".toml", "mi ne.toml", "mine\u00e9.toml", "a" * 65, "_x.toml"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    assert "is not a name for a design" in refusal(written(tmp_path, 'like = "v7"', name))[1]


def test_a_name_of_64_letters_is_one(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'like = "v7"', "a" * 64 + ".toml")).name == "a" * 64


def test_what_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.toml") == ("", "cannot read: No such file or directory")
    assert refusal(tmp_path) == ("", "cannot read: Is a directory")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'about = "\xff"')
    assert refusal(path) == ("", "not a text file in UTF-8")


# Written -----------------------------------------------------------------------------------------------------


@every_design
def test_a_design_that_is_written_and_read_is_the_same(tmp_path: Path, design: Design) -> None:
    assert read(written(tmp_path, format_design(design), f"{design.name}.toml")) == design


def test_quotes_and_backslashes_are_written_so_that_they_are_read(tmp_path: Path) -> None:
    design = replace(DESIGNS["v7"], about='a "b" \\n c:\\d')
    assert read(written(tmp_path, format_design(design), "v7.toml")) == design


WORDS = st.lists(st.text(st.sampled_from('ab -"\\\\'), min_size=1, max_size=30), max_size=20).map(" ".join)


@given(WORDS)
def test_a_text_of_several_lines_is_read_as_one(tmp_path_factory: pytest.TempPathFactory, about: str) -> None:
    design = replace(DESIGNS["v7"], about=about)
    text = format_design(design)
    assert read(written(tmp_path_factory.getbasetemp(), text)) == replace(design, name="mine")
    if about.split(" ") == about.split() and max(map(len, about.split()), default=0) < 60:
        assert max(map(len, text.splitlines())) <= 80


def test_what_is_written_names_every_axis_once(tmp_path: Path) -> None:
    lines = format_design(replace(DESIGNS["merged"], about="short")).splitlines()
    assert [line.split(" = ")[0] for line in lines[3:]] == [*AXIS_FIELDS, "", "[claims]", "prompt"]
    assert "shut-out = true" in lines
    assert 'event = "task-pinned"' in lines


LINE = st.text(st.characters(categories=["L", "N", "P", "S"]) | st.just(" "), max_size=20)
CHANGES = st.lists(
    st.sampled_from(list(AXIS_FIELDS)).flatmap(lambda a: st.tuples(st.just(a), st.sampled_from(values(a))))
)


@given(st.sampled_from(list(DESIGNS.values())), CHANGES, LINE)
@settings(max_examples=30)
def test_any_point_on_the_axes_is_read_as_it_was_written_or_refused_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, base: Design, changes: list[tuple[str, str]], about: str
) -> None:
    design = design_from_axes("mine", about, base.axes() | dict(changes))
    path = written(tmp_path_factory.getbasetemp(), format_design(design))
    if (found := flaw(design)) is None:
        assert read(path) == design
    else:
        axis, why = found
        assert refusal(path) == (f":{list(AXIS_FIELDS).index(axis) + 4}", why)
