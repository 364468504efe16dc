"""``lbrlab matrix``: designs against scenarios, as tables and as a document, with a run file for each cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from client.check.judge import MONITORS
from client.cli.choose import chosen_sources, source_of
from client.cli.matrix import MATRIX_LEGEND, chosen_designs, chosen_scenarios
from client.litmus import library
from client.matrix import pool
from client.matrix.cell import Cell
from client.matrix.summary import worst
from client.report.tables import WORST_LEGEND
from client.run.file import load_run
from contract.errors import SystemFailedError
from contract.trace import Setup
from tests.client.cli.commands import document, folded, lbrlab, too_wide, unbroken
from tests.designs import DESIGNS

ASKS = "LBR asks\nhost {{ e = open cpu0 pinned branch any; }}\n{} (host:e.state = ERROR)\n"
"""The event is ACTIVE: exists is not witnessed, forall does not hold."""


def matrix(designs: str, scenarios: str, *more: str) -> Result:
    return unbroken("matrix", "--designs", designs, "--scenarios", scenarios, "--workers", "1", *more)


def told(designs: str, scenarios: str, *more: str) -> dict[str, Any]:
    result = matrix(designs, scenarios, *more, "--json")
    loaded = document(result)
    assert loaded["exit_code"] == result.exit_code
    return loaded


def rows(result: Result) -> dict[str, list[str]]:
    """The first table: scenario to a letter for each design."""
    lines = result.stdout.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[1 : lines.index("  ".join(MATRIX_LEGEND)) - 1]}


def written(text: str, name: str = "mine.litmus") -> str:
    Path(name).write_text(text)
    return name


# Exit status ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("designs", "scenarios", "verdict", "code", "letters"),
    [
        ("revoke-gp,fenced", "guest-alone,central-story", "held", 0, "++ ++"),
        ("v7,fenced", "guest-alone,central-story", "violated", 1, "++ X+"),
        ("revoke-gp", "guest-alone,asks.litmus", "undecided", 4, "+ ?"),
    ],
)
def test_the_worst_cell_decides_the_exit_code(
    designs: str, scenarios: str, verdict: str, code: int, letters: str
) -> None:
    written(ASKS.format("exists"), "asks.litmus")
    result = matrix(designs, scenarios)

    assert result.exit_code == code
    names = [name.removesuffix(".litmus") for name in scenarios.split(",")]
    assert rows(result) == dict(zip(names, map(list, letters.split()), strict=True))
    assert told(designs, scenarios)["verdict"] == verdict


def test_a_design_that_cannot_be_put_to_a_scenario_leaves_it_undecided() -> None:
    endless = written("LBR endless\nhost { while 0 = 0 { idle cpu0; } }\n")
    result = matrix("v7", f"guest-alone,{endless}")

    assert (result.exit_code, rows(result)["endless"]) == (4, ["/"])
    assert [cell["verdict"] for cell in told("v7", f"guest-alone,{endless}")["cells"]] == ["held", "impossible"]


def test_a_run_that_fails_ends_in_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise SystemFailedError("sim", "broken")

    monkeypatch.setattr(pool, "run_cell", failing)
    result = matrix("v7", "guest-alone")

    assert (result.exit_code, rows(result)) == (3, {"guest-alone": ["!"]})
    assert told("v7", "guest-alone")["cells"][0]["reason"] == "sim: broken"


def test_a_condition_that_fails_alone_is_a_violation_of_its_own_letter() -> None:
    result = matrix("merged", written(ASKS.format("forall")))

    assert (result.exit_code, rows(result)) == (1, {"asks": ["x"]})
    assert "x only the scenario's own condition or expectation" in result.stdout


# The document --------------------------------------------------------------------------------------------


def test_its_document_has_what_was_asked_for() -> None:
    loaded = told("fenced,v7", "guest-alone,central-story")

    assert loaded["designs"] == ["fenced", "v7"]
    assert [(cell["scenario"], cell["design"]) for cell in loaded["cells"]] == [
        (scenario, design) for scenario in ("guest-alone", "central-story") for design in ("fenced", "v7")
    ]
    assert (loaded["cut_short"], loaded["kernel"], loaded["faults"]) == ("", None, [])


def test_its_worst_is_that_of_its_cells() -> None:
    loaded = told("fenced,v7", "guest-alone,central-story")
    cells = [Cell(**cell) for cell in loaded["cells"]]

    assert list(loaded["worst"]) == [invariant.name for invariant in MONITORS]
    for invariant, by_design in worst(cells, ["fenced", "v7"]).items():
        found = {name: (w["verdict"], w["scenarios"]) for name, w in loaded["worst"][invariant].items()}
        assert found == {name: (w.verdict, w.scenarios) for name, w in by_design.items()}


@pytest.mark.parametrize("more", [(), ("--fault", "drop:Revoke:1"), ("--kernel", "v6.16")], ids=lambda m: " ".join(m))
def test_each_run_is_a_file_that_is_judged_alike(more: tuple[str, ...]) -> None:
    for cell in told("merged,revoke-gp", "central-story,guest-alone", *more)["cells"]:
        checked = document(lbrlab("check", cell["run"], "--json"))

        assert (checked["scenario"], checked["design"]) == (cell["scenario"], cell["design"])
        assert (checked["verdict"], checked["reason"]) == (cell["verdict"], cell["reason"])
        assert (checked["invariants"], checked["operations"]) == (cell["invariants"], cell["operations"])
        assert [f["fault"] for f in checked["faults"] if not f["applied"]] == cell["unmet"]


def test_a_run_of_it_replays() -> None:
    (cell,) = told("merged", "c15-user-space-stops-the-vcpu", "--kernel", "v6.16")["cells"]
    lbrlab("run", cell["run"], "-o", "again.json")

    assert load_run(Path("again.json")).records == load_run(Path(cell["run"])).records


def test_runs_go_where_output_says() -> None:
    (cell,) = told("v7", "guest-alone", "-o", "here/and/there")["cells"]

    assert cell["run"] == "here/and/there/guest-alone-v7.json"
    assert Path(cell["run"]).is_file()
    assert "Each run is in here/SCENARIO-DESIGN.json" in matrix("v7", "guest-alone", "-o", "here").stdout


# The text ------------------------------------------------------------------------------------------------


def test_its_text_has_two_tables_a_key_and_legends() -> None:
    result = matrix("v7,fenced", "guest-alone,central-story")
    lines = result.stdout.splitlines()

    assert lines[0].split() == ["scenario", "A", "B"]
    assert lines[3:6] == ["A v7  B fenced", "  ".join(MATRIX_LEGEND), ""]
    assert lines[6].split()[-2:] == ["A", "B"]
    assert [line.split()[0] for line in lines[7 : 7 + len(MONITORS)]] == [invariant.name for invariant in MONITORS]
    assert lines[7 + len(MONITORS)] == "  ".join(WORST_LEGEND)
    assert lines[-3].startswith("4 runs in ")
    assert lines[-2].startswith("Each run is in lbrlab-runs/matrix/SCENARIO-DESIGN.json: ")
    assert lines[-1] == f"The files of that folder take {size_of(Path('lbrlab-runs/matrix')) / 1e6:.1f} MB"


def size_of(folder: Path) -> int:
    return sum(len(path.read_bytes()) for path in folder.iterdir())


def test_the_key_stands_above_a_table_that_is_longer_than_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "A v7  B fenced"
    assert matrix("v7,fenced", "guest-alone,central-story").stdout.splitlines().count(key) == 1
    monkeypatch.setattr("client.cli.matrix.ROWS_OF_A_SCREEN", 1)
    lines = matrix("v7,fenced", "guest-alone,central-story").stdout.splitlines()
    assert (lines[0], lines.count(key)) == (key, 2)


def test_its_text_says_what_its_document_says() -> None:
    lines = matrix("v7,fenced", "guest-alone,central-story").stdout.splitlines()
    loaded = told("v7,fenced", "guest-alone,central-story")

    for line in lines[7 : 7 + len(MONITORS)]:
        name, *marks = line.split()
        by_design = loaded["worst"][name].values()
        letters = {"held": "+", "open": "o", "not exercised": "."}
        assert marks == [letters.get(w["verdict"], f"X{len(w['scenarios'])}") for w in by_design]


def test_no_line_ends_in_blanks() -> None:
    lines = matrix("v7,fenced", "guest-alone,central-story").stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def many() -> list[str]:
    """32 designs."""
    releases = ("never", "two-idle-slices", "sched-in-lbr-off", "unused-slice-lbr-off")
    changes = [f"+save-select={save}+release={release}" for save in ("yes", "no") for release in releases]
    return [name + change for name in ("v7", "v8", "merged", "revoke-gp") for change in changes]


def test_more_designs_than_letters_have_two_each() -> None:
    (key,) = [line for line in matrix(",".join(many()), "guest-alone").stdout.splitlines() if line.startswith("A v7")]
    assert f"  Z {many()[25]}  AA {many()[26]}  AB {many()[27]}  " in key


def test_every_design_has_its_column() -> None:
    head = matrix(",".join(many()), "guest-alone").stdout.splitlines()[0].split()
    assert len(head) == 33


def test_nothing_is_said_on_standard_error() -> None:
    assert matrix("v7", "guest-alone").stderr == ""


# The runs ------------------------------------------------------------------------------------------------


def test_all_of_the_library_if_nothing_is_said() -> None:
    assert chosen_designs(None) == list(DESIGNS.values())
    assert len(every := chosen_scenarios(None)) == len(library())
    assert chosen_sources(None) == [source_of(scenario) for scenario in every]
    assert document(lbrlab("matrix", "--scenarios", "guest-alone", "--json"))["designs"] == list(DESIGNS)


def test_scenarios_by_how_their_names_begin_by_name_and_by_file() -> None:
    mine = written("LBR mine\nhost { idle cpu0; }\n")
    begins = [path.stem for path in library("kvm-w")]

    assert [s.name for s in chosen_scenarios(f"kvm-w*,guest-alone,{mine}")] == [*begins, "guest-alone", "mine"]
    assert [cell["scenario"] for cell in told("v7", f"{mine}, guest-alone")["cells"]] == ["mine", "guest-alone"]


def test_one_that_is_named_twice_is_run_once() -> None:
    loaded = told("v7,fenced,v7", "guest-alone,guest-al*,guest-alone")
    assert [(cell["scenario"], cell["design"]) for cell in loaded["cells"]] == [
        ("guest-alone", "v7"),
        ("guest-alone", "fenced"),
    ]


def test_designs_from_files_and_with_other_values() -> None:
    Path("mine.toml").write_text('like = "v7"\n[axes]\nshut-out = false\n')
    loaded = told("./mine.toml,v7+shut-out=no", "central-story")
    first, second = loaded["cells"]

    assert loaded["designs"] == ["mine", "v7+shut-out=no"]
    assert first["invariants"] == second["invariants"] != told("v7", "central-story")["cells"][0]["invariants"]


def test_another_kernels_rules_give_other_verdicts() -> None:
    """Since 6.14 KVM remembers the host's DEBUGCTL at the entry."""
    story = "c15-user-space-stops-the-vcpu"
    old, new = (told("merged", story, "--kernel", kernel) for kernel in ("v5.12", "v6.16"))

    assert (old["kernel"], old["cells"][0]["broken"]) == ("v5.12", ["debugctl-restored"])
    assert (new["kernel"], new["cells"][0]["broken"]) == ("v6.16", [])
    assert load_run(Path(new["cells"][0]["run"])).scenario.machine.kernel == "v6.16"


