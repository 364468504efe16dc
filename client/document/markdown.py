"""The contract as Markdown, its states as Mermaid diagrams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from client.document.contract import ContractDocument
from client.document.faulted import KEPT_LEGEND, kept_rows, kind_rows
from client.document.needed import FENCED, Need
from client.document.standing import LOST
from client.matrix.summary import Worst
from client.report.tables import named_breaches
from contract.invariants import INVARIANTS


def as_markdown(document: ContractDocument) -> str:
    return "\n".join(_parts(document)) + "\n"


def _parts(document: ContractDocument) -> Iterator[str]:
    names = list(document.designs)
    yield f"# The contract between host perf and KVM over the LBR, protocol {document.protocol}"
    yield "\n## Rules\n"
    for rule in document.rules:
        yield f"- **{rule.id} {rule.name}**: {rule.text}"
    yield "\n## Messages\n"
    yield from table(
        ["message", "direction", "what it says"], ([m.name, m.direction, m.text] for m in document.messages)
    )
    yield "\n## States"
    for machine in document.states:
        yield f"\n### {machine.name}\n\n{machine.about}\n\n```mermaid\n{machine.mermaid()}\n```"
    yield "\n## Designs\n"
    yield from table(["design", "what it is"], ([name, d.about] for name, d in document.designs.items()))
    yield "\n### Which rules each keeps\n"
    yield from table(
        ["rule", *names], ([r.id, *("+" if n in r.kept_by else "" for n in names)] for r in document.rules)
    )
    yield "\n### What each design claims to keep\n"
    for condition, about in document.conditions.items():
        yield f"- {condition}: {about}"
    yield ""
    yield from table(["claim", *names], _claims(document))
    yield "\n### What each invariant excuses after a fault\n"
    for invariant, by_fault in document.excuses.items():
        yield from (f"- {invariant}, after {fault}: {text}" for fault, text in by_fault.items())
    if (standings := document.standings) is not None:
        yield f"\n### What each breaks in {standings.scenarios} scenarios\n"
        yield (
            "X: violated, with the number of scenarios; +: held; o: open, the traces end too early to tell; "
            "blank: nothing could have broken it.\n"
        )
        yield from table(["invariant", *names], _rows(standings.delivered, names))
        yield from _breaches(standings.delivered, names)
        yield f"\nThe same with the first Revoke lost (`--fault {LOST}`), where there is one:\n"
        yield from table(["invariant", *names], _rows(standings.lossy, names))
        yield from _breaches(standings.lossy, names)
    if (found := document.faulted) is not None:
        yield "\n### What each keeps under which kind of fault\n"
        yield f"Of {', '.join(found.scenarios)}, with these rules:\n"
        yield from (
            f"- {kind}: {', '.join(f'`{rule}`' for rule in rules)}" for kind, rules in found.rules.items() if rules
        )
        yield "\nRuns that violate something, of the runs in which the fault met a message:\n"
        yield from table(["fault", *names], kind_rows(found, names))
        yield f"\n{'; '.join(KEPT_LEGEND).replace('a b c ...', 'letters:')}.\n"
        yield from table(["invariant", *names], kept_rows(found, names))
    if document.cut_short:
        yield f"\nSome of these runs are missing: {document.cut_short}."
    if document.needs is not None:
        yield f"\n## Why {FENCED} needs each of its rules\n"
        yield (
            "Each line is a run: fenced without the rule, and the first thing that breaks. fenced itself keeps every\n"
            "invariant in these scenarios. Where it breaks one elsewhere, the tables above name the scenario.\n"
        )
        yield from table(["rule", "breaks", "first violation", "command"], (_need(need) for need in document.needs))


def _claims(document: ContractDocument) -> Iterator[list[str]]:
    for invariant in INVARIANTS:
        yield [invariant, *(design.claims.get(invariant, "") for design in document.designs.values())]


def _breaches(found: dict[str, dict[str, Worst]], names: list[str]) -> Iterator[str]:
    """The scenarios that each X counts."""
    yield ""
    for invariant, design, scenarios in named_breaches(found, names):
        yield f"- {invariant}, {design}: {', '.join(scenarios)}"


def _need(need: Need) -> list[str]:
    return [need.rule, ", ".join(need.broken), f"{need.text} (record {need.seq})", f"`{need.command}`"]


def _rows(found: dict[str, dict[str, Worst]], designs: list[str]) -> Iterator[list[str]]:
    for invariant, by_design in found.items():
        yield [invariant, *(_cell(by_design[design]) for design in designs)]


def _cell(worst: Worst) -> str:
    if worst.verdict == "violated":
        return f"X{len(worst.scenarios)}"
    return {"held": "+", "open": "o"}.get(worst.verdict, "")


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    for line in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
