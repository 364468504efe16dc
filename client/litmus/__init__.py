"""Litmus scenarios: ``load`` or ``parse`` text, or build a ``Story``; ``format_scenario`` prints either."""

from client.litmus.ast import Scenario
from client.litmus.build import Story
from client.litmus.library import library, library_path
from client.litmus.parser import load, parse
from client.litmus.printer import format_scenario
from client.litmus.validate import validate
from contract.control import MachineSpec, VmSpec

__all__ = [
    "MachineSpec",
    "Scenario",
    "Story",
    "VmSpec",
    "format_scenario",
    "library",
    "library_path",
    "load",
    "parse",
    "validate",
]