def test_another_kernels_rules_are_those_of_every_host() -> None:
    (cell,) = told("merged", "mech-migrate-with-lbr", "--kernel", "v5.3")["cells"]
    machines = load_run(Path(cell["run"])).scenario.machines()

    assert [machine.kernel for machine in machines] == ["v5.3", "v5.3"]


def test_a_fault_is_in_every_run_and_undecided_where_it_met_nothing() -> None:
    loaded = told("v7,revoke-gp", "central-story,guest-alone", "--fault", "drop:Revoke:1")
    by_cell = {(cell["scenario"], cell["design"]): (cell["verdict"], cell["unmet"]) for cell in loaded["cells"]}

    assert loaded["faults"] == ["drop Revoke 1"]
    assert by_cell == {
        ("central-story", "v7"): ("violated", ["drop Revoke 1"]),
        ("central-story", "revoke-gp"): ("violated", []),
        ("guest-alone", "v7"): ("undecided", ["drop Revoke 1"]),
        ("guest-alone", "revoke-gp"): ("undecided", ["drop Revoke 1"]),
    }


def test_two_faults_can_be_in_one_run() -> None:
    faults = ("--fault", "drop:Revoke:1", "--fault", "duplicate:SchedIn:1")
    (cell,) = told("revoke-gp", "central-story", *faults)["cells"]
    assert json.loads(Path(cell["run"]).read_text())["faults"] == [
        {"fault": "drop Revoke 1", "applied": True},
        {"fault": "duplicate SchedIn 1", "applied": True},
    ]


