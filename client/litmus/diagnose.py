"""What the text should have said: lark's errors as one line that a reader of litmus files understands."""

from __future__ import annotations

from functools import cache

from lark import Lark, Token, UnexpectedCharacters, UnexpectedToken
from lark.lexer import PatternStr

from client.litmus.places import token_place
from client.litmus.words import RESERVED, hint, listed, quote
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
    "$END": "the end of the text",
}
# Sets of what may come next that read better under one name.
_GROUPS = (
    (
        frozenset({"BRANCH", "RUN", "IDLE", "OPEN", "ENABLE", "DISABLE", "CLOSE", "READ", "SAMPLE", "ADVANCE", "STATE"})
        | frozenset({"MUX", "MEDIATE", "UNMEDIATE"})
        | frozenset({"WRMSR", "RDMSR", "CPUID", "HLT", "OUT", "NOP", "SET", "GET", "STOP_LBR", "RESET", "MIGRATE"})
        | frozenset({"REPEAT", "FOR", "WHILE", "IF", "BREAK"}),
        "a statement",
        frozenset({"WORD", "USER", "VCPU"}),
    ),
    (frozenset({"WORD", "NUMBER", "LBR", "DEPTH", "NOT", "LPAR"}), "an expression", frozenset[str]()),
    (frozenset({"OR", "XOR", "AND", "SHIFT", "PLUS", "MINUS", "TIMES", "MODULO"}), "an operator", frozenset[str]()),
    (frozenset({"WORD", "USER", "VCPU", "NUMBER", "DURATION", "TRAP", "INVARIANT"}), "a value", frozenset[str]()),
    (frozenset({"WORD", "USER", "VCPU"}), "an actor", frozenset[str]()),
    (frozenset({"WORD", "VCPU"}), "a task", frozenset[str]()),
    (frozenset({"EQUAL", "ORDER"}), "a comparison", frozenset[str]()),
)


def syntax_error(file: str, lark: Lark, error: UnexpectedToken) -> InputError:
    token = error.token
    parser = error.interactive_parser
    accepted = set(error.accepts or error.expected)
    misread = _misread(parser.parser_state.value_stack if parser else [], accepted)
    if misread is not None:
        message = f"unknown word {quote(misread)}{hint(misread, RESERVED)}"
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
        if token in RESERVED and {"a name", "a statement"} & set(expected):
            near = near or ", a reserved word"
    return InputError(f"expected {listed(expected)}, found {found}{near}", place)


def _misread(stack: list[object], accepted: set[str]) -> Token | None:
    """The word before the error, where it was taken for a register or an actor but is nearly a keyword."""
    last = stack[-1] if stack else None
    starts = accepted <= {"COLON", "EQUAL"} or accepted <= {"COMMA", "LBRACE"}
    if starts and isinstance(last, Token) and last.type == "WORD" and hint(last, RESERVED):
        return last
    return None


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
    """The text of every terminal that is always spelled the same."""
    return {t.name: str(t.pattern.value) for t in lark.terminals if isinstance(t.pattern, PatternStr)}


def character_error(file: str, text: str, error: UnexpectedCharacters) -> InputError:
    rest = text[error.pos_in_stream :]
    place = f"{file}:{error.line}:{error.column}"
    if rest.startswith("/*"):
        return InputError("comment without an end, expected '*/'", place)
    if rest.startswith('"'):
        return InputError("purpose without an end, expected '\"' (only \\\" and \\\\ are escaped)", place)
    if rest[0].isascii() and rest[0].isdigit():
        digits = rest.split(maxsplit=1)[0].split(";")[0]
        return InputError(f"malformed number {quote(digits)}", place)
    return InputError(f"unexpected character {quote(rest[0])}", place)
