"""Steps of a campaign that Ctrl-C must not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
"""The signals that end a command early."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that end the command come after the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)