# Interrupted ---------------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the second scenario is run."""
    real = pool.run_row

    def row(scenario: Any, *rest: Any) -> pool.Row:
        if scenario.name == "guest-alone":
            raise KeyboardInterrupt
        return real(scenario, *rest)

    monkeypatch.setattr(pool, "run_row", row)


@pytest.mark.usefixtures("interrupted")
def test_interrupted_it_prints_what_is_there() -> None:
    result = matrix("v7,fenced", "central-story,guest-alone,exits")

    assert result.exit_code == 130
    assert rows(result) == {"central-story": ["X", "+"]}
    assert "2 runs in " in result.stdout
    assert ", interrupted: 1 of 3 scenarios are there" in result.stdout
    again = folded(
        "matrix", "--designs", "v7,fenced", "--scenarios", "central-story,guest-alone,exits", "--workers", "1"
    )
    assert too_wide(again.stdout.splitlines()) == []


@pytest.mark.usefixtures("interrupted")
def test_interrupted_its_document_says_so() -> None:
    loaded = told("v7,fenced", "central-story,guest-alone,exits")

    assert (loaded["cut_short"], loaded["exit_code"], loaded["verdict"]) == ("interrupted", 130, "violated")
    assert [cell["scenario"] for cell in loaded["cells"]] == ["central-story", "central-story"]
    assert loaded["worst"]["host-served"]["v7"]["scenarios"] == ["central-story"]


