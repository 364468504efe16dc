"""Tables of cases. A case of a table costs nothing beside its own work; a pytest item costs 3 ms in a worker."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Test = Callable[..., None]
Ids = Iterable[object] | Callable[[Any], object] | None


def cases(names: str | tuple[str, ...], table: Iterable[Any], ids: Ids = None) -> Callable[[Test], Test]:
    """Like ``pytest.mark.parametrize``, but the whole table is one test. The test tries every case, and fails with all
    failures in one group; a note on each names its case. Two tables on one test give each pair of their rows.

    The cases of a test share its fixtures, but each case has a ``monkeypatch`` of its own. Raises ValueError if the
    table is empty or a row does not fit ``names``."""
    keys = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else tuple(names)
    rows = [tuple(row) if len(keys) > 1 else (row,) for row in table]
    if not rows:
        raise ValueError(f"no cases of {', '.join(keys)}")
    given = [dict(zip(keys, row, strict=True)) for row in rows]
    named = _named(rows, ids)

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in keys]
        if len(left) + len(keys) != len(signature.parameters):
            raise ValueError(f"{test.__name__} does not take {', '.join(keys)}")
        if inspect.iscoroutinefunction(test):
            raise ValueError(f"{test.__name__} is a coroutine function")

        def every_case(**fixtures: object) -> None:
            failures: list[tuple[str, BaseException]] = []
            for case, name in zip(given, named, strict=True):
                try:
                    with _patches(fixtures):
                        test(**case, **fixtures)
                except (Exception, BaseExceptionGroup, pytest.fail.Exception) as error:
                    error.add_note(f"case: {name}")
                    failures.append((name, error))
                    if "pytest-timeout" in str(error):  # The time of the test is up, and nothing ends the next case.
                        break
            if failures:
                which = "; ".join(name for name, _ in failures)  # Python prints 15 members of a group at most.
                raise BaseExceptionGroup(
                    f"{len(failures)} of {len(given)} cases failed: {which}", [error for _, error in failures]
                )

        every_case.__name__, every_case.__qualname__ = test.__name__, test.__qualname__
        every_case.__module__, every_case.__doc__ = test.__module__, test.__doc__
        every_case.__wrapped__ = test  # type: ignore[attr-defined]
        every_case.rows = given  # type: ignore[attr-defined]
        every_case.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        every_case.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
        return every_case

    return decorate


def rows_of(test: Test) -> Iterator[tuple[Test, dict[str, Any]]]:
    """The undecorated test with the arguments of each of its cases."""
    if not hasattr(test, "rows"):
        yield test, {}
        return
    for row in test.rows:
        for inner, more in rows_of(test.__wrapped__):  # type: ignore[attr-defined]
            yield inner, row | more


@contextmanager
def _patches(fixtures: dict[str, object]) -> Iterator[None]:
    if "monkeypatch" not in fixtures:
        yield
        return
    with pytest.MonkeyPatch.context() as patches:
        fixtures["monkeypatch"] = patches
        yield


def _named(rows: list[tuple[Any, ...]], ids: Ids) -> list[str]:
    if ids is None or callable(ids):
        shown = ids or _shown
        return [", ".join(str(shown(value)) for value in row) for row in rows]
    names = [str(each) for each in ids]
    if len(names) != len(rows):
        raise ValueError(f"{len(names)} ids of {len(rows)} cases")
    return names


def _shown(value: Any) -> str:
    text = getattr(value, "name", getattr(value, "__name__", None))
    text = text if isinstance(text, str) else str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
