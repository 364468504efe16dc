"""The reference pages of ``docs/reference`` as Markdown: language, invariants, designs, PMU MSRs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from client.check.rules import UNJUDGED, judged_by
from client.document.markdown import table
from client.document.pmu_msrs import ACCESS_LEGEND, PmuMsrRow, pmu_msr_lines
from client.litmus.limits import MAX_EXECUTED
from client.litmus.reference import END, HEAD, SETTINGS, STATEMENTS, WORDS
from client.report.list_documents import InvariantDocument, axes_document
from contract.design import Condition, Design
from contract.kernels import KERNELS

_SPEAKERS = {
    "host": "Statements of the host",
    "vm0/0": "Statements of a guest",
    "user": "Statements of user space",
    "anyone": "Statements of any actor",
}


def language_page() -> str:
    """Every statement with an example and its meaning."""
    return _page("Language reference", "lbrlab lang --markdown", _language())


def _language() -> Iterator[str]:
    yield "[How to write a scenario](../scenarios.md) explains the language. Here each form has an example that parses."
    yield "\n## The head of a file\n"
    yield from (f"- `{text}`: {about}" for text, about in HEAD)
    for block, settings in SETTINGS.items():
        yield f"\n## Settings of {block}\n"
        rows = ([f"`{key}`", setting.values, setting.default] for key, setting in settings.items())
        yield from table(["setting", "values", "default"], rows)
    for title, texts in (
        *((title, STATEMENTS[who]) for who, title in _SPEAKERS.items()),
        ("The end of a file", END),
    ):
        yield f"\n## {title}\n"
        yield from (f"- `{text}`: {about}" for text, about in texts)
    yield "\n## Words\n"
    yield from (f"- {what}: {', '.join(f'`{word}`' for word in words)}" for what, words in WORDS.items())
    yield f"\nA thread carries out at most {MAX_EXECUTED:,} statements. Those in a loop count each time."


def invariants_page(document: Mapping[str, InvariantDocument]) -> str:
    """Every invariant with its definition. ``document``: name to definition, in the order of the page."""
    return _page("Invariants", "lbrlab invariants --markdown", _invariants(document))


def _invariants(document: Mapping[str, InvariantDocument]) -> Iterator[str]:
    yield from table(
        ["invariant", "kind", "in one line"],
        ([f"[{name}](#{name})", _kind(found), found.about] for name, found in document.items()),
    )
    for name, found in document.items():
        yield f"\n## {name}\n\n{found.text}\n"
        yield f"- Kind: {_kind(found)}."
        if found.rules:
            yield f"- Rules: {', '.join(found.rules)}."
        parts = {
            "Broken by": found.broken_by,
            "Held if": found.evidence,
            "Open while": found.open_while,
            "The monitor cannot see": found.unseen,
        }
        yield from (f"- {title}: {text}" for title, text in parts.items() if text)
        yield from (f"- Excused after {fault}: {text}" for fault, text in found.excuses.items())
        yield "- The monitor reads:"
        yield from (f"  - `{record}`: {taken}" for record, taken in found.reads.items())
    yield "\n## Rules of the contract\n\nThe invariants that show the breach of each [rule](contract.md).\n"
    judges = {rule: ", ".join(names) or f"none: {UNJUDGED[rule]}" for rule, names in judged_by().items()}
    yield from table(["rule", "judged by"], ([rule, names] for rule, names in judges.items()))


def _kind(found: InvariantDocument) -> str:
    return "liveness" if found.liveness else "safety"


def designs_page(designs: Sequence[Design]) -> str:
    """Every design with its claims, and every axis with its values."""
    return _page("Designs and axes", "lbrlab designs --markdown", _designs(designs))


def _designs(designs: Sequence[Design]) -> Iterator[str]:
    yield "[Designs](../designs.md) explains how to write one of your own.\n\n## Designs\n"
    yield from table(["design", "description"], ([f"`{design.name}`", design.about] for design in designs))
    yield "\n## Claims\n\nA design claims to keep an invariant under a condition:\n"
    yield from (f"- {condition}: {condition.about}" for condition in Condition)
    yield ""
    yield from table(["design", "condition", "claimed invariants"], _claims(designs))
    yield "\n## Axes"
    for axis, found in axes_document(list(designs)).items():
        yield f"\n### {axis}\n\n{found.about}\n"
        yield from table(
            ["value", "meaning", "designs"],
            ([f"`{value}`", of.about, ", ".join(of.designs)] for value, of in found.values.items()),
        )


def _claims(designs: Sequence[Design]) -> Iterator[list[str]]:
    for design in designs:
        for condition in Condition:
            if names := [claim.invariant for claim in design.claims if claim.condition is condition]:
                yield [f"`{design.name}`", str(condition), ", ".join(names)]


def msrs_page(tables: Mapping[str, Sequence[PmuMsrRow]]) -> str:
    """The PMU MSRs of a guest. ``tables``: kernel to its rows."""
    return _page("PMU MSRs of a guest", "lbrlab msrs --markdown", _msrs(tables))


def _msrs(tables: Mapping[str, Sequence[PmuMsrRow]]) -> Iterator[str]:
    yield "The columns:\n"
    yield from ("    " + line for line in ACCESS_LEGEND.splitlines())
    for kernel, rows in tables.items():
        yield f"\n## {kernel}\n\n{KERNELS[kernel]}\n"
        yield from ("    " + line for line in pmu_msr_lines(list(rows)))


def _page(title: str, command: str, body: Iterator[str]) -> str:
    head = f"# {title}\n\nThis page is the output of `{command}`. Change the program, not the page.\n\n"
    return head + "\n".join(body) + "\n"
