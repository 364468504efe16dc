"""The page of the contract: its rules, messages and states, and what each design keeps and breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client.document.contract import ContractDocument
from client.document.faulted import KEPT_LEGEND, Faulted, FaultTable, kept_rows, kind_rows
from client.document.needed import FENCED, Need
from client.document.standing import LOST, Standings
from client.export.command import by_name
from client.page.matrix_page import Command, breaches, worst_grid
from client.page.tables import Grid, ListRow, RowList, Section, TableCell, anchor_of, tables_page
from contract.invariants import INVARIANTS

_KEPT = {"X": "bad", "+": "good", ".": "idle"}


def contract_page(document: ContractDocument, target: Path) -> str:
    about = f"Protocol {document.protocol}. {document.cut_short}".strip()
    return tables_page("The contract between host perf and KVM over the LBR", about, list(_sections(document)), target)


def _sections(document: ContractDocument) -> Iterator[Section]:
    designs = list(document.designs)
    rules = [ListRow(anchor_of("rule", rule.id), (rule.id, rule.name, rule.text)) for rule in document.rules]
    kept = [
        (f"{rule.id} {rule.name}", [_mark("+" if name in rule.kept_by else "", rule.id) for name in designs])
        for rule in document.rules
    ]
    yield Section(
        "Rules",
        [
            RowList("The rules", ["rule", "name", "text"], rules),
            Grid("The rules that each design keeps", ["rule", *designs], kept, ("+ kept",)),
        ],
    )
    messages = [
        ListRow(anchor_of("message", message.name), (message.name, message.direction, message.text))
        for message in document.messages
    ]
    yield Section("Messages", [RowList("The messages", ["message", "direction", "text"], messages)])
    for machine in document.states:
        arrows = [
            ListRow(anchor_of("state", machine.name, str(number)), (arrow.old, arrow.new, arrow.trigger))
            for number, arrow in enumerate(machine.arrows)
        ]
        states = RowList(f"Begins in {machine.start}", ["from", "to", "because"], arrows)
        yield Section(f"States: {machine.name}", [machine.about, states])
    yield _claims(document, designs)
    if document.standings is not None:
        yield from _standings(document.standings, designs)
    if document.faulted is not None:
        yield _faulted(document.faulted, designs)
    if document.needs is not None:
        yield _needs(document.needs)


def _mark(text: str, rule: str) -> TableCell:
    return TableCell(text, "good" if text else "idle", anchor_of("rule", rule))


def _claims(document: ContractDocument, designs: list[str]) -> Section:
    rows = []
    for invariant in INVARIANTS:
        found = [document.designs[name].claims.get(invariant, "") for name in designs]
        rows.append((invariant, [TableCell(text, "good" if text else "", _condition(text)) for text in found]))
    conditions = [ListRow(_condition(name), (name, about)) for name, about in document.conditions.items()]
    excuses = [
        ListRow(anchor_of("excuse", invariant, fault), (invariant, fault, text))
        for invariant, by_fault in document.excuses.items()
        for fault, text in by_fault.items()
    ]
    return Section(
        "What each design claims to keep",
        [
            Grid("The condition of each claim", ["invariant", *designs], rows),
            RowList("The conditions", ["condition", "meaning"], conditions),
            RowList("What each invariant excuses after a fault", ["invariant", "after", "it excuses"], excuses),
        ],
    )


def _condition(name: str) -> str:
    return anchor_of("condition", name) if name else ""


def _standings(found: Standings, designs: list[str]) -> Iterator[Section]:
    for title, summary, prefix, fault in (
        (f"What each design breaks in {found.scenarios} scenarios", found.delivered, "d", ""),
        (f"The same with the first Revoke lost ({LOST})", found.lossy, "l", LOST),
    ):
        grid = worst_grid("The worst verdict of all scenarios", summary, designs, prefix)
        yield Section(title, [grid, breaches(summary, designs, prefix, _command(fault))])


def _command(fault: str) -> Command:
    return lambda scenario, design: by_name(scenario, design, [fault] if fault else [])


def _faulted(found: FaultTable, designs: list[str]) -> Section:
    kinds = []
    for name, (kind, by_design), cells in zip(
        (row[0] for row in kind_rows(found, designs)),
        found.kinds.items(),
        (row[1:] for row in kind_rows(found, designs)),
        strict=True,
    ):
        kinds.append((name, [_share(text, by_design[d], kind, d) for text, d in zip(cells, designs, strict=True)]))
    kept = []
    for invariant, *texts in kept_rows(found, designs):
        cells_of = zip(designs, texts, strict=True)
        kept.append((invariant, [_kept(found, invariant, design, text) for design, text in cells_of]))
    runs = [
        ListRow(
            _faults_anchor(kind, design),
            (kind, design, f"{one.violated} of {one.runs}", ", ".join(one.broken), "; ".join(found.rules[kind])),
            next(iter(one.commands.values()), ""),
        )
        for kind, by_design in found.kinds.items()
        for design, one in by_design.items()
    ]
    breaking = [
        ListRow(anchor_of("kept", invariant, design, kind), (invariant, design, kind), command)
        for kind, by_design in found.kinds.items()
        for design, one in by_design.items()
        for invariant, command in one.commands.items()
    ]
    return Section(
        f"What each design breaks under which kind of fault, in {len(found.scenarios)} scenarios",
        [
            Grid("Runs that violate something, of those that met the fault", ["kind", *designs], kinds),
            Grid("Invariants", ["invariant", *designs], kept, KEPT_LEGEND),
            RowList("The runs of each kind", ["kind", "design", "violated", "invariants", "rules"], runs),
            RowList("The first run that violates it", ["invariant", "design", "kind"], breaking),
        ],
    )


def _share(text: str, found: Faulted, kind: str, design: str) -> TableCell:
    colour = "bad" if found.violated else "good" if found.runs else "idle"
    return TableCell(text, colour, _faults_anchor(kind, design))


def _faults_anchor(kind: str, design: str) -> str:
    return anchor_of("kind", kind, design)


def _kept(found: FaultTable, invariant: str, design: str, text: str) -> TableCell:
    """A cell with a violation leads to the first run that has it."""
    kinds = [kind for kind, by_design in found.kinds.items() if invariant in by_design[design].broken]
    anchor = anchor_of("kept", invariant, design, kinds[0]) if kinds else ""
    return TableCell(text, _KEPT.get(text, "bad"), anchor)


def _needs(found: list[Need]) -> Section:
    rows = [
        ListRow(
            anchor_of("need", str(number)),
            (need.rule, ", ".join(need.broken), f"record {need.seq}: {need.text}"),
            need.command,
            need.run,
        )
        for number, need in enumerate(found)
    ]
    return Section(
        f"Why {FENCED} needs each of its rules",
        [RowList(f"{FENCED} without a rule", ["rule", "violated", "first violation"], rows)],
    )
