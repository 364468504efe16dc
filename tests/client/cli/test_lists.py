"""``lbrlab designs``, ``invariants``, ``scenarios``, ``lang``: what there is to choose from, and designs as files."""

from __future__ import annotations

import re
from pathlib import Path

from client.check.judge import MONITORS
from client.check.monitor import Monitor
from client.designs import load_design
from client.litmus import library, library_path, load
from client.litmus.reference import END, HEAD, STATEMENTS, WORDS
from client.run.file import load_run
from contract.design import AXIS_FIELDS, Condition, Design, axis_about, axis_values
from contract.kernels import KERNELS
from contract.trace import kind_of
from kvm_svc.hypervisor.kernel_rules import KVM_RULES
from kvm_svc.hypervisor.pmu_msrs import PmuShape, pmu_msrs
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab, unbroken
from tests.designs import DESIGNS, FENCED, MERGED, V7

every_design = cases("design", DESIGNS.values(), ids=DESIGNS)


def lines(*arguments: str) -> list[str]:
    result = unbroken(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


@cases(
    "arguments",
    [["designs"], ["designs", "--axes"], ["designs", "fenced"], ["invariants"], ["scenarios", "c"], ["lang"], ["msrs"]],
    ids=" ".join,
)
def test_no_line_ends_in_blanks(arguments: list[str]) -> None:
    assert [line for line in lines(*arguments) if line != line.rstrip()] == []


# Designs -------------------------------------------------------------------------------------------------


def test_a_line_says_what_a_design_is() -> None:
    wide = max(map(len, DESIGNS))
    told = lines("designs")
    assert [line for line in told if line[0] != " "] == [f"{n:<{wide}}  {d.about}".rstrip() for n, d in DESIGNS.items()]
    after = told[told.index(f"{'revoke-ack':<{wide}}  {DESIGNS['revoke-ack'].about}") + 1]
    assert after.strip() == f"claims, complete: {', '.join(DESIGNS['revoke-ack'].claimed(Condition.COMPLETE))}"


def test_the_document_has_their_axes() -> None:
    assert document(lbrlab("designs", "--json")) == {
        name: {"about": design.about, "axes": design.axes(), "claims": design.promises()}
        for name, design in DESIGNS.items()
    }
    assert list(document(lbrlab("designs", "v8", "v7", "--json"))) == ["v8", "v7"]


@every_design
def test_a_design_that_is_printed_is_a_file_that_says_the_same(design: Design) -> None:
    Path(f"{design.name}.toml").write_text(lbrlab("designs", design.name).stdout)
    assert load_design(Path(f"{design.name}.toml"), {}) == design


@cases("name", ["v7+shut-out=no", "fenced+delivery=as-it-comes+whole-ring=no"])
def test_one_with_other_values_is_printed_with_them(name: str) -> None:
    Path("mine.toml").write_text(lbrlab("designs", name).stdout)
    axes = load_design(Path("mine.toml"), {}).axes()
    changes = dict(change.split("=") for change in name.split("+")[1:])

    assert axes == DESIGNS[name.split("+")[0]].axes() | changes


def test_what_is_printed_explains_every_axis() -> None:
    parts = "\n".join(lines("designs", "fenced")).split("\n\n")[2:]
    for (axis, value), part in zip(FENCED.axes().items(), parts, strict=False):
        *comments, setting = part.splitlines()
        said = " ".join(line.lstrip("#").strip() for line in comments)
        assert said.startswith(axis_about(axis))
        values = axis_values(axis)
        if bool not in map(type, values.values()):
            told = " ".join(f"{name} {getattr(given, 'about', '')}" for name, given in values.items())
            assert said[len(axis_about(axis)) :].split() == told.split()
        shown = value if value not in ("yes", "no") or axis == "save-select" else {"yes": "true", "no": "false"}[value]
        assert setting == f"{axis} = {shown if shown in ('true', 'false') else f'{chr(34)}{shown}{chr(34)}'}"


# By axis ---------------------------------------------------------------------------------------------------


def test_an_axis_says_what_its_values_mean_and_who_has_them() -> None:
    loaded = document(lbrlab("designs", "--axes", "--json"))

    assert list(loaded) == list(AXIS_FIELDS)
    for axis, found in loaded.items():
        assert found["about"] == axis_about(axis)
        assert list(found["values"]) == list(axis_values(axis))
        has = {name: value for value, told in found["values"].items() for name in told["designs"]}
        assert has == {name: design.axes()[axis] for name, design in DESIGNS.items()}


def test_axes_are_printed_as_the_document_has_them() -> None:
    text = lines("designs", "--axes")
    for axis, found in document(lbrlab("designs", "--axes", "--json")).items():
        at = text.index(f"{axis}: {found['about']}")
        for line, (value, told) in zip(text[at + 1 :], found["values"].items(), strict=False):
            assert line.split()[0] == value
            assert line.endswith(", ".join(told["designs"]) or "-")
            assert told["about"] in line


def test_axes_can_be_those_of_some_designs() -> None:
    loaded = document(lbrlab("designs", "--axes", "v7", "merged", "--json"))
    admission = {value: told["designs"] for value, told in loaded["admission"]["values"].items() if told["designs"]}
    assert admission == {V7.admission: ["v7"], MERGED.admission: ["merged"]}


# A design that is none -------------------------------------------------------------------------------------

BAD = {
    "name": ("v9", "unknown design 'v9', expected a file or one of v7, v7-pinned, v8, "),
    "near name": ("revoke_gp", "did you mean 'revoke-gp'?"),
    "axis": ("v7+shutout=no", "v7+shutout=no: unknown axis 'shutout', expected one of event, admission, "),
    "no axis": ("v7+", "v7+: unknown axis '', expected one of event, "),
    "value": ("v7+shut-out=maybe", "v7+shut-out=maybe: shut-out = 'maybe', expected one of yes, no"),
    "no value": ("v7+shut-out", "v7+shut-out: shut-out = '', expected one of yes, no"),
    "impossible": (
        "v7+event=none",
        "v7+event=none: admission = bypass needs an event to act on; with event = none it is none",
    ),
    "impossible together": (
        "revoke-gp+notifier=none+recovery=sticky-error",
        "passthrough = on-grant is impossible here: there are no grants: they need a notifier, or entry-check = fence",
    ),
    "base": ("v9+event=none", "unknown design 'v9'"),
    "file": ("./none.toml", "none.toml: cannot read: No such file or directory"),
    "in a file": ("./bad.toml", "bad.toml:3: unknown axis 'evnt', expected one of event, "),
    "changed file": ("./mine.toml+event=nil", "mine.toml+event=nil: event = 'nil', expected one of none, "),
}


@cases(("name", "said"), BAD.values(), ids=BAD)
@cases("command", [["designs"], ["run", "guest-alone", "-d"]], ids=lambda c: c[0])
def test_a_design_that_is_none_is_bad_input(command: list[str], name: str, said: str) -> None:
    Path("mine.toml").write_text('like = "v7"\n')
    Path("bad.toml").write_text('like = "v7"\n[axes]\nevnt = "none"\n')
    result = lbrlab(*command, name)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


# A design of one's own -------------------------------------------------------------------------------------


def test_a_file_is_a_design_under_its_own_name() -> None:
    Path("mine.toml").write_text('about = "Mine."\nlike = "v7"\n[axes]\nshut-out = false\n')
    ran = document(lbrlab("run", "central-story", "-d", "mine.toml", "--json"))
    changed = document(lbrlab("run", "central-story", "-d", "v7+shut-out=no", "--json"))

    assert (ran["design"], changed["design"]) == ("mine", "v7+shut-out=no")
    assert ran["invariants"] == changed["invariants"]
    assert load_run(Path(ran["run"])).design.about == "Mine."
    assert document(lbrlab("designs", "./mine.toml", "--json"))["mine"]["axes"]["shut-out"] == "no"


def test_other_values_change_what_breaks_and_are_in_the_run_file() -> None:
    plain = document(lbrlab("run", "r12-fence", "-d", "fenced", "--fault", "drop:Revoke:1", "--json"))
    name = "fenced+entry-check=none"
    without = document(lbrlab("run", "r12-fence", "-d", name, "--fault", "drop:Revoke:1", "--json"))

    assert (plain["exit_code"], without["exit_code"]) == (0, 1)
    assert load_run(Path(without["run"])).design.axes() == FENCED.axes() | {"entry-check": "none"}
    assert document(lbrlab("check", without["run"], "--json")) == without


# The other lists -------------------------------------------------------------------------------------------


def test_scenarios_can_be_narrowed_by_how_their_names_begin() -> None:
    names = [path.stem for path in library("c0")]

    assert len(names) > 5
    assert all(name.startswith("c0") for name in names)
    assert [line for line in lines("scenarios", "c0") if line[0] != " "] == names
    assert list(document(lbrlab("scenarios", "c0", "--json"))) == names


def test_a_scenario_is_listed_with_its_purpose_and_its_file() -> None:
    text = lines("scenarios", "r")
    for name, told in document(lbrlab("scenarios", "r", "--json")).items():
        story = load(told["file"])
        assert (story.name, story.purpose) == (name, told["purpose"])
        assert text[text.index(name) + 1] == f"    {told['purpose']}"


def test_a_whole_name_prints_the_text_of_that_scenario() -> None:
    printed = lbrlab("scenarios", "central-story").stdout
    Path("mine.litmus").write_text(printed)

    assert printed == library_path("central-story").read_text(encoding="utf-8")
    assert load("mine.litmus") == load(library_path("central-story"))


def test_no_scenario_begins_so() -> None:
    result = lbrlab("scenarios", "zz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "lbrlab: error: BEGINNING: no scenario of the library begins with 'zz'\n"
    assert "with 'centrl-story', did you mean 'central-story'?\n" in lbrlab("scenarios", "centrl-story").stderr


@cases(
    ("change", "near"),
    [("shut-aut=no", "shut-out"), ("event=task-pined", "task-pinned"), ("delivery=as-it-come", "as-it-comes")],
)
def test_a_misspelled_axis_or_value_has_the_nearest_one_hinted_at(change: str, near: str) -> None:
    axis, _, value = change.partition("=")
    Path("mine.toml").write_text(f'like = "v7"\n[axes]\n{axis} = "{value}"\n')
    for name in (f"v7+{change}", "./mine.toml"):
        assert lbrlab("designs", name).stderr.endswith(f", did you mean '{near}'?\n")


def test_invariants_are_listed() -> None:
    text = lines("invariants")

    assert [line.split()[0] for line in text if not line.startswith(" ")] == [i.name for i in MONITORS]
    said = " ".join(" ".join(text).split())
    assert all(f"{i.name} {i.about}" in said for i in MONITORS)


@cases("invariant", MONITORS, ids=lambda i: i.name)
def test_the_definition_of_an_invariant(invariant: type[Monitor]) -> None:
    text = lines("invariants", invariant.name)
    found = invariant.definition

    assert text[0] == f"{invariant.name}: {invariant.about}"
    said = " ".join(" ".join(text).split())
    for part in (found.text, found.broken_by, found.evidence, found.open_while, found.unseen):
        assert " ".join(part.split()) in said
    for record, taken in found.reads.items():
        assert f"{kind_of(record)} {taken}" in said


def test_definitions_have_a_machine_readable_twin() -> None:
    every = document(lbrlab("invariants", "--json"))
    one = document(lbrlab("invariants", "recovers", "--json"))

    assert list(every) == [i.name for i in MONITORS]
    assert one == {"recovers": every["recovers"]}
    assert every["recovers"]["liveness"] is True
    assert every["debugctl-restored"]["reads"].keys() == {"vm-entry", "vm-exit", "crash"}


def test_no_invariant_is_called_so() -> None:
    result = lbrlab("invariants", "no-lose")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unknown invariant 'no-lose', did you mean" in result.stderr


def test_every_statement_is_listed_by_an_example() -> None:
    text = lines("lang")
    loaded = document(lbrlab("lang", "--json"))

    for who, statements in {"head": HEAD, **STATEMENTS, "end": END}.items():
        assert ("any actor" if who == "anyone" else who) in text
        assert loaded[who] == dict(statements)
        for example, about in statements:
            assert text[text.index(f"    {example}") + 1].strip() == about
    for what, words in WORDS.items():
        assert f"    {what}: {', '.join(words)}" in text
        assert loaded["words"][what] == list(words)


def test_a_purpose_speaks_of_its_own_scenario() -> None:
    """A list is not read in order, and the scenario before it in the list can be another one."""
    leaning = [
        path.stem for path in library() if re.match("the same |again|likewise|as before", load(path).purpose, re.I)
    ]
    assert leaning == []


# PMU MSRs ------------------------------------------------------------------------------------------------


def test_msrs_show_every_kernel_in_eighty_columns() -> None:
    printed = lines("msrs")

    assert [line.split()[0] for line in printed if line.startswith("v")] == list(KERNELS)
    assert max(map(len, printed)) <= 80


@cases("kernel", list(KERNELS))
def test_msrs_are_those_of_the_table(kernel: str) -> None:
    told = document(lbrlab("msrs", "--kernel", kernel, "--pmu", "4", "--counters", "2", "--fixed", "1", "--json"))
    table = pmu_msrs(KVM_RULES[kernel].pmu, PmuShape(2, 1, 4, full_width=True))

    assert list(told) == [kernel]
    found = {row["msr"]: (row["guest"], row["user"], row["reset"], row["saved"]) for row in told[kernel]}
    assert found == {row.msr: (row.guest, row.user, row.reset, row.position) for row in table.values()}
    saved = [row["saved"] for row in told[kernel] if row["saved"] >= 0]
    assert saved == list(range(len(saved)))
    for row in told[kernel]:
        if table[row["msr"]].guest == table[row["msr"]].user == "rw":
            assert row["reserved"] == table[row["msr"]].reserved == table[row["msr"]].user_reserved


@cases(
    ("arguments", "said"),
    [
        (["--kernel", "linux"], "--kernel: unknown kernel 'linux', expected one of v5.3, v5.12, v6.16, v7.1"),
        (["--counters", "99"], "counters = 99, expected 1 to 32"),
        (["--fixed", "-1"], "fixed = -1, expected 0 to 3"),
    ],
)
def test_msrs_of_no_machine(arguments: list[str], said: str) -> None:
    result = lbrlab("msrs", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@cases("arguments", [["matrix"], ["oracle"], ["msrs"]], ids=" ".join)
def test_kernel_lists_all_kernels_with_a_line_on_each(arguments: list[str]) -> None:
    result = lbrlab(*arguments, "--help")
    said = " ".join(result.stdout.split())

    assert all(f"{name}: {about}" in said for name, about in KERNELS.items())
