"""``pmis``: how many PMIs a vCPU has taken."""

from __future__ import annotations

from contract.design import Design
from tests.cases import cases
from tests.client.check.runs import ordered, outcomes, play
from tests.designs import FENCED, MERGED

ARM = "wrmsr PERF_GLOBAL_CTRL, 1; wrmsr PMC0, 0xfffffff0; wrmsr PERFEVTSEL0, 0x5300c4;"
"""Counter 0 counts branches and asks for a PMI at the 16th."""
NO_INT = ARM.replace("0x5300c4", "0x4300c4")


@cases("design", [MERGED, FENCED], ids=lambda design: design.name)
@cases(
    ("guest", "taken"),
    [
        ("n = pmis;", 0),
        (f"{ARM} branch 15; n = pmis;", 0),
        (f"{ARM} branch 16; n = pmis;", 1),
        (f"{ARM} branch 20; n = pmis; n = pmis;", 1),
        (f"{NO_INT} branch 20; n = pmis;", 0),
    ],
)
def test_a_pmi_is_taken_where_a_counter_asks_for_one(design: Design, guest: str, taken: int) -> None:
    story = ordered("host: run vm0/0 on cpu0; " + of("vm0/0", guest))
    assert outcomes(play(story, design).records)["vm0/0:n"] == taken


def test_each_vcpu_counts_its_own() -> None:
    steps = "host: run vm0/0 on cpu0; " + of("vm0/0", f"{ARM} branch 20; n = pmis;")
    steps += " host: run vm0/1 on cpu0; vm0/1: n = pmis;"
    story = ordered(steps, actors="host, vm0/0, vm0/1", head="machine { cpus = 1; } vm vm0 { vcpus = 2; }")
    seen = outcomes(play(story, MERGED).records)
    assert (seen["vm0/0:n"], seen["vm0/1:n"]) == (1, 0)


def of(vcpu: str, statements: str) -> str:
    """The statements with the name of their vCPU before each."""
    return " ".join(f"{vcpu}: {text.strip()};" for text in statements.split(";") if text.strip())
