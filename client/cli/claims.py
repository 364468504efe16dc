"""``lbrlab claims``: each claim of the thread, the result in the model, and whether they agree."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.baseline import KnownFinding
from client.claims import CLAIMS, Claim
from client.claims.checks import ClaimCheck
from client.claims.claim import Lab
from client.cli.command import finish
from client.cli.console import console, print_text
from client.cli.ledger import Ledger, print_compared
from client.cli.runs import RUNS, open_wire
from client.cli.services import Services
from client.files import make_folder
from client.litmus.spelling import unknown
from client.report.claims_documents import ClaimDocument, ClaimsDocument
from client.report.json import print_json
from contract.errors import ExitCode, InputError

_FEW = 4
"""Name at most this many designs for each finding."""


def claims(
    ids: tuple[str, ...],
    folder: Path | None,
    services: Services,
    timeout: float,
    ledger: Ledger,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """``ids``: the claims, all if none is named. ``timeout``: seconds for a call to one of ``services``."""
    known = {claim.id: claim for claim in CLAIMS}
    for text in ids:
        if text.upper() not in known:
            raise InputError(unknown("claim", text, known), "CLAIM")
    chosen = [known[text] for text in dict.fromkeys(text.upper() for text in ids)] or list(CLAIMS)
    folder = folder or RUNS / "claims"
    make_folder(folder)
    out, documents = console(), []
    with console(stderr=True).status("C1") as status, open_wire(services.wire_name(None), services, timeout) as wire:
        lab = Lab(folder, wire)
        for claim in chosen:
            status.update(f"{claim.id} {claim.text}")
            documents.append(_judge(claim, lab))
    findings = sum(not document.agrees for document in documents)
    compared = ledger.claims([claim.id for claim in chosen], _findings(documents))
    surprises = findings if compared is None else len(compared.new) + len(compared.vanished)
    code = ExitCode.VIOLATED if surprises else ExitCode.HELD
    if as_json:
        print_json(ClaimsDocument(int(code), len(documents) - findings, findings, documents, compared))
    else:
        for document in documents:
            all_known = compared is not None and all(str(f) in compared.known for f in _findings([document]))
            _print(out, document, known=all_known, verbose=verbose or len(documents) == 1)
        out.print("= as claimed   # not as claimed", style="dim")
        counts = f"claims that agree with the model: {len(documents) - findings}; that do not (findings): {findings}"
        print_text(out, counts)
        print_compared(out, compared)
        print_text(out, Text(f"The runs are in {folder}: lbrlab show FILE"))
    finish(int(code))


def _findings(documents: list[ClaimDocument]) -> list[KnownFinding]:
    checks = ((document.id, check) for document in documents for check in document.checks)
    return [KnownFinding(claim, check.design, check.expected) for claim, check in checks if not check.agrees]


def _judge(claim: Claim, lab: Lab) -> ClaimDocument:
    checks = list(claim.evaluate(lab))
    return ClaimDocument(claim.id, claim.author, claim.text, all(check.agrees for check in checks), checks)


def _print(out: Console, claim: ClaimDocument, *, known: bool, verbose: bool) -> None:
    """Print the claims. ``known``: the baseline contains every deviation."""
    verdict = "[green]agrees[/]" if claim.agrees else "[yellow]known[/]" if known else "[bold red]FINDING[/]"
    print_text(out, f"[bold]{claim.id:<4}[/]{verdict}  {escape(claim.text)} ({claim.author})", hang=4)
    for check, designs in _shown(claim.checks, verbose=verbose):
        mark = "[green]=[/]" if check.agrees else "[bold red]#[/]"
        where = ""
        if check.run:
            where = f"  [dim]{escape(Path(check.run).name)}{f' record {check.seq}' if check.seq else ''}[/]"
        print_text(out, f"{mark} [bold]{escape(designs)}[/]: {escape(check.found)}{where}", indent=6, hang=2)
        if not check.agrees:
            print_text(out, f"[dim]claimed: {escape(check.expected)}[/]", indent=8, hang=2)


def _shown(checks: list[ClaimCheck], *, verbose: bool) -> list[tuple[ClaimCheck, str]]:
    """Each check, with the designs for which the same was claimed and the same was found."""
    if verbose:
        return [(check, check.design) for check in checks]
    alike: dict[tuple[bool, str, str], list[ClaimCheck]] = {}
    for check in checks:
        alike.setdefault((check.agrees, check.expected, check.found), []).append(check)
    return [(same[0], _names([check.design for check in same])) for same in alike.values()]


def _names(designs: list[str]) -> str:
    names = list(dict.fromkeys(designs))
    more = len(names) - _FEW + 1
    return f"{', '.join(names[:-more])} and {more} more" if more > 1 else ", ".join(names)
