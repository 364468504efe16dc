"""The text of tapes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.schedule.decisions import (
    HEADER,
    LINES_LIMIT,
    Decision,
    Deliver,
    Fire,
    Pass,
    Step,
    format_tape,
    parse_decision,
    parse_tape,
)
from client.schedule.incidents import Crash, Cut, EndStall, Kill, Mend, Restart, SetClock, Shutdown, Stall
from contract.errors import InputError
from contract.messages import MESSAGE_KINDS
from contract.network import Fate
from tests.cases import cases

THREADS = st.from_regex(r"(host[0-9]?|user|vm[0-9]/[0-9])(\+(host[0-9]?|user|vm[0-9]/[0-9])){0,2}", fullmatch=True)
SESSIONS = st.from_regex(r"kvm[0-9a-z-]{0,8}", fullmatch=True)
DELIVERIES = st.builds(
    Deliver,
    st.sampled_from([fate for fate in Fate if fate is not Fate.LOSE]),
    SESSIONS,
    st.booleans(),
    st.integers(1, 999_999_999),
    st.sampled_from(MESSAGE_KINDS),
    st.from_regex(r"(f[1-9][0-9]{0,3}\.[1-9][0-9]{0,3})?", fullmatch=True),
)
CHANGED = st.sampled_from([("Revoke", "grant"), ("Drain", "reason"), ("Welcome", "accepted")]).map(
    lambda changed: Deliver(Fate.CORRUPT, "kvm0", False, 4, changed[0], field=changed[1])
)
PASSES = st.builds(Pass, st.integers(1, 10**18 - 1))
FIRES = st.builds(Fire, SESSIONS, st.booleans(), st.sampled_from(["resend", "renew", "lease"]))
FAULTS = st.sampled_from(["", "f1.2"])
LIVES = st.one_of(
    st.builds(Crash, SESSIONS | st.just("perfcore1"), FAULTS),
    st.builds(Shutdown, SESSIONS | st.just("perfcore"), FAULTS),
    st.builds(Restart, SESSIONS | st.just("perfcore"), FAULTS),
    st.builds(Kill, st.just("thread"), st.just("vm0/0"), FAULTS),
    st.builds(Kill, st.just("vm"), st.just("vm0"), FAULTS),
)
ROUTES = st.sampled_from([None, True, False])
INCIDENTS = st.one_of(
    st.builds(Cut, SESSIONS, ROUTES, FAULTS),
    st.builds(Mend, SESSIONS, ROUTES, FAULTS),
    st.builds(Stall, SESSIONS | st.just("perfcore"), FAULTS),
    st.builds(EndStall, SESSIONS | st.just("perfcore"), FAULTS),
    st.builds(SetClock, SESSIONS, st.integers(1000, 999_999_999), FAULTS),
)
TAPES: st.SearchStrategy[list[Decision]] = st.lists(
    st.one_of(st.builds(Step, THREADS), DELIVERIES, CHANGED, FIRES, PASSES, LIVES, INCIDENTS)
)


@given(TAPES)
def test_round_trip(tape: list[Decision]) -> None:
    assert parse_tape(format_tape(tape)) == tape


@given(TAPES)
def test_comments_and_blank_lines(tape: list[Decision]) -> None:
    lines = format_tape(tape).splitlines()
    noisy = [lines[0]]
    for line in lines[1:]:
        noisy += ["", "# a remark", f"  {line}\t# why"]

    assert parse_tape("\r\n".join(noisy)) == tape


def test_the_example_in_the_docs() -> None:
    text = "lbrlab-tape 1\ntake kvm0>host 1 Hello\nstep host+vm0/0\ndrop host>kvm0 6 Revoke f1.2\n"
    text += "timer kvm0>host resend\ntime 4000000\n"
    tape = parse_tape(text)

    assert tape == [
        Deliver(Fate.TAKE, "kvm0", True, 1, "Hello"),
        Step("host+vm0/0"),
        Deliver(Fate.DROP, "kvm0", False, 6, "Revoke", "f1.2"),
        Fire("kvm0", True, "resend"),
        Pass(4_000_000),
    ]
    assert format_tape(tape) == text


def test_receiver() -> None:
    to_host, to_kvm = Deliver(Fate.TAKE, "kvm0", True, 1, "Hello"), Deliver(Fate.TAKE, "kvm0", False, 1, "Welcome")

    assert (to_host.receiver, to_kvm.receiver) == ("host", "kvm0")


FORMS = (
    r"expected 'step THREAD', 'take\|drop\|duplicate\|.*timer SENDER>RECEIVER TIMER', 'time NS', .*'end vm VM', "
    r"'cut KVM', .*'clock KVM RATE'"
)


@cases(
    ("line", "expected"),
    [
        ("stop host", FORMS),
        ("step", FORMS),
        ("step a b", FORMS),
        ("lose kvm0>host 1 Hello", FORMS),
        ("take kvm0>host 0 Hello", FORMS),
        ("take kvm0>host -1 Hello", FORMS),
        ("take kvm0>host 1234567890 Hello", FORMS),
        ("take kvm0>host 1", FORMS),
        ("timer kvm0>host", FORMS),
        ("timer kvm0 resend", FORMS),
        ("timer kvm0>host 1 resend", FORMS),
        ("take kvm0>host 4 Ack.grant", "only corrupt takes a field"),
        ("corrupt kvm0>host 4 Ack.grand", "unknown field of Ack 'grand', did you mean 'grant'"),
        ("time 0", FORMS),
        ("time 4ms", FORMS),
        ("drop kvm0>host 1 Hello f1", FORMS),
        ("timer kvm0>kvm1 resend", "one end of kvm0>kvm1 must be 'host'"),
        ("cut kvm0>kvm1", "one end of kvm0>kvm1 must be 'host'"),
        ("mend host", "expected the name of a KVM or a way such as kvm0>host"),
        ("clock kvm0 999", "a rate from 1000 to 1000000000; 1000000 is the host's"),
        ("cut", FORMS),
        ("stall kvm0>host", FORMS),
        ("take kvm0>kvm1 1 Hello", "one end of kvm0>kvm1 must be 'host'"),
        ("take host>host 1 Hello", "one end of host>host must be 'host'"),
        ("take kvm0>host 1 Helo", "unknown message 'Helo'"),
    ],
)
def test_bad_line(line: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_decision(line)
    with pytest.raises(InputError, match=expected) as error:
        parse_tape(f"{HEADER}\nstep host\n\n{line}\n", "a.tape")
    assert error.value.place == "a.tape:4"


@cases("text", ["", "\n", "step host\n", "lbrlab-tape 2\n", "lbrlab-tape 1 x\n", "\nlbrlab-tape 1\n"])
def test_header(text: str) -> None:
    with pytest.raises(InputError, match="expected the header") as error:
        parse_tape(text, "a.tape")
    assert error.value.place == "a.tape:1"


def test_empty_tape() -> None:
    assert parse_tape(HEADER) == []
    assert format_tape([]) == HEADER + "\n"


def test_too_long() -> None:
    with pytest.raises(InputError, match="more than"):
        parse_tape("\n" * (LINES_LIMIT + 1))


@given(st.text())
def test_any_text_is_a_tape_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert all(isinstance(d, Step | Deliver | Fire | Pass) for d in parse_tape(f"{HEADER}\n{text}"))
