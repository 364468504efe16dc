"""Rules and messages, read from the comments of ``contract.proto``. Their words stand only there."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

import msgspec

from contract.messages import MESSAGE_KINDS

_RULE = re.compile(r"^// (R\d+) ([a-z ]+): (.*)$")
_GOES_ON = re.compile(r"^//    (\S.*)$")
_MESSAGE = re.compile(r"^message (\w+) \{")
_DIRECTION = re.compile(r"^(KVM to host|Host to KVM|Either way): ")


class RuleText(msgspec.Struct, frozen=True):
    """``name``: its name in a word or two."""

    id: str
    name: str
    text: str


class MessageText(msgspec.Struct, frozen=True):
    """``direction``: KVM to host, Host to KVM, Either way."""

    name: str
    direction: str
    text: str


@lru_cache(maxsize=1)
def _lines() -> list[str]:
    return (files("lbrlab.v1") / "contract.proto").read_text(encoding="utf-8").splitlines()


def rules() -> list[RuleText]:
    """Every rule, in order."""
    found: list[list[str]] = []
    for line in _lines():
        if match := _RULE.match(line):
            found.append([match[1], match[2], match[3]])
        elif found and (match := _GOES_ON.match(line)):
            found[-1][2] += f" {match[1]}"
        elif found and not line.startswith("//"):
            break
    return [RuleText(*rule) for rule in found]


def messages() -> list[MessageText]:
    """Every message of the stream, in the order of the schema."""
    found = []
    comment: list[str] = []
    for line in _lines():
        if line.startswith("//"):
            comment.append(line[2:].strip())
        else:
            match = _MESSAGE.match(line)
            if match and match[1] in MESSAGE_KINDS:
                found.append(_message(match[1], " ".join(comment)))
            comment = []
    return found


def _message(name: str, comment: str) -> MessageText:
    direction = _DIRECTION.match(comment)
    if direction is None:
        raise ValueError(f"the comment of message {name} does not say its direction")
    text = comment[direction.end() :]
    return MessageText(name, direction[1], text[0].upper() + text[1:])
