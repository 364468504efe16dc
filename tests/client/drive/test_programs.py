"""Guest programs: what a program comes to is what Python comes to, on both wires, and a tape replays it."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.drive.program import Program
from client.drive.registers import Registers
from client.litmus import ast as a
from client.litmus import parse
from client.litmus.arithmetic import NoNumberError, evaluate, holds
from client.litmus.limits import MAX_EXECUTED
from client.run.inputs import Inputs
from client.run.run import run as run_inputs
from client.schedule.decisions import format_tape, parse_tape
from client.schedule.schedule import replay
from contract.design import Design
from contract.errors import InputError
from contract.trace import End, Statement, canonical
from tests.cases import cases
from tests.client.check.runs import outcomes, play, scenario
from tests.client.litmus.strategies import conditions, operands
from tests.designs import DESIGNS, MERGED

MASK = (1 << 64) - 1
PYTHON: dict[str, Callable[[int, int], int]] = {
    "+": lambda x, y: (x + y) % 2**64,
    "-": lambda x, y: (x - y) % 2**64,
    "*": lambda x, y: x * y % 2**64,
    "%": lambda x, y: x % y,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": lambda x, y: x * 2**y % 2**64 if y < 64 else 0,
    ">>": lambda x, y: x // 2**y if y < 64 else 0,
}
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
DEPTH = 8


def run(program: str) -> dict[str, object]:
    """The guest's registers after it, with vm0/0 on a CPU."""
    story = scenario(f"host {{ run vm0/0 on cpu0; }} vm0/0 {{ {program} }}")
    played = play(story, MERGED)
    assert not next(r.unfinished for r in played.records if isinstance(r, End))
    return {name.partition(":")[2]: value for name, value in outcomes(played.records).items()}


def in_python(operand: a.Operand, registers: dict[str, int | str]) -> int | str:
    if isinstance(operand, int):
        return operand
    if isinstance(operand, str):
        return DEPTH if operand == a.DEPTH else registers[operand]
    if isinstance(operand, a.Inverse):
        value = in_python(operand.arg, registers)
        return MASK - value if isinstance(value, int) else value
    left, right = in_python(operand.left, registers), in_python(operand.right, registers)
    if isinstance(left, str) or isinstance(right, str):
        return left if isinstance(left, str) else right
    return "#DE" if operand.op == "%" and right == 0 else PYTHON[operand.op](left, right)


def true_in_python(condition: a.Condition, registers: dict[str, int | str]) -> bool:
    if isinstance(condition, a.AllOf):
        return all(true_in_python(arg, registers) for arg in condition.args)
    if isinstance(condition, a.AnyOf):
        return any(true_in_python(arg, registers) for arg in condition.args)
    left = in_python(condition.left, registers)
    if condition.right in ("#GP", "#DE", "ok", "skipped") or str(condition.right).startswith("E"):
        return (left == condition.right) == (condition.op == "=")
    right = in_python(condition.right, registers)
    if isinstance(left, str) or isinstance(right, str):
        raise _NoNumberError
    return COMPARE[condition.op](left, right)


class _NoNumberError(Exception):
    pass


VALUES = st.one_of(st.integers(0, 70), st.integers(0, MASK), st.sampled_from(["#GP", "skipped"]))
REGISTERS = st.dictionaries(st.sampled_from(["r0", "r1", "r2"]), VALUES, min_size=3)


@given(REGISTERS, st.data())
def test_expressions_come_to_what_python_says(registers: dict[str, int | str], data: st.DataObject) -> None:
    operand = data.draw(st.composite(operands)(list(registers), 4))
    assert evaluate(operand, registers, DEPTH) == in_python(operand, registers)


@given(REGISTERS, st.data())
def test_conditions_hold_when_python_says(registers: dict[str, int | str], data: st.DataObject) -> None:
    condition = data.draw(st.composite(conditions)(list(registers), list(registers), 3))
    try:
        expected = true_in_python(condition, registers)
    except _NoNumberError:
        with pytest.raises(NoNumberError):
            holds(condition, registers, DEPTH)
    else:
        assert holds(condition, registers, DEPTH) == expected


