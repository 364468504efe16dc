"""The text of fault rules."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault, parse_faults
from contract.checksum import changeable
from contract.errors import InputError
from contract.messages import MESSAGE_KINDS, MESSAGES
from tests.cases import cases

NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True).filter(lambda name: name != "host")
NUMBERS = st.integers(1, 1_000_000_000)
COUNTS = st.one_of(
    st.just((1, 0)), NUMBERS.map(lambda n: (n, n)), NUMBERS.map(lambda n: (1, n)), NUMBERS.map(lambda n: (n, 0))
)


@st.composite
def rules(draw: st.DrawFn) -> FaultRule:
    """A rule, of a link, a service or a clock at a message where it is of those."""
    kind = FAULT_KINDS[draw(st.sampled_from(list(FAULT_KINDS)))]
    ways = ["kvm0>host", "host>kvm-1", ">host", "host>"] if kind.strikes == "link" else []
    named = ["thread vm0/0", "vm vm-1"] if kind.strikes == "thread" else ["kvm0", *ways]
    target = draw(st.sampled_from(["", *named])) if kind.strikes != "message" else ""
    first, last = draw(COUNTS)
    timed = kind.timed and draw(st.booleans())
    by = draw(NUMBERS.filter(lambda n: n != kind.usual)) if kind.amount and not timed else 0
    limit = st.one_of(st.just(0), NUMBERS)
    least = int(kind.strikes != "message")
    messages = tuple(draw(st.lists(st.sampled_from(MESSAGE_KINDS), unique=True, min_size=least, max_size=3)))
    fields = sorted(set.intersection(*(set(changeable(MESSAGES[name])) for name in messages or ["Revoke"])))
    return FaultRule(
        kind=kind.name,
        target=target,
        rate=draw(st.sampled_from([1000, 800_000, 1_250_000])) if kind.strikes == "clock" else 0,
        messages=messages,
        field=draw(st.sampled_from(["", *fields])) if kind.name == "corrupt" else "",
        session=draw(st.one_of(st.just(""), NAMES)),
        to_host=draw(st.sampled_from([None, True, False])),
        vcpu=draw(st.one_of(st.just(""), NAMES.map(lambda name: f"{name}/0"))),
        event=draw(limit),
        first=first,
        last=last,
        amount=by,
        time=draw(NUMBERS) if timed else 0,
        after=draw(limit),
        before=draw(limit),
        after_record=draw(limit),
        before_record=draw(limit),
        chance=(chance := draw(st.floats(0, 1, exclude_min=True))),
        seed=draw(st.integers(0, 1000)) if chance < 1 else 0,
    )


@given(rules())
def test_round_trip(rule: FaultRule) -> None:
    assert parse_fault(str(rule)) == rule


@cases(
    ("text", "rule", "printed"),
    [
        ("drop Revoke first 2", FaultRule(kind="drop", messages=("Revoke",), last=2), "drop Revoke first 2"),
        ("drop:Revoke:1", FaultRule(kind="drop", messages=("Revoke",), last=1), "drop Revoke 1"),
        ("drop Revoke first", FaultRule(kind="drop", messages=("Revoke",), last=1), "drop Revoke 1"),
        ("duplicate Ack all kvm0>host", FaultRule(kind="duplicate", messages=("Ack",), session="kvm0", to_host=True),
         "duplicate Ack kvm0>host"),
        ("drop host> from 3", FaultRule(kind="drop", to_host=False, first=3), "drop host> from 3"),
        ("drop p=0.5 seed=7 vm0/0", FaultRule(kind="drop", vcpu="vm0/0", chance=0.5, seed=7),
         "drop vm0/0 p=0.5 seed=7"),
        ("delay by 3 after 4ms", FaultRule(kind="delay", amount=3, after=4_000_000), "delay by 3 after 4ms"),
        ("cut:kvm0>host:at:Revoke:1", FaultRule(kind="cut", target="kvm0>host", messages=("Revoke",), last=1),
         "cut kvm0>host at Revoke 1"),
        ("cut p=0.5", FaultRule(kind="cut", chance=0.5), "cut at p=0.5"),
        ("cut host> Revoke by 10", FaultRule(kind="cut", target="host>", messages=("Revoke",)), "cut host> at Revoke"),
        ("stall perfcore at record 40 by 4ms",
         FaultRule(kind="stall", target="perfcore", at_record=40, time=4_000_000),
         "stall perfcore at record 40 by 4ms"),
        ("clock rate 0.5 at 2ms", FaultRule(kind="clock", rate=500_000, at_time=2_000_000), "clock rate 0.5 at 2ms"),
        ("crash:perfcore:at:Revoke:1", FaultRule(kind="crash", target="perfcore", messages=("Revoke",), last=1),
         "crash perfcore at Revoke 1"),
        ("crash kvm0 at record 40 by 4ms", FaultRule(kind="crash", target="kvm0", at_record=40, time=4_000_000),
         "crash kvm0 at record 40 by 4ms"),
        ("end  thread  vm0/0 at SchedIn", FaultRule(kind="end", target="thread vm0/0", messages=("SchedIn",)),
         "end thread vm0/0 at SchedIn"),
        ("end vm vm0 at 2ms", FaultRule(kind="end", target="vm vm0", at_time=2_000_000), "end vm vm0 at 2ms"),
        ("cut kvm0 at all by 1", FaultRule(kind="cut", target="kvm0", each=True, amount=1), "cut kvm0 at all by 1"),
        ("stall all at", FaultRule(kind="stall", each=True), "stall at all"),
        ("crash at all Revoke", FaultRule(kind="crash", messages=("Revoke",)), "crash at Revoke"),
        ("drop all", FaultRule(kind="drop"), "drop"),
        ("reorder by 1 Ack,Renew", FaultRule(kind="reorder", messages=("Ack", "Renew")), "reorder Ack,Renew"),
    ],
)  # fmt: skip
def test_examples(text: str, rule: FaultRule, printed: str) -> None:
    assert (parse_fault(text), str(rule)) == (rule, printed)


def test_the_example_of_each_kind_is_one_of_it() -> None:
    for kind in FAULT_KINDS.values():
        rule = parse_fault(kind.example)
        assert (rule.kind, str(rule)) == (kind.name, kind.example)


@cases(
    ("text", "column", "expected"),
    [
        ("", 0, "expected a kind of fault: drop, "),
        ("take Revoke", 1, "unknown kind 'take'"),
        ("Drop Revoke", 1, "unknown kind 'Drop', did you mean 'drop'?"),
        ("drop Revok", 6, "unknown message 'Revok', did you mean 'Revoke'?"),
        ("delay Revoke 1 by 3 parsecs", 21, r"a unit at the number \(s, ms, us, ns\), for example 3ms; found 'parsec"),
        ("delay by 3 ms", 12, r"a unit at the number \(s, ms, us, ns\), for example 3ms; found 'ms'"),
        ("delay Revok by 3", 7, "unknown message 'Revok', did you mean 'Revoke'?"),
        ("drop Revoke one", 13, "expected a number or another part of a rule, found 'one'"),
        ("cut kvm0 at Revoke one", 20, "expected a number or another part of a rule, found 'one'"),
        ("drop Revoke frist 2", 13, "found 'frist', did you mean 'first'?"),
        ("drop p=often", 6, "expected a probability above 0 and up to 1"),
        ("drop p=nan", 6, "expected a probability above 0 and up to 1"),
        ("drop Revoke p=0.5 seed=x", 19, "expected a number, for example seed=7, found 'x'"),
        ("drop Revoke,", 0, "expected a message, found the end of the rule"),
        ("drop Revoke 0", 13, "'0' is not a number from 1 to 1_000_000_000"),
        ("drop Revoke 1 first 2", 15, "count is given twice"),
        ("drop after 1ms after 2ms", 22, "after is given twice"),
        ("drop Revoke " + "9" * 500, 13, "is not a number from 1"),
        ("drop kvm0>kvm1", 6, "one end of kvm0>kvm1 must be 'host'"),
        ("drop host>host", 6, "one end of host>host must be 'host'"),
        ("drop p=0", 6, "expected a probability above 0 and up to 1"),
        ("drop p=1.5", 6, "expected a probability above 0 and up to 1"),
        ("drop p=1.2.3", 6, "expected a probability above 0 and up to 1"),
        ("drop by 2", 1, "drop takes no 'by'"),
        ("delay Revoke", 1, "delay needs 'by': decisions, or time since it was sent, for example 'delay Event"),
        ("reorder by 4ms", 1, "reorder takes no time: 'by' gives messages that overtake"),
        ("drop Revoke field grant", 1, "drop takes no field"),
        ("drop Revoke seed=7", 1, "seed=7 has no effect without a probability"),
        ("drop Revoke p=1 seed=7", 1, "seed=7 has no effect without a probability"),
        ("corrupt Revoke field gran", 1, "unknown field of Revoke 'gran', did you mean 'grant'?"),
        ("corrupt Revoke,Hello field grant", 1, "unknown field of Hello 'grant'"),
        ("corrupt field lbr", 1, "unknown field of a message 'lbr'"),
        ("cut kvm0>host", 1, "cut needs 'at', for example 'cut kvm0>host at Revoke 1 by 20ms'"),
        ("cut kvm0 all by 1", 1, "cut needs 'at', for example"),
        ("cut kvm0 at by 1", 1, "cut needs a message or a moment behind 'at', for example"),
        ("stall kvm0 at", 1, "stall needs a message or a moment behind 'at', for example"),
        ("cut at 4ms", 1, "cut at a moment needs a KVM or one way of its link"),
        ("cut kvm0 at 4ms Revoke", 1, "'at' gives either a moment or messages"),
        ("cut host at Revoke", 5, "cut 'host': expected a KVM or one way"),
        ("stall kvm0>host at Revoke", 7, "stall 'kvm0>host': expected a KVM or a perf core"),
        ("cut kvm0 rate 2 at Revoke", 1, "cut takes no rate"),
        ("clock kvm0", 1, "clock needs 'rate', for example 'clock kvm0 rate 1.25'"),
        ("clock kvm0 rate 0", 17, "'0' is not a rate from 0.001 to 1000"),
        ("clock kvm0 rate x", 17, "expected a decimal number .* or a number, found 'x'"),
        ("end vm0 at Revoke", 5, "end 'vm0': expected a thread or a VM: thread vm0/0, vm vm0"),
        ("end vm vm0/0 at Revoke", 5, "end 'vm vm0/0': expected a thread or a VM"),
        ("end at 4ms", 1, "end at a moment needs a thread or a VM"),
        ("end vm vm0 at Revoke by 2", 1, "end takes no 'by'"),
        ("crash kvm0", 1, "crash needs 'at', for example 'crash kvm0 at Revoke 1 by 5'"),
        ("drop Revoke at 4ms", 1, "drop takes no at"),
        ("drop ?", 6, "expected .* found '\\?'"),
        ("drop event x", 12, "expected a number, found 'x'"),
        ("drop " + "x" * 1000, 0, "longer than 1000 characters"),
    ],
)  # fmt: skip
def test_errors_say_where(text: str, column: int, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        parse_fault(text, "--fault")
    assert error.value.place is not None
    assert error.value.place.startswith("--fault '")
    assert error.value.place.endswith(f", column {column}" if column else "'")


@given(st.one_of(st.text(), st.text("drop Revokefist:>/0123456789,=.pmsby ")))
def test_any_text_is_a_rule_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        rule = parse_fault(text)
        assert parse_fault(str(rule)) == rule


def test_a_file_has_one_rule_on_each_line() -> None:
    text = "# lost\ndrop Revoke 1  # the first\n\n  delay Ack by 3\n"
    assert [str(rule) for rule in parse_faults(text, "a.faults")] == ["drop Revoke 1", "delay Ack by 3"]
    with pytest.raises(InputError, match="unknown message 'Revok'") as error:
        parse_faults(text + "drop Revok\n", "a.faults")
    assert error.value.place == "a.faults:5: 'drop Revok', column 6"
    with pytest.raises(InputError, match="more than 1000 rules"):
        parse_faults("drop Revoke\n" * 1001, "a.faults")
