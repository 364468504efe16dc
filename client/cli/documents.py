"""The JSON document of each command, as a JSON schema."""

from __future__ import annotations

from typing import Any

import msgspec

from client.cli.certs import CertsDocument
from client.cli.export import ExportDocument, FormatDocument
from client.cli.oracle import OracleDocument
from client.cli.report import ReportDocument
from client.cli.show import LineDocument, TapeDocument
from client.cli.step import StepDocument
from client.cli.web import WebDocument
from client.document.contract import ContractDocument
from client.document.pmu_msrs import PmuMsrRow
from client.report.campaign_documents import CampaignDocument
from client.report.claims_documents import ClaimsDocument
from client.report.cost_documents import CostDocument
from client.report.documents import DemoDocument, RunDocument
from client.report.fault_documents import FaultsDocument
from client.report.json import ErrorDocument
from client.report.list_documents import AxisDocument, InvariantDocument
from client.report.matrix_documents import MatrixDocument
from client.report.outcome_documents import OutcomesDocument
from client.report.record_documents import RecordDocument
from client.report.robust_documents import RobustDocument
from client.report.search_documents import CoverageDocument, DifferDocument, ScoreboardDocument
from client.report.shrink_documents import ConfirmDocument, ShrinkDocument
from client.run.file import RunFile
from client.walk.documents import WalkDocument

DOCUMENTS: dict[str, Any] = {
    "run": RunDocument,
    "run --schedules": OutcomesDocument,
    "record": RecordDocument,
    "demo": DemoDocument,
    "matrix": MatrixDocument,
    "matrix --faults": RobustDocument,
    "coverage": CoverageDocument,
    "differ": DifferDocument,
    "scoreboard": ScoreboardDocument,
    "campaign": CampaignDocument,
    "check": RunDocument,
    "shrink": ShrinkDocument,
    "confirm": ConfirmDocument,
    "show": list[LineDocument],
    "step": StepDocument,
    "step SCENARIO": WalkDocument,
    "export": ExportDocument,
    "export --list": list[FormatDocument],
    "report": ReportDocument,
    "web": WebDocument,
    "certs": CertsDocument,
    "tape": TapeDocument,
    "claims": ClaimsDocument,
    "cost": CostDocument,
    "contract": ContractDocument,
    "designs": dict[str, dict[str, Any]],
    "designs --axes": dict[str, AxisDocument],
    "faults": FaultsDocument,
    "invariants": dict[str, InvariantDocument],
    "scenarios": dict[str, dict[str, str]],
    "lang": dict[str, dict[str, Any]],
    "msrs": dict[str, list[PmuMsrRow]],
    "oracle": OracleDocument,
    "error": ErrorDocument,
    "run file": RunFile,
}
"""Command, with the option or the argument that changes its document, to the type of the document. ``error``: of a
command that ends before it has a result."""


def schemas() -> str:
    """One JSON schema. ``$defs`` has a part for each key of ``DOCUMENTS``, and the parts that these refer to."""
    parts, components = msgspec.json.schema_components(DOCUMENTS.values(), ref_template="#/$defs/{name}")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Documents of lbrlab",
        "$defs": dict(zip(DOCUMENTS, parts, strict=True)) | components,
    }
    return msgspec.json.format(msgspec.json.encode(_folded(document)), indent=1).decode() + "\n"


def _folded(part: Any) -> Any:
    """The part with each description, which is a docstring, in one line."""
    if isinstance(part, list):
        return [_folded(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _folded(value)
        for key, value in part.items()
    }