# Random programs of assignments, loops and conditions, against a direct interpreter ------------------------


@st.composite
def bodies(draw: st.DrawFn, depth: int, *, loop: bool = False) -> tuple[a.LitmusStep, ...]:
    registers = ["r0", "r1", "r2"]
    steps = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(
            st.sampled_from(["let", "let", *(["repeat", "for", "while", "if"] if depth else []), *["break"] * loop])
        )
        stmt: a.AnyStmt
        match kind:
            case "repeat":
                stmt = a.Repeat(draw(st.integers(0, 3)), draw(bodies(depth - 1, loop=True)))
            case "for":
                stmt = a.For(
                    f"i{depth}", draw(st.integers(0, 3)), draw(st.integers(0, 4)), draw(bodies(depth - 1, loop=True))
                )
            case "while":
                test = conditions(draw, registers, registers, 1)
                inner = draw(bodies(depth - 1, loop=True))
                stmt = a.While(
                    test,
                    (
                        *inner,
                        a.LitmusStep("vm0/0", a.If(conditions(draw, registers, registers, 1), (_BREAK,), (_BREAK,))),
                    ),
                )
            case "if":
                then, orelse = draw(bodies(depth - 1, loop=loop)), draw(bodies(depth - 1, loop=loop))
                stmt = a.If(conditions(draw, registers, registers, 1), then, orelse)
            case "break":
                stmt = a.Break()
            case _:
                stmt = a.Assign(draw(st.sampled_from(registers)), operands(draw, registers))
        steps.append(a.LitmusStep("vm0/0", stmt))
    return tuple(steps)


_BREAK = a.LitmusStep("vm0/0", a.Break())


class _Leave(Exception):
    pass


def interpret(steps: tuple[a.LitmusStep, ...], registers: dict[str, int | str]) -> None:
    for step in steps:
        match step.stmt:
            case a.Assign(register=register, value=value):
                registers[register] = in_python(value, registers)
            case a.If(test=test, then=then, orelse=orelse):
                interpret(then if true_in_python(test, registers) else orelse, registers)
            case a.Break():
                raise _Leave
            case a.Repeat() | a.For() | a.While():
                _loop(step.stmt, registers)


def _loop(stmt: a.Repeat | a.For | a.While, registers: dict[str, int | str]) -> None:
    try:
        match stmt:
            case a.Repeat(count=int(count)):
                for _ in range(count):
                    interpret(stmt.body, registers)
            case a.For(counter=counter, first=int(first), end=int(end)):
                for number in range(first, end):
                    registers[counter] = number
                    interpret(stmt.body, registers)
            case a.While(test=test):
                while true_in_python(test, registers):
                    interpret(stmt.body, registers)
    except _Leave:
        pass


@given(REGISTERS, bodies(3))
def test_programs_come_to_what_python_says(registers: dict[str, int | str], body: tuple[a.LitmusStep, ...]) -> None:
    expected = dict(registers)
    with_numbers = True
    try:
        interpret(body, expected)
    except _NoNumberError:
        with_numbers = False

    found = Registers({})
    for name, value in registers.items():
        found.put("vm0/0", name, value)
    program = Program(a.Block(["vm0/0"], list(body)), "story", found, DEPTH)
    if with_numbers:
        program.settle()
        assert program.current is None
    else:
        with pytest.raises(InputError, match=r"^story: vm0/0 compares .*, which holds "):
            program.settle()
    assert found.of("vm0/0") == expected


# In the player ---------------------------------------------------------------------------------------------


