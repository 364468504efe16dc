"""The cost of designs: counted by the silicon, priced by the table, drawn unchanged."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest

from client.cost.draw import FORMATS, letters_of, save_picture, text_of
from client.cost.measure import Curve, Cycles, cost_of, curve_of
from contract.errors import InputError, SystemFailedError
from contract.trace import LbrSave, VmExit
from perfcore_svc.machine.prices import PRICES
from tests.cases import cases
from tests.client.check.runs import play, trace
from tests.designs import DESIGNS, FENCED, KVM_SWITCH, REVOKE_GP, REVOKE_ZERO, V7, VMX_TRANSITION
from tests.library import library_scenario

STORY = library_scenario("c09-exits-per-switch")


def line(*typical: int) -> list[Cycles]:
    return [Cycles(value // 2, value, 2 * value) for value in typical]


CURVE = Curve("exits", [1, 2], {"a": line(1000, 2000), "b": line(1000, 2000), "c": line(1500, 90_000)})


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_cycles_are_operations_times_prices(design: object) -> None:
    cost = cost_of(STORY, design)  # type: ignore[arg-type]
    for bound in ("low", "typical", "high"):
        expected = sum(getattr(PRICES[op], bound) * n for op, n in cost.operations.items() if op in PRICES)
        assert getattr(cost.cycles, bound) == expected


def test_operations_are_those_of_the_trace() -> None:
    played = play(STORY, VMX_TRANSITION)
    cost = cost_of(STORY, VMX_TRANSITION)
    assert cost.operations == played.operations
    assert cost.operations["vmexit"] == len(played.of(VmExit))
    assert cost_of(STORY, V7).operations["lbr-save"] == len([r for r in trace(STORY, V7) if isinstance(r, LbrSave)])


def test_an_exit_costs_what_its_switch_costs() -> None:
    """98 registers loaded on the way in, stored on the way out and cleared behind it."""
    curve = curve_of(STORY, [V7, VMX_TRANSITION], "exits", [1, 2, 5, 9])
    above = [vmx.typical - v7.typical for v7, vmx in zip(*curve.cycles.values(), strict=True)]
    assert [b - a for a, b in pairwise(above)] == [23_520 * n for n in (1, 3, 4)]
    assert 98 * (2 * PRICES["msr-load"].typical + PRICES["msr-store"].typical) == 23_520


def test_designs_of_one_line_are_one() -> None:
    assert CURVE.alike() == {"a, b": line(1000, 2000), "c": line(1500, 90_000)}
    assert list(letters_of(CURVE)) == ["A", "B"]
    curve = curve_of(STORY, [REVOKE_GP, FENCED, REVOKE_ZERO, KVM_SWITCH], "exits", [1, 3])
    assert list(curve.alike()) == ["revoke-gp, revoke-zero", "fenced, kvm-switch"]


def test_a_run_that_the_guest_did_not_finish_says_so() -> None:
    starved = cost_of(library_scenario("c07-entry-fails"), DESIGNS["fail-entry"])
    assert (starved.verdict, starved.finished, starved.telling) == ("violated", False, False)
    assert cost_of(STORY, FENCED).telling


# Drawn ---------------------------------------------------------------------------------------------------------


def test_the_text_has_a_letter_for_each_line_and_both_axes() -> None:
    text = text_of(CURVE)
    assert {letter for letter in "ABC" if f"{letter}" in text} == {"A", "B"}
    assert "(exits)" in text
    assert "90k" in text


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"exits{suffix}"
    save_picture(CURVE, "cycles over exits", path)
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(magic)


def test_a_picture_is_the_same_when_drawn_again(tmp_path: Path) -> None:
    for name in "ab":
        save_picture(CURVE, "cycles", tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_picture_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.png, \.svg, \.pdf"):
        save_picture(CURVE, "cycles", tmp_path / "exits.gif")


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write: "):
        save_picture(CURVE, "cycles", tmp_path / "file" / "exits.png")


def test_without_the_library_that_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SystemFailedError, match=r"pip install 'lbrlab\[plot\]'"):
        save_picture(CURVE, "cycles", tmp_path / "exits.png")
