"""Faults as on the command line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.tape.faults import Fault, FaultKind, parse_fault
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
        ("drop:Revoke:0", "'0' is no message number"),
        ("drop:Revoke:-1", "'-1' is no message number"),
        ("drop:Revoke:", "'' is no message number"),
        ("drop:Revoke:²", "'²' is no message number"),
        ("drop:Revoke:1000001", "is no message number"),
    ],
)
def test_errors_say_which_part(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        parse_fault(text)
    assert error.value.place == f"--fault {text}"


@given(st.text())
def test_any_text_is_a_fault_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_fault(text).which >= 1


def test_absurd_numbers() -> None:
    """More digits than ``int`` reads."""
    with pytest.raises(InputError):
        parse_fault("drop:Revoke:" + "9" * 5000)
