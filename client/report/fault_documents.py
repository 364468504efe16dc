"""The document of ``faults --json``."""

from __future__ import annotations

import re

import msgspec

from client.litmus.fault_kinds import FAULT_KINDS, SELECTORS, FaultKind
from client.litmus.fault_rules import parse_fault
from client.litmus.spelling import hint, listed, quote
from client.run.presets import presets, rules_of
from contract.errors import InputError


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


def faults_named(name: str) -> FaultsDocument:
    """One kind with the selectors that its rules take, each with an example of this kind, and the presets that use it;
    or a preset; or the selectors that begin with this word, with the kinds that take them. Raises InputError that lists
    the names."""
    whole = faults_document()
    if name in whole.kinds:
        examples = {form: example_of(name, each) for form, each in whole.selectors.items()}
        taken = {form: SelectorDocument(whole.selectors[form].about, text) for form, text in examples.items() if text}
        used = {key: each for key, each in whole.presets.items() if any(r.split()[0] == name for r in each.rules)}
        return FaultsDocument({name: whole.kinds[name]}, taken, used)
    words = {form: re.split(r"[ =,]", form)[0] for form in whole.selectors}
    forms = {form: each for form, each in whole.selectors.items() if name in (form, words[form])}
    sets = {key: each for key, each in whole.presets.items() if key == name}
    if not forms and not sets:
        names = list(dict.fromkeys([*whole.kinds, *words.values(), *whole.presets]))
        near = hint(name, names) or f", expected {listed(names)}"
        raise InputError(f"unknown kind, selector or preset {quote(name)}{near}", "NAME")
    kinds = {
        kind: about
        for kind, about in whole.kinds.items()
        if any(example_of(kind, selector) for selector in forms.values())
    }
    return FaultsDocument(kinds, forms, sets)


def example_of(kind: str, selector: SelectorDocument) -> str:
    """A rule of this kind with the selector, made of the selector's example; "" if the kind does not take it."""
    given, _, rest = selector.example.partition(" ")
    about, example = FAULT_KINDS[kind], FAULT_KINDS[kind].example.split()
    if about.strikes == "message":
        need = " by 4ms" if about.amount and not about.usual and " by " not in rest else ""
        return _good(f"{kind} {rest}{need}")
    target = " ".join(example[1:3] if about.strikes == "thread" else example[1:2])
    behind = rest.partition(" ")[2] if FAULT_KINDS[given].strikes != "message" else f"at {rest}"
    rate = " rate 1.25" if about.strikes == "clock" and "rate" not in behind else ""
    return _good(f"{kind} {target} {behind}{rate}")


def _good(text: str) -> str:
    try:
        parse_fault(text)
    except InputError:
        return ""
    return text
