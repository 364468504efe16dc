"""Docstrings, comments, messages and pages are plain English: no riddles, no archaic words, a subject first."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path

from typer.models import CommandInfo

from client.cli.app import app
from tests.cases import cases
from tests.docs.pages import ROOT, sources, title_of

PRODUCT = (
    *("client", "contract", "kvm_svc", "perfcore_svc", "protos"),
    *("docs", "deploy", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
)
FILES = [
    path
    for path in sources(".py", ".proto", ".md", ".toml", ".litmus", ".lark")
    if path.relative_to(ROOT).parts[0] in PRODUCT and not re.search(r"_pb2(_grpc)?\.py$", path.name)
]
TESTS = [path for path in sources(".py") if path.relative_to(ROOT).parts[0] == "tests"]
RIDDLES = """
    anew, none such, such a one, of ours, becomes of, become of, comes of, come of, goes by, go by, tells of, whoever,
    whomever, of its own accord, in vain, in the place of, for the sake of, for want of, but that, save that, be it,
    whence, whither, whereof, whereby, wherein, whereupon, thence, thither, thereof, thereby, therein, thereto,
    hence, hither, hereby, herein, hereto, lest, nought, naught, aught, heretofore, henceforth, forthwith,
    nay, ere, albeit, unto, amid, twixt, oft, heed, behold, thus far, all the same, for good, weed out, weeds out,
    who holds what, who breaks what, not looked at,
    fares alike, hears of, hear of, foretold, as it were, starts afresh, start afresh, begins afresh, without a word
"""
RIDDLE = re.compile(rf"\b(?:{'|'.join(words.strip() for words in RIDDLES.replace(chr(10), ' ').split(','))})\b", re.I)
"""Words that a reader of plain English has to look up, and phrases that hide who acts."""
GOES_ON = re.compile(
    r"\b(?:run|guest|tape|replay|campaign|vCPU|thread|time|KVM|host|service) (?:\w+ ){0,2}?(?:goes|go|went) on\b"
)
"""An event goes on when perf puts it on a CPU. Anything else continues, or advances."""
WHAT = re.compile(r"What\b(?!.*\?)")
"""A sentence that begins with a relative clause. A question may."""


HEADLESS = re.compile(r"(?:^|[.;:]\s+)(?:Ends|Gives|Plays|Prints|Shows|Starts|Takes|Writes)\b")
"""A sentence of a help text without its subject."""


def docstrings(path: Path) -> list[str]:
    """Every text that stands as a statement of its own: of modules, classes, functions and fields."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    return [node.value for node in statements if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def comments(path: Path) -> list[str]:
    """The comments of a Python file; none if no text behind a ``#`` is one that the tests look for."""
    text = path.read_text(encoding="utf-8")
    behind = re.findall(r"#[# ]*(?=(.*))", text)
    if not any(WHAT.match(each) or riddles(each) for each in behind):
        return []  # Most files: to read their tokens takes ten times as long as all else here.
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]


def openings(path: Path) -> list[str]:
    """The texts of a file whose first word has to be a subject or a verb."""
    if path.suffix == ".py":
        return docstrings(path) + comments(path)
    lines = ["", *(line.strip() for line in path.read_text(encoding="utf-8").splitlines())]
    return [line.lstrip("/ ") for before, line in pairwise(lines) if line.startswith("//") and before[:2] != "//"]


def riddles(text: str) -> list[str]:
    """The riddles in a text; line breaks, comment signs and the seams of literals count as blanks."""
    return RIDDLE.findall(re.sub(r"\s*\n\s*(?://|#|\*|f?\")?\s*", " ", text))


@cases("path", FILES, ids=title_of)
def test_a_file_has_no_riddles(path: Path) -> None:
    assert riddles(path.read_text(encoding="utf-8")) == []


@cases("path", FILES, ids=title_of)
def test_only_an_event_goes_on(path: Path) -> None:
    assert GOES_ON.findall(re.sub(r"\s*\n\s*(?://|#|\*|f?\")?\s*", " ", path.read_text(encoding="utf-8"))) == []


@cases("path", [path for path in TESTS if path.name != Path(__file__).name], ids=title_of)
def test_the_prose_of_a_test_is_plain(path: Path) -> None:
    texts = docstrings(path) + comments(path)
    assert [text for text in texts if WHAT.match(text) or riddles(text)] == []


@cases("path", [path for path in FILES if path.suffix in {".py", ".proto"}], ids=title_of)
def test_no_docstring_and_no_comment_begins_with_what(path: Path) -> None:
    assert [text for text in openings(path) if WHAT.match(text)] == []


@cases("command", app.registered_commands, ids=lambda command: command.name)
def test_each_sentence_of_a_help_has_a_subject(command: CommandInfo) -> None:
    assert HEADLESS.findall(inspect.getdoc(command.callback) or "") == []


def test_a_sentence_without_a_subject_is_found() -> None:
    assert HEADLESS.findall("Replay a run. Starts the services. The command ends with 1.") == [". Starts"]


@cases(
    "text",
    ["a pair started anew", "what becomes\n// of a message", 'whoever\n    "asks', "none\n    # such", "Lest it be"],
)
def test_a_riddle_is_found(text: str) -> None:
    assert len(riddles(text)) == 1


@cases("text", ["a newer event", "the host learns of it", "which comes off", "the best of four"])
def test_plain_words_are_no_riddle(text: str) -> None:
    assert riddles(text) == []


def test_every_part_of_the_product_is_read() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PRODUCT)
    assert len(FILES) > 300
