"""Rules and messages in the words of the schema: all of them, and nothing that is not there."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

import kvm_svc.endpoint
import perfcore_svc.endpoint
from client.document import schema
from client.document.schema import MessageText, messages, rules
from contract.messages import MESSAGE_KINDS
from contract.rules import RULES
from tests.cases import cases

KVM, HOST, EITHER = "KVM to host", "Host to KVM", "Either way"
BY_NAME = {message.name: message for message in messages()}


def prose() -> str:
    """The comments of the schema as one text."""
    lines = (files("lbrlab.v1") / "contract.proto").read_text(encoding="utf-8").splitlines()
    return " ".join(" ".join(line[2:] for line in lines if line.startswith("//")).split())


# Rules ---------------------------------------------------------------------------------------------------


def test_the_rules_are_r1_to_r26_in_order_as_the_code_has_them() -> None:
    ids = [f"R{n}" for n in range(1, 27)]
    assert [rule.id for rule in rules()] == ids
    assert [rule.id for rule in RULES] == ids


@cases("rule", rules(), ids=lambda r: r.id)
def test_a_rule_has_a_name_and_whole_sentences(rule: schema.RuleText) -> None:
    assert re.fullmatch(r"[a-z]+( [a-z]+){0,2}", rule.name)
    assert rule.text[0].isupper()
    assert rule.text.endswith(".")
    assert "  " not in rule.text


@cases("rule", rules(), ids=lambda r: r.id)
def test_the_words_of_a_rule_are_the_schemas(rule: schema.RuleText) -> None:
    """The next rule, or the code, begins where its text ends."""
    text = f"{rule.id} {rule.name}: {rule.text}"
    behind = prose().partition(text)[2]
    assert behind
    assert re.match(r" (R\d+ |A frame )", behind)


def test_no_two_rules_have_one_name() -> None:
    assert len({rule.name for rule in rules()}) == 26


def test_text_that_goes_on_is_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ["// Before.", "// R1 one: A", "//    and b.", "// R2 two words: C.", "", "// R3 three: D."]
    monkeypatch.setattr(schema, "_lines", lambda: text)
    assert [(r.id, r.name, r.text) for r in rules()] == [("R1", "one", "A and b."), ("R2", "two words", "C.")]


# Messages ------------------------------------------------------------------------------------------------


def test_every_message_has_its_text() -> None:
    assert len(messages()) == len(MESSAGE_KINDS)
    assert set(BY_NAME) == set(MESSAGE_KINDS)


@cases("kind", MESSAGE_KINDS)
def test_a_message_has_a_direction_and_whole_sentences(kind: str) -> None:
    message = BY_NAME[kind]
    assert message.direction in (KVM, HOST, EITHER)
    assert message.text[0].isupper() or message.text[0] == "`"
    assert message.text.endswith(".")
    assert message.text[1:] in prose()


def test_the_direction_is_that_of_whoever_takes_it() -> None:
    assert {BY_NAME[kind.__name__].direction for kind in perfcore_svc.endpoint._HANDLERS} == {KVM}
    assert {BY_NAME[kind.__name__].direction for kind in kvm_svc.endpoint._HANDLERS} == {HOST}


def test_they_are_in_the_order_of_the_schema() -> None:
    text = (files("lbrlab.v1") / "contract.proto").read_text(encoding="utf-8")
    places = [text.index(f"\nmessage {message.name} {{") for message in messages()]
    assert places == sorted(places)


def schema_of(*lines: str, monkeypatch: pytest.MonkeyPatch) -> list[MessageText]:
    monkeypatch.setattr(schema, "_lines", lambda: list(lines))
    return messages()


def test_what_is_no_message_of_the_stream_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ["// An image.", "message LbrImage {", "}", "// KVM to host: give it", "// up.", "message Ack {"]
    assert schema_of(*text, monkeypatch=monkeypatch) == [MessageText("Ack", KVM, "Give it up.")]


@cases("comment", ["// From KVM: give up.", "// KVM to host, give up.", "// host to KVM: x.", ""])
def test_a_comment_that_does_not_say_the_direction_is_an_error(comment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="the comment of message Ack does not say its direction"):
        schema_of(comment, "message Ack {", monkeypatch=monkeypatch)


def test_a_comment_further_up_is_another_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="message Ack"):
        schema_of("// KVM to host: give up.", "", "message Ack {", monkeypatch=monkeypatch)