def test_loops_and_conditions() -> None:
    seen = run("n = 0; for i in 2 .. 5 { n = n * 10 + i; } repeat n % 5 { n = n + 1; } m = n >> 1 ^ 0xf0;")
    assert (seen["i"], seen["n"], seen["m"]) == (4, 238, 238 // 2 ^ 0xF0)
    assert run("n = 1; while n < 100 { n = n << 1; if n = 16 { break; } else { } }")["n"] == 16
    assert run("n = 7; if n = 6 { n = 1; } else if n = 7 /\\ n != #GP { n = 2; } else { n = 3; }")["n"] == 2


def test_a_loop_steps_as_often_as_it_goes_round() -> None:
    story = scenario("host { run vm0/0 on cpu0; } vm0/0 { repeat 5 { branch 2; } }")
    said = [r.text for r in play(story, MERGED).records if isinstance(r, Statement)]
    assert said == ["run vm0/0 on cpu0", *["branch 2"] * 5]


def test_computed_addresses() -> None:
    seen = run(
        "wrmsr DEBUGCTL, LBR; branch 3; wrmsr DEBUGCTL, 0; t = rdmsr LBR_TOS;"
        "a = rdmsr 0x680 + t; b = rdmsr LBR_FROM[t]; c = rdmsr LBR_FROM[t + lbr_depth]; e = 0x680 + t; d = rdmsr e;"
    )
    assert isinstance(seen["a"], int)
    assert seen["a"] > 0
    assert seen["a"] == seen["b"] == seen["c"] == seen["d"]


def test_faults_are_values() -> None:
    seen = run(
        "r = rdmsr 0x40; w = wrmsr 0x40, 1; n = 0; if r = #GP /\\ w = #GP { n = 1; } m = r + 1; x = rdmsr 0x680 + r;"
    )
    assert (seen["r"], seen["w"], seen["n"], seen["m"], seen["x"]) == ("#GP", "#GP", 1, "#GP", "skipped")
    assert run("n = 3; d = n % (n - 3); if d = #DE { n = 4; }")["n"] == 4


@cases(
    ("test", "message"),
    [
        ("r = r2", "'r', which holds #GP"),
        ("r != 0", "'r', which holds #GP"),
        ("r2 < 5", "'r2', which holds #GP"),
        ("0 = r + 1", "'r + 1', which holds #GP"),
        ("later = 0", "'later', which holds skipped"),
        ("x = 0", "'x', which holds skipped"),
        ("d = 0", "'d', which holds #DE"),
        ("r != #GP \\/ r = 0", "'r', which holds #GP"),
    ],
)
@cases("statement", ["if {} {{ }}", "while {} {{ break; }}"])
def test_a_comparison_of_no_number_is_an_error_of_the_scenario(test: str, message: str, statement: str) -> None:
    before = "r = rdmsr 0x40; r2 = rdmsr 0x41; x = rdmsr 0x680 + r; n = 0; d = 1 % n;\n if n = 1 { later = 0; }\n"
    with pytest.raises(InputError) as error:
        run(before + statement.format(test))
    assert str(error.value).startswith(f"<text>:7: vm0/0 compares {message} and no number; test it by '= ")


def test_every_answer_can_be_tested() -> None:
    seen = run(
        "g = rdmsr 0x40; w = wrmsr DEBUGCTL, LBR; x = rdmsr 0x680 + g; v = wrmsr 0x680 + g, 1; n = 7; k = 0;"
        "if g = #GP { k = k + 1; } if w = ok { k = k + 2; } if x = skipped { k = k + 4; } if v = skipped { k = k + 8; }"
        "if g = ok \\/ g = skipped \\/ w = #GP \\/ n = ok \\/ n = skipped \\/ n = #GP { k = 100; }"
        "if n = 8 { later = 1; } if later = skipped { k = k + 16; } if g != #GP /\\ g > 5 { k = 200; }"
    )
    assert seen["k"] == 31


def test_a_look_at_the_stack_is_no_word() -> None:
    seen = run("g = rdmsr LBR_STACK; n = 0; if g = skipped { n = 1; } if g = #GP { n = 2; } if g != ok { n = n + 4; }")
    assert seen["n"] == 4


def test_user_space_tests_for_an_errno() -> None:
    user = "v = get vm0/0 0x40; n = 0; if v = ENOENT { n = 1; } m = migrate vm0/0 to kvm0 with lbr;"
    story = scenario(f"host {{ run vm0/0 on cpu0; }} user {{ {user} if m = EALREADY {{ n = n + 2; }} }}")
    assert outcomes(play(story, MERGED).records)["user:n"] == 3


@cases("word", ["ok", "skipped", "ENOENT"])
def test_a_word_names_no_register(word: str) -> None:
    for text in (f"vm0/0 {{ {word} = 1; }}", f"vm0/0 {{ {word} = rdmsr LBR_TOS; }}"):
        with pytest.raises(InputError, match=f"'{word}' cannot name a register"):
            scenario(text)
    with pytest.raises(InputError, match=f"'{word}' cannot name a number"):
        scenario("", head=f"let {word} = 3;")


def test_words_have_no_order_in_programs() -> None:
    with pytest.raises(InputError, match="named values have no order"):
        scenario("vm0/0 { r = rdmsr LBR_TOS; if r < ok { } }")


def test_a_written_value_can_be_computed() -> None:
    seen = run(
        "wrmsr DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI; r = rdmsr DEBUGCTL; wrmsr DEBUGCTL, r & ~LBR; s = rdmsr DEBUGCTL;"
    )
    assert (seen["r"], seen["s"]) == (0x801, 0x800)


def test_a_count_or_end_that_is_no_number_ends_the_loop() -> None:
    seen = run("r = rdmsr 0x40; n = 0; repeat r { n = 1; } for i in 0 .. r { n = 2; } for i in r .. 4 { n = 3; }")
    assert seen["n"] == 0


@cases(
    ("program", "line"),
    [
        ("while 1 = 1 { }", "while 1 = 1 { ... }"),
        ("repeat 0xffffffff { nop; }", "repeat 0xffffffff { ... }"),
        ("n = 0; while n = 0 { n = 0; }", "n = 0"),
    ],
)
def test_a_program_is_bounded(program: str, line: str) -> None:
    with pytest.raises(InputError) as error:
        run(program)
    assert str(error.value).startswith("<text>:5: ")
    assert f"vm0/0 carries out more than {MAX_EXECUTED} statements, at '{line}'" in str(error.value)


def test_user_space_computes_too() -> None:
    user = "b = 0x1d9; u = set vm0/0 b, b & 1; v = get vm0/0 0x1c0 + 0x19;"
    story = scenario(f"host {{ run vm0/0 on cpu0; }} user {{ {user} }}")
    seen = outcomes(play(story, MERGED).records)
    assert (seen["user:u"], seen["user:v"]) == (1, 1)


LONG = """host { run vm0/0 on cpu0; h = open cpu0 pinned branch any; close h; }
vm0/0 {
    wrmsr DEBUGCTL, LBR;
    for i in 0 .. 3 { branch 2; t = rdmsr LBR_TOS; if t = #GP { f = 0; } else { f = rdmsr 0x680 + t; } }
}"""


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_a_tape_replays(design: Design) -> None:
    story = scenario(LONG)
    first = run_inputs(Inputs(story, design))
    tape = parse_tape(format_tape(first.tape))
    again = run_inputs(Inputs(story, design, replay(tape)))
    assert canonical(again.records) == canonical(first.records)


MOVED = """LBR x machine { } machine dest { } kvm kvm1 on dest; vm vm0 { lbr = on; }
host, vm0/0, user {
    host: run vm0/0 on cpu0; user: repeat 1 { if 1 = 1 { m = migrate vm0/0 to kvm1 with lbr; } }
}
"""


def test_a_vm_goes_to_the_kvm_that_a_statement_in_a_loop_names() -> None:
    story = parse(MOVED)
    assert [vm.name for vm in story.vms_at("kvm1")] == ["vm0"]
    assert outcomes(play(story, MERGED).records)["user:m"] == "ok"