@pytest.mark.usefixtures("interrupted")
def test_interrupted_before_anything_is_there() -> None:
    loaded = told("v7", "guest-alone,exits")
    assert (loaded["cut_short"], loaded["exit_code"], loaded["cells"]) == ("interrupted", 130, [])
    assert matrix("v7", "guest-alone,exits").exit_code == 130


# Bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--designs", "v7,v9"], "--designs: unknown design 'v9', expected a file or one of v7, "),
        (["--designs", "v7,revoke_gp"], "did you mean 'revoke-gp'?"),
        (["--designs", " , "], "--designs: expected names, separated by commas"),
        (["--designs", "./none.toml"], "none.toml: cannot read: No such file or directory"),
        (["--designs", "v7+shut-out=maybe"], "v7+shut-out=maybe: shut-out = 'maybe', expected one of yes, no"),
        (["--scenarios", "central-stry"], "central-stry: neither a file nor a scenario of the library"),
        (["--scenarios", "zz*"], "--scenarios: no scenario of the library begins with 'zz'"),
        (["--scenarios", ","], "--scenarios: expected names, separated by commas"),
        (["--scenarios", "./none.litmus"], "none.litmus: cannot read: No such file or directory"),
        (["--scenarios", "bad.litmus"], "bad.litmus:2:8: unknown statement 'jump'"),
        (["--kernel", "linux"], "--kernel: unknown kernel 'linux', expected one of v5.3, v5.12, v6.16, v7.1"),
        (["--fault", "lose:Revoke:1"], "--fault 'lose:Revoke:1', column 1: unknown kind 'lose'"),
        (["--fault", "drop:Revok:1"], "--fault 'drop:Revok:1', column 6: unknown message 'Revok'"),
        (["--fault", "drop:Revoke,"], "--fault 'drop:Revoke,': expected a message"),
        (["--fault", "drop:Revoke:0"], "--fault 'drop:Revoke:0', column 13: '0' is not a number from 1"),
    ],
)
def test_bad_input_ends_in_2_with_one_clear_error(arguments: list[str], said: str) -> None:
    written("LBR bad\nhost { jump; }\n", "bad.litmus")
    given = ["--designs", "v7"] * ("--designs" not in arguments) + ["--scenarios", "exits"] * (
        "--scenarios" not in arguments
    )
    result = lbrlab("matrix", *given, *arguments)

    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert not Path("lbrlab-runs").exists()


