"""Settings of all tests: hypothesis has no deadline, and child processes take Ctrl-C. And two of pytest's own time."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

from tests.forked import forked_services
from tests.library import kept_library

# Hypothesis judges what a test says, not how fast a loaded machine is.
settings.register_profile("lbrlab", deadline=None)
settings.load_profile("lbrlab")

# A process started in the background of a shell without job control ignores SIGINT, and so do its children.
# Tests that interrupt a child would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    with forked_services(), kept_library():
        yield


def pytest_collection(session: pytest.Session) -> None:
    """Let each worker of xdist begin with another part of the test files. In a fresh tree pytest rewrites and compiles
    each file, which takes three times as long as all else of the collection. Workers that go through the files in the
    same order do that at the same time, each for itself; now a worker finds compiled what the others began with."""
    gc.disable()  # All that the collection makes lives to the end.
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    files = [file for place in session.config.args for file in _test_files(ROOT / place.split("::")[0])]
    start = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[start:] + files[:start]:
        with suppress(Exception, pytest.skip.Exception):  # The collection itself says what is wrong with a file.
            import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def _test_files(place: Path) -> list[Path]:
    return sorted(place.rglob("test_*.py")) if place.is_dir() else [place]


def pytest_collection_finish() -> None:
    """Take the collected tests out of garbage collection. They live to the end, and each full collection would walk
    them all: that was a twentieth of the time of the tests. What tests import and keep comes later and lives as long:
    full collections are rare."""
    gc.enable()
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 50)
