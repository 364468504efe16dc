"""The site of the documentation is built as ``make site`` builds it: no warning, no dead link, no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from typer.main import get_group

from client.cli.app import app
from tests.docs.pages import ROOT, pages

_LINK = r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]*)"""
LOADED = re.compile(_LINK + r"""|@import|url\(["']?http""")


def build(source: Path, out: Path, builder: str = "html") -> list[str]:
    """The warnings of a build: of a link to a page or heading that is not there, of a page without a place."""
    words = ["--quiet", "--conf-dir", str(ROOT / "docs"), "--doctree-dir", str(out / "doctrees"), "--builder", builder]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, str(source), str(out / builder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [line.replace(f"{source}/", "") for line in done.stderr.splitlines() if line]


def test_the_site_has_every_page_no_dead_link_and_needs_no_network(tmp_path: Path) -> None:
    """One test, because the build takes seconds."""
    assert build(ROOT, tmp_path) == []
    site = tmp_path / "html"
    assert [page for page in pages() if not (site / page.relative_to(ROOT)).with_suffix(".html").is_file()] == []
    assert (site / re.findall(r'href="([^"]+)"', (site / "index.html").read_text(encoding="utf-8"))[0]).is_file()
    made = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(made) > 30
    assert build(ROOT, tmp_path, "man") == []
    manual = (tmp_path / "man" / "lbrlab.1").read_text(encoding="utf-8")
    assert re.findall(r"^\.SH ([A-Z]+)$", manual, re.MULTILINE) == ["NAME", *map(str.upper, get_group(app).commands)]
    assert r"lbrlab matrix \-\-designs v7,fenced \-\-scenarios \(aqc0*\(aq" in manual
    assert {path.name: found for path in made if (found := LOADED.findall(path.read_text(encoding="utf-8")))} == {}


def test_a_link_that_leads_nowhere_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text(
        "# Index\n\n## Part\n\n- [a](a.md): there\n\n[b](b.md) [c](a.md#no) [d](#part) [e](../x.py)\n"
    )
    (tmp_path / "docs" / "a.md").write_text("# A\n")
    (tmp_path / "lost.md").write_text("# Lost\n")
    told = build(tmp_path, tmp_path / "out")
    assert len(told) == 4
    for dead in (
        "target not found: 'b.md'",
        "in doc 'docs/a': 'no'",
        "target not found: '../x.py'",
        "lost.md: WARNING",
    ):
        assert dead in "\n".join(told)
