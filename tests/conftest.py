"""Settings of all tests: hypothesis has no deadline, and child processes take Ctrl-C."""

from __future__ import annotations

import gc
import signal

from hypothesis import settings

# Hypothesis judges what a test says, not how fast a loaded machine is.
settings.register_profile("lbrlab", deadline=None)
settings.load_profile("lbrlab")

# A process started in the background of a shell without job control ignores SIGINT, and so do its children.
# Tests that interrupt a child would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Take the collected tests out of garbage collection. They live to the end, and each full collection would walk
    them all: that was a twentieth of the time of the tests."""
    gc.collect()
    gc.freeze()
