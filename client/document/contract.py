"""The contract as one value."""

from __future__ import annotations

import msgspec

from client.check.excuses import all_excuses
from client.document.faulted import FaultTable
from client.document.machines import StateMachine, machines
from client.document.needed import Need
from client.document.schema import MessageText, messages, rules
from client.document.standing import Standings
from contract.design import Condition, Design
from contract.messages import PROTOCOL_VERSION
from contract.rules import RULES


class RuleDocument(msgspec.Struct):
    """``kept_by``: the designs that keep it."""

    id: str
    name: str
    text: str
    kept_by: list[str]


class DesignDocument(msgspec.Struct):
    """``claims``: invariant to the condition under which the design promises to keep it (``conditions``)."""

    about: str
    axes: dict[str, str]
    claims: dict[str, str] = {}


class ContractDocument(msgspec.Struct):
    """``contract``. ``conditions``: those of the designs' claims, with their meaning. ``excuses``: invariant to fault
    to the part of the judgement that is excused after it. ``needs``: why each rule of fenced is needed; ``standings``:
    the verdicts of each design. Both come from runs, and are null if no runs were asked for. ``faulted``: which design
    keeps which invariant under which kind of fault, from runs, too. ``cut_short``: why some of the runs are missing, ""
    if none is."""

    protocol: int
    rules: list[RuleDocument]
    messages: list[MessageText]
    states: list[StateMachine]
    designs: dict[str, DesignDocument]
    conditions: dict[str, str]
    excuses: dict[str, dict[str, str]]
    needs: list[Need] | None = None
    standings: Standings | None = None
    faulted: FaultTable | None = None
    cut_short: str = ""


def contract_document(
    designs: list[Design], needs: list[Need] | None = None, standings: Standings | None = None
) -> ContractDocument:
    texts = {text.id: text for text in rules()}
    return ContractDocument(
        PROTOCOL_VERSION,
        [
            RuleDocument(rule.id, texts[rule.id].name, texts[rule.id].text, [d.name for d in designs if rule.kept(d)])
            for rule in RULES
        ],
        messages(),
        machines(),
        {design.name: DesignDocument(design.about, design.axes(), design.promises()) for design in designs},
        {str(condition): condition.about for condition in Condition},
        all_excuses(),
        needs,
        standings,
    )
