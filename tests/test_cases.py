"""A table of cases tries all of them, and names those that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cases import cases, rows_of

DICT: dict[int, int] = {}


def failures(test: Callable[..., None], **fixtures: object) -> BaseExceptionGroup[Any]:
    with pytest.raises(BaseExceptionGroup) as caught:
        test(**fixtures)
    return caught.value


def notes(group: BaseExceptionGroup[Any]) -> list[str]:
    return [note for error in group.exceptions for note in error.__notes__]


def test_every_case_is_tried_and_those_that_fail_are_named() -> None:
    tried: list[int] = []

    @cases("number", range(5))
    def test(number: int) -> None:
        tried.append(number)
        assert number % 2 == 0
        if number == 4:
            pytest.fail("four")

    group = failures(test)
    assert tried == [0, 1, 2, 3, 4]
    assert notes(group) == ["case: 1", "case: 3", "case: 4"]
    assert group.message == "3 of 5 cases failed: 1; 3; 4"


def test_a_table_that_holds_is_silent_and_hands_on_the_fixtures(tmp_path: object) -> None:
    met: list[object] = []

    @cases(("text", "length"), [("a", 1), ("", 0)])
    def test(text: str, length: int, tmp_path: object) -> None:
        assert len(text) == length
        met.append(tmp_path)

    test(tmp_path=tmp_path)
    assert met == [tmp_path, tmp_path]


def test_two_tables_give_every_pair() -> None:
    @cases("letter", "ab", ids=["first", "second"])
    @cases("design", [len, max])
    def test(letter: str, design: Callable[..., Any]) -> None:
        assert (letter, design) == ("a", max)

    first, second = failures(test).exceptions
    assert (first.__notes__, notes(first)) == (["case: first"], ["case: len"])
    assert (second.__notes__, notes(second)) == (["case: second"], ["case: len", "case: max"])


def test_each_case_undoes_its_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    @cases("number", [1, 2])
    def test(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        assert DICT == {}
        monkeypatch.setitem(DICT, number, number)

    test(monkeypatch=monkeypatch)
    assert DICT == {}


def test_the_rows_of_a_test_are_known() -> None:
    @cases("letter", "ab")
    @cases("number", [1, 2])
    def test(letter: str, number: int) -> None:
        pass

    assert [row for _, row in rows_of(test)] == [{"letter": a, "number": n} for a in "ab" for n in (1, 2)]
    assert [row for _, row in rows_of(test_no_case_follows_one_that_took_all_the_time)] == [{}]


def test_no_case_follows_one_that_took_all_the_time() -> None:
    @cases("number", range(3))
    def test(number: int) -> None:
        pytest.fail("Timeout (>120.0s) from pytest-timeout.")

    assert notes(failures(test)) == ["case: 0"]


def test_a_case_can_stop_the_run() -> None:
    @cases("number", [1])
    def test(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        test()


async def waits(number: int) -> None:
    pass


@pytest.mark.parametrize(
    ("names", "table", "test"),
    [
        ("number", [], len),
        ("a, b", [(1, 2, 3)], lambda a, b: None),
        ("other", [1], lambda number: None),
        ("number", [1], waits),
    ],
    ids=["empty", "long row", "not taken", "coroutine"],
)
def test_a_table_that_tests_nothing_is_refused(names: str, table: list[Any], test: Callable[..., None]) -> None:
    with pytest.raises(ValueError):
        cases(names, table)(test)
