"""Headless Chromium for the tests of the report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Frame, Page, sync_playwright

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


def barriers(page: Page | Frame) -> list[str]:
    """Each rule of axe-core that an element breaks, or of which axe cannot say whether it does, with the element. The
    rules are those of names, roles, relations and contrast.

    ``CONTRAST`` judges a text whose background axe cannot find. A frame within the document is left out."""
    options = {
        "resultTypes": ["violations", "incomplete"],
        "iframes": False,
        "rules": {"frame-tested": {"enabled": False}},
    }
    found = Axe().run(page, options=options).response
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in [*found["violations"], *found["incomplete"]]
        if rule in found["violations"] or rule["id"] != "color-contrast"
        for node in rule["nodes"]
    ]


def drawn(page: Page | Frame, what: str) -> list[dict[str, Any]]:
    """The data of all elements of this kind on the whole length of the timeline of a report."""
    found = page.evaluate(
        """async (what) => {
            const scroll = document.getElementById("scroll"), found = new Map();
            for (let y = 0; ; y += scroll.clientHeight) {
                // A late event of the page, such as a new size, may scroll back to the selected step.
                do {
                    scroll.scrollTop = y;
                    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                } while (Math.abs(scroll.scrollTop - Math.min(y, scroll.scrollHeight - scroll.clientHeight)) > 1);
                document.querySelectorAll(what).forEach((one) => {
                    const data = {...one.dataset, heads: one.querySelectorAll("[data-head]").length,
                        stubs: one.querySelectorAll("[data-stub]").length, text: one.textContent};
                    found.set(JSON.stringify(data), data);
                });
                if (y + scroll.clientHeight >= scroll.scrollHeight) return [...found.values()];
            }
        }""",
        what,
    )
    assert isinstance(found, list)
    return found


FOCUS = """() => {
    const one = document.activeElement;
    return one.id || one.textContent.trim();
}"""
"""The element that has the focus, by its id or else its text."""

CONTRAST = """() => {
    const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {r, g, b, a}; };
    const light = ({r, g, b}) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (one) => { for (; one; one = one.parentElement) {
        const found = parse(getComputedStyle(one).backgroundColor); if (found.a === 1) return found; }
        return {r: 255, g: 255, b: 255}; };
    const found = [];
    for (const one of document.querySelectorAll("body *")) {
        const text = [...one.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim()).length;
        if (!text || one.closest("svg, script, style, .skip") || !one.getClientRects().length) continue;
        const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) found.push(`${one.tagName}.${one.className} ${one.textContent.slice(0, 30)} ${ratio}`);
    }
    return [...new Set(found)];
}"""
"""Texts whose contrast with what is behind them is under 4.5 (WCAG 2.1, 1.4.3)."""
