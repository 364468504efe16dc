"""Faults as on the command line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.schedule.faults import Fault, FaultKind, parse_fault
from contract.errors import InputError
from contract.messages import MESSAGE_KINDS

FAULTS = st.builds(Fault, st.sampled_from(FaultKind), st.sampled_from(MESSAGE_KINDS), st.integers(1, 1_000_000))


@given(FAULTS)
def test_round_trip(fault: Fault) -> None:
    assert parse_fault(str(fault)) == fault


def test_example() -> None:
    assert parse_fault("drop:Revoke:1") == Fault(FaultKind.DROP, "Revoke", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected KIND:MESSAGE:N"),
        ("drop:Revoke", "expected KIND:MESSAGE:N"),
        ("drop:Revoke:1:2", "expected KIND:MESSAGE:N"),
        ("take:Revoke:1", "unknown kind 'take', expected one of drop, double, overtaken"),
        ("Drop:Revoke:1", "unknown kind 'Drop'"),
        ("drop:revoke:1", "unknown message 'revoke', did you mean Revoke"),
        ("drop:Revok:1", "unknown message 'Revok', expected one of"),
        ("overtake:Revoke:1", "the message named is the one that is overtaken: expected overtaken:MESSAGE:N"),
        ("drop:Revoke:0", "'0' is not a message number"),
        ("drop:Revoke:-1", "'-1' is not a message number"),
        ("drop:Revoke:", "'' is not a message number"),
        ("drop:Revoke:²", "'²' is not a message number"),
        ("drop:Revoke:1000001", "is not a message number"),
    ],
)
def test_errors_say_which_part(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        parse_fault(text)
    assert error.value.place == f"--fault {text}"


KINDS = st.one_of(st.sampled_from([*FaultKind, "take", "Drop", ""]), st.text(max_size=4))
MESSAGES = st.one_of(st.sampled_from([*MESSAGE_KINDS, "revoke", ""]), st.text(max_size=4))
NUMBERS = st.one_of(
    st.integers(-2, 1_000_002).map(str), st.sampled_from(["", "0", "007", "1000000", "00000001", "²"]), st.text()
)


@given(KINDS, MESSAGES, NUMBERS, st.sampled_from([":", ":", ":", "", "::", " "]))
def test_a_text_is_a_fault_where_all_of_its_parts_are_right(kind: str, message: str, number: str, colon: str) -> None:
    text = f"{kind}{colon}{message}:{number}"
    known = colon == ":" and kind in list(FaultKind) and message in MESSAGE_KINDS
    if known and re.fullmatch("[0-9]{1,7}", number) and 1 <= int(number) <= 1_000_000:
        assert parse_fault(text) == Fault(FaultKind(kind), message, int(number))
    else:
        with pytest.raises(InputError) as error:
            parse_fault(text)
        assert error.value.place == f"--fault {text}"


def test_absurd_numbers() -> None:
    """More digits than ``int`` reads."""
    with pytest.raises(InputError):
        parse_fault("drop:Revoke:" + "9" * 5000)
