"""Each mark such as facts/perf 1.9 names a section that exists, and each section says where it is from."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from client.litmus import library, load
from tests.cases import cases
from tests.docs.pages import DOCS, sections, sources, title_of

FACTS = tuple(sorted(path.stem for path in (DOCS / "facts").glob("*.md") if path.stem != "README"))
MARK = re.compile(rf"facts/({'|'.join(FACTS)})\b(?!\.md)\s*((?:\d+\.\d+(?:,\s+(?=\d))?)*)")
UNNAMED = re.compile(r"(?<=[(,] )\d\.\d{1,2}(?=[,;)])|(?<=\()\d\.\d{1,2}(?=[,;)])|kvm-facts|perf core facts")
"""A section without its page, as marks were written before the pages existed."""
EXAMPLE = re.compile(r"\b([EW])(\d+)\b")
SOURCES = sources(".py", ".litmus", ".toml", ".proto", ".lark", ".md")


def marks(text: str) -> Iterator[tuple[str, str]]:
    """Page and section of each mark; the section is "" where none follows."""
    for page, numbers in MARK.findall(text):
        yield from ((page, number) for number in re.findall(r"\d+\.\d+", numbers) or [""])


def dangling(text: str) -> list[str]:
    return [f"facts/{page} {number}" for page, number in marks(text) if number not in sections(page)]


def unnamed(text: str) -> list[str]:
    return UNNAMED.findall(MARK.sub("", text))


def remarks(source: str) -> Iterator[str]:
    """Docstrings and comments of Python that can name a section."""
    if not re.search(r"\d\.\d|facts", source):  # Most files: to read their tokens takes seconds.
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            yield token.string


def test_every_mark_names_a_section() -> None:
    found = {title_of(path): dangling(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: marks for name, marks in found.items() if marks} == {}


def test_a_mark_of_a_section_that_is_not_there_is_found() -> None:
    perf, kvm = (f"{'facts'}/{page}" for page in ("perf", "kvm"))  # put together: marks in this file count, too
    text = f"see ({perf} 1.9, 1.99), {kvm} 9.1 and {perf}."
    assert dangling(text) == [f"{perf} 1.99", f"{kvm} 9.1", f"{perf} "]


def test_the_code_relies_on_them() -> None:
    used = {mark for path in SOURCES if path.suffix == ".py" for mark in marks(path.read_text(encoding="utf-8"))}
    assert {("perf", "1.9"), ("perf", "1.6"), ("kvm", "2.5")} <= used


def test_no_mark_leaves_out_its_page() -> None:
    found = {
        title_of(path): [mark for text in remarks(path.read_text(encoding="utf-8")) for mark in unnamed(text)]
        for path in SOURCES
        if path.suffix == ".py"
    }
    assert {name: marks for name, marks in found.items() if marks} == {}


def test_a_mark_without_its_page_is_found() -> None:
    texts = list(remarks('"""Install (1.9, since v5.5; ``x``, 2.2)."""\nX = (1.5, 2.5)  # rotate (1.12)\n'))
    assert [unnamed(text) for text in texts] == [["1.9", "2.2"], ["1.12"]]


@cases("page", FACTS)
def test_a_section_ends_with_its_source_and_how_it_is_known(page: str) -> None:
    for number, body in sections(page).items():
        last = body.strip().split("\n\n")[-1]
        last = body.strip().split("\n\n")[-2] if last.startswith("# ") else last
        assert last.startswith("Source: "), number
        assert re.search(r"\b(read|mail|inferred|remembered)\b", last, re.IGNORECASE), number


@cases("page", FACTS)
def test_sections_are_numbered_in_order(page: str) -> None:
    numbers = [tuple(map(int, number.split("."))) for number in sections(page)]
    expected, last = [], (0, 0)
    for chapter, _ in numbers:
        last = (chapter, last[1] + 1) if chapter == last[0] else (last[0] + 1, 1)
        expected.append(last)
    assert numbers == expected


@cases(("page", "section", "letter", "prefix"), [("perf", "5.1", "E", "perf-e"), ("kvm", "3.1", "W", "kvm-w")])
def test_each_worked_example_is_a_scenario(page: str, section: str, letter: str, prefix: str) -> None:
    known = {int(path.stem.removeprefix(prefix).split("-")[0]) for path in library(prefix)}
    told = [int(number) for kind, number in EXAMPLE.findall(sections(page)[section]) if kind == letter]
    assert sorted(told) == sorted(known)


def test_tests_of_worked_examples_are_of_known_ones() -> None:
    known = {number for kind, number in EXAMPLE.findall(sections("perf")["5.1"]) if kind == "E"}
    used = set()
    for path in sources(".py"):
        if path.stem.startswith("test_worked_"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            used |= set(re.findall(r"\bE(\d+)\b", ast.get_docstring(tree) or ""))
            used |= {m[1] for node in tree.body if (m := re.match(r"test_E(\d+)_", getattr(node, "name", "")))}
    assert used == known


def test_a_scenario_of_a_worked_example_names_it() -> None:
    for path in library("perf-e"):
        number = int(path.stem.removeprefix("perf-e").split("-")[0])
        assert f"{'facts'}/perf 5.1 (E{number})" in load(path).purpose, path.stem
