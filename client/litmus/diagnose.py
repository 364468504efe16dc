"""lark's errors in one line that names the expected tokens, for readers of litmus files."""

from __future__ import annotations

from functools import cache

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken
from lark.lexer import PatternStr

from client.litmus.grammar import KEYWORDS
from client.litmus.places import token_place
from client.litmus.spelling import hint, listed, quote
from client.litmus.statements import BY_SPEAKER, statements_of, verbs_of
from client.litmus.words import actor_kind
from contract.errors import InputError

_CLASSES = {
    "WORD": "a name",
    "NUMBER": "a number",
    "DURATION": "a time (4ms)",
    "VCPU": "a vCPU (vm0/0)",
    "CPU": "a CPU (cpu0)",
    "VERSION": "a kernel version",
    "STRING": "a quoted purpose",
    "TRAP": "#GP",
    "ORDER": "a comparison",
    "RULE": "the rule of a fault (drop Revoke 1)",
    "$END": "the end of the text",
}
_VERBS = frozenset(verb.upper() for verb in verbs_of(*BY_SPEAKER))
"""The terminals that begin a statement."""
# Sets of possible next terminals that one name describes better.
_GROUPS = (
    (_VERBS, "a statement", frozenset({"WORD", "USER", "VCPU"})),
    (frozenset({"WORD", "NUMBER", "LBR", "DEPTH", "NOT", "LPAR"}), "an expression", frozenset[str]()),
    (frozenset({"OR", "XOR", "AND", "SHIFT", "PLUS", "MINUS", "TIMES", "MODULO"}), "an operator", frozenset[str]()),
    (
        frozenset({"WORD", "OPEN", "USER", "VCPU", "NUMBER", "DURATION", "TRAP", "INVARIANT"}),
        "a value",
        frozenset[str](),
    ),
    (frozenset({"WORD", "USER", "VCPU"}), "an actor", frozenset[str]()),
    (frozenset({"WORD", "VCPU"}), "a task", frozenset[str]()),
    (frozenset({"EQUAL", "ORDER"}), "a comparison", frozenset[str]()),
)


def syntax_error(file: str, lark: Lark, error: UnexpectedToken) -> InputError:
    token = error.token
    parser = error.interactive_parser
    accepted = set(error.accepts or error.expected)
    stack = parser.parser_state.value_stack if parser else []
    misread = stack[-1] if stack and isinstance(stack[-1], Token) and stack[-1].type == "WORD" else None
    near = hint(misread, statements_of("host", "guest", "user")) if misread is not None else ""
    # Behind "r =" a misspelled verb is read as a register, and what follows it is a surprise.
    assigned = len(stack) > 1 and isinstance(stack[-2], Token) and stack[-2].type == "EQUAL" and bool(near)
    if misread is not None and ((accepted <= {"COLON", "EQUAL"} and token.type not in _VERBS) or assigned):
        message = f"unknown statement {quote(misread)}{near}; a statement is {_statements(stack[:-1])}"
        return InputError(message, token_place(file, misread))
    if misread is not None and accepted <= {"COMMA", "LBRACE", "COLON", "EQUAL"} and hint(misread, KEYWORDS):
        message = f"unknown word {quote(misread)}{hint(misread, KEYWORDS)}"
        return InputError(message, token_place(file, misread))
    texts = _texts(lark)
    expected = _plain(accepted, texts)
    if token.type == "$END":
        found, near = "the end of the text", ""
        place = f"{file}:{token.end_line or 1}:{token.end_column or 1}"
    else:
        found, place = quote(token), token_place(file, token)
        near = hint(token, [texts[t] for t in accepted if t in texts and texts[t].isidentifier()])
        near = near if len(expected) > 3 else ""
        if token in KEYWORDS and {"a name", "a statement"} & set(expected):
            near = near or ", a reserved word"
    what = f"; a statement is {_statements(stack)}" if "a statement" in expected else ""
    return InputError(f"expected {listed(expected)}, found {found}{near}{what}", place)


def _statements(stack: list[object]) -> str:
    """The statements that can stand here: those of the actor named before the colon, else of the actors of the
    block."""
    actors: list[str] = []
    for item in stack:
        if isinstance(item, Tree) and item.data == "actors":
            actors = [str(token) for token in item.children]
    if len(stack) > 1 and isinstance(stack[-1], Token) and stack[-1].type == "COLON":
        actors = [str(stack[-2])]
    kinds = dict.fromkeys(kind for actor in actors if (kind := actor_kind(actor)))
    return listed(statements_of(*(kinds or ("host", "guest", "user"))))


def _plain(accepted: set[str], texts: dict[str, str]) -> list[str]:
    left, out = set(accepted), []
    for group, name, swallowed in _GROUPS:
        if group <= left:
            out.append(name)
            left -= group | swallowed
    classes = sorted(_CLASSES[t] for t in left if t in _CLASSES and t != "$END")
    literals = sorted(quote(texts[t]) for t in left if t in texts)
    return out + literals + classes + ([_CLASSES["$END"]] if "$END" in left else [])


@cache
def _texts(lark: Lark) -> dict[str, str]:
    """The text of every terminal that has one fixed spelling."""
    return {t.name: str(t.pattern.value) for t in lark.terminals if isinstance(t.pattern, PatternStr)}


def character_error(file: str, text: str, error: UnexpectedCharacters) -> InputError:
    rest = text[error.pos_in_stream :]
    place = f"{file}:{error.line}:{error.column}"
    if rest.startswith(("#", "(*", "--")):
        return InputError(f"unexpected character {quote(rest[0])}; a comment is // ... or /* ... */", place)
    if rest.startswith("/*"):
        return InputError("comment without an end, expected '*/'", place)
    if rest.startswith('"'):
        return InputError("purpose without an end, expected '\"' (only \\\" and \\\\ are escaped)", place)
    if rest[0].isascii() and rest[0].isdigit():
        digits = rest.split(maxsplit=1)[0].split(";")[0]
        return InputError(f"malformed number {quote(digits)}", place)
    return InputError(f"unexpected character {quote(rest[0])}", place)
