"""Designs by name: those of this folder, a file each, and those of other packages.

A design file is TOML: ``about``, ``source``, and ``[axes]``, which names a value on every axis, or on those in which it
differs from the named design that it is ``like``. A package brings designs under the entry point group
``lbrlab.designs``: a Design, several, or a function that gives them.
"""

from client.designs.library import DESIGNS, all_designs, design_named
from client.designs.toml import format_design, load_design

__all__ = ["DESIGNS", "all_designs", "design_named", "format_design", "load_design"]
