"""Headless Chromium for the tests of the report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def path_of_browser() -> str:
    """The browser of this machine. ``make browser`` installs one; only a machine that is not CI may lack it."""
    found = os.environ.get("LBRLAB_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        text = "no headless Chromium: 'make browser' installs it, LBRLAB_BROWSER names it"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Root has to start it without a sandbox."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    path = path_of_browser()
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
