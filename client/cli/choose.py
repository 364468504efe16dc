"""Lists of designs and of scenarios, and folders, as options name them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from msgspec.structs import replace

from client.designs import all_designs, design_named
from client.litmus import Scenario, format_scenario, library, library_path, load
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.spelling import unknown
from client.run.choose import find_scenario
from client.run.placed import PlacedRule, placed
from client.run.presets import placed_rules_of
from client.search.plan import Source
from contract.design import Design
from contract.errors import InputError
from contract.kernels import KERNELS, unknown_kernel


def chosen_designs(text: str | None) -> list[Design]:
    """Designs by their names or files, comma-separated; all of the library by default."""
    if text is None:
        return list(all_designs().values())
    designs = [design_named(name.strip(), "--designs") for name in _listed(text, "--designs")]
    names = [design.name for design in designs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two designs are called {twice!r}", "--designs")
    return designs


def design_arguments(text: str | None, designs: Sequence[Design]) -> dict[str, str]:
    """The name of each design that ``chosen_designs`` gives for ``text``, to the text that names it there."""
    given = [design.name for design in designs] if text is None else _listed(text, "--designs")
    return {design.name: name for design, name in zip(designs, given, strict=True)}


def chosen_scenarios(text: str | None) -> list[Scenario]:
    """Scenarios by name, by the beginning of their names ("c0*") or by file; all of the library by default."""
    if text is None:
        return [load(path) for path in library()]
    chosen: dict[str, Scenario] = {}
    for name in _listed(text, "--scenarios"):
        if name.endswith("*"):
            found = library(name[:-1])
            if not found:
                raise InputError(
                    f"no scenario of the library begins with {name[:-1]!r} (lbrlab scenarios)", "--scenarios"
                )
            chosen |= {path.stem: load(path) for path in found}
        else:
            scenario = find_scenario(name)
            if chosen.get(scenario.name, scenario) != scenario:
                raise InputError(f"two scenarios are called {scenario.name!r}", "--scenarios")
            chosen[scenario.name] = scenario
    return list(chosen.values())


def _listed(text: str, flag: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise InputError("expected names, separated by commas", flag)
    return names


def on_kernel(scenario: Scenario, kernel: str | None) -> Scenario:
    """The scenario with the rules of another kernel on every host."""
    if kernel is None:
        return scenario
    if kernel not in KERNELS:
        raise InputError(unknown_kernel(kernel), "--kernel")
    hosts = [replace(host, machine=replace(host.machine, kernel=kernel)) for host in scenario.hosts]
    return replace(scenario, machine=replace(scenario.machine, kernel=kernel), hosts=hosts)


def source_of(scenario: Scenario) -> Source:
    """A scenario as a plan names it."""
    if scenario.name in _library_names() and _of_library(scenario.name) == scenario:
        return Source(scenario.name)
    return Source(scenario.name, format_scenario(scenario))


def chosen_sources(text: str | None) -> list[Source]:
    """As ``chosen_scenarios``, for a plan. The whole library is not read."""
    if text is None:
        return [Source(path.stem) for path in library()]
    return [source_of(scenario) for scenario in chosen_scenarios(text)]


@cache
def _library_names() -> frozenset[str]:
    return frozenset([path.stem for path in library()])


@cache
def _of_library(name: str) -> Scenario:
    return load(library_path(name))


def rules_given(texts: Sequence[str] | None, name: str | None) -> tuple[PlacedRule, ...]:
    """The rules of ``--fault``, then those of the file or preset of ``--faults``."""
    return (*placed(texts or ()), *(() if name is None else placed_rules_of(name)))


def chosen_kinds(text: str) -> tuple[str, ...]:
    """Kinds of faults by their names, comma-separated; all, or none."""
    if text in ("all", "none"):
        return tuple(FAULT_KINDS) if text == "all" else ()
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name in ("all", "none"):
            raise InputError(f"'{name}' stands alone, found {text!r}", "--faults")
        if name not in FAULT_KINDS:
            raise InputError(unknown("kind", name, [*FAULT_KINDS, "all", "none"]), "--faults")
    return tuple(dict.fromkeys(names))
