"""JUnit XML, for the test pages of CI systems: a suite for the run, a case for each invariant."""

from __future__ import annotations

import textwrap
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, TestCase, TestSuite

from client.export.repeat import repetition
from client.export.xml import WIDTH, folded_tags
from client.run.run import Run
from client.timeline.timeline import Timeline
from contract.invariants import HELD, VIOLATED


def junit(run: Run, timeline: Timeline) -> bytes:
    """A violation is a failure; an invariant that is open or not exercised is skipped. A failed run has an error."""
    suite = TestSuite(f"{run.scenario.name} under {run.design.name}")
    properties = Properties()
    again = repetition(run, WIDTH)
    for name, value in (("command", again.command), ("verdict", run.verdict.verdict), ("wire", run.wire)):
        properties.add_property(Property(name, value))
    for name, text in again.files.items():
        properties.add_property(Property(f"file {name}", _plain(text)))
    for fault in run.faults:
        properties.add_property(Property("fault", str(fault)))
    suite.append(properties)
    for finding in run.verdict.findings:
        case = TestCase(finding.invariant, classname=f"{run.scenario.name}.{run.design.name}")
        if finding.verdict == VIOLATED:
            told = [f"record {v.seq}: {v.text}" for v in finding.violations]
            failure = Failure(_plain(told[0]) if told else "violated", "violated")
            failure.text = "\n".join(["", *(line for each in told for line in _wrapped(each)), ""])
            case.result = [failure]
        elif finding.verdict != HELD:
            case.result = [Skipped(finding.verdict)]
        suite.add_testcase(case)
    if run.failure is not None:
        case = TestCase("run", classname=f"{run.scenario.name}.{run.design.name}")
        case.result = [Error(_plain(str(run.failure)), "failed")]
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    root = ElementTree.fromstring(document.tostring())
    ElementTree.indent(root)
    return folded_tags(ElementTree.tostring(root, encoding="unicode", xml_declaration=True)).encode() + b"\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_plain(text), WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    """XML has no place for most control characters."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
