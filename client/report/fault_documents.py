"""The document of ``faults --json``."""

from __future__ import annotations

import msgspec

from client.litmus.fault_kinds import FAULT_KINDS, SELECTORS, FaultKind
from client.run.presets import presets, rules_of


class PresetDocument(msgspec.Struct):
    about: str
    rules: list[str]


class SelectorDocument(msgspec.Struct):
    about: str
    example: str


class FaultsDocument(msgspec.Struct):
    """Each kind, selector and preset by name, with an example rule or its rules."""

    kinds: dict[str, FaultKind]
    selectors: dict[str, SelectorDocument]
    presets: dict[str, PresetDocument]


def faults_document() -> FaultsDocument:
    selectors = {form: SelectorDocument(about, example) for form, about, example in SELECTORS}
    sets = {name: PresetDocument(about, list(map(str, rules_of(name)))) for name, about in presets().items()}
    return FaultsDocument(FAULT_KINDS, selectors, sets)