def test_an_error_with_json_is_a_document_too() -> None:
    result = lbrlab("matrix", "--designs", "v9", "--json")
    assert document(result) == {"error": result.stderr.strip().removeprefix("lbrlab: error: "), "exit_code": 2}


def test_the_first_of_two_rules_for_one_message_decides() -> None:
    faults = ("--fault", "drop:Revoke:1", "--fault", "duplicate:Revoke:1")
    (cell,) = told("revoke-gp", "central-story", *faults)["cells"]
    assert cell["unmet"] == ["duplicate Revoke 1"]


def test_a_folder_that_cannot_be_made_is_bad_input() -> None:
    Path("taken").write_text("in the way")
    result = matrix("v7", "guest-alone", "-o", "taken")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("lbrlab: error: taken: cannot be made: ")


def test_a_run_that_cannot_be_kept_is_still_judged() -> None:
    Path("here/guest-alone-v7.json").mkdir(parents=True)
    (cell,) = told("v7", "guest-alone", "-o", "here")["cells"]
    assert (cell["verdict"], cell["run"]) == ("held", None)


@pytest.mark.parametrize("other", ["./v7.toml", "./sub/mine.toml"])
def test_two_designs_of_one_name_are_refused(other: str) -> None:
    """They would share a column, and a run file."""
    Path("sub").mkdir()
    for name in ("v7.toml", "mine.toml", "sub/mine.toml"):
        Path(name).write_text('like = "fenced"\n')
    result = matrix(f"v7,./mine.toml,{other}", "central-story")

    assert (result.exit_code, result.stdout) == (2, "")
    assert Path(other).stem in result.stderr
    assert not Path("lbrlab-runs").exists()


def test_two_scenarios_of_one_name_are_refused() -> None:
    mine = written("LBR guest-alone\nhost { idle cpu0; }\n")
    result = matrix("v7", f"guest-alone,{mine}")
    assert result.exit_code == 2
    assert "--scenarios: two scenarios are called 'guest-alone'" in result.stderr


def test_a_run_of_a_changed_file_is_in_the_folder() -> None:
    Path("mine.toml").write_text('like = "v7"\n')
    (cell,) = told("./mine.toml+shut-out=no", "guest-alone", "-o", "here")["cells"]
    assert (cell["design"], cell["run"]) == ("mine+shut-out=no", "here/guest-alone-mine+shut-out=no.json")


def test_each_kind_of_matrix_has_a_folder_of_its_own() -> None:
    kinds = [(), ("--kernel", "v5.3"), ("--fault", "drop:Revoke:1")]
    runs = {Path(told("revoke-gp", "central-story", *more)["cells"][0]["run"]) for more in kinds}
    assert len(runs) == 3


def test_a_trace_names_the_design_that_was_asked_for() -> None:
    (cell,) = told("v7+shut-out=no", "central-story")["cells"]
    setup = load_run(Path(cell["run"])).records[0]

    assert isinstance(setup, Setup)
    assert (setup.design, setup.axes["shut-out"]) == ("v7+shut-out=no", "no")
