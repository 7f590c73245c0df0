"""A test report in the form of the European Commission's Interoperability Test Bed (GITB TAR, gitb_tr.xsd): what failed
is an error, what nobody can tell a warning; a run that tried less than everything is ``UNDEFINED``."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from ..outcome import Outcome, Result, Verdict
from .document import Report, requirement_of, title_of
from .xml import text_of

NAMESPACE = "http://www.gitb.com/tr/v1/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
RESULTS = {Verdict.CERTIFIED: "SUCCESS", Verdict.FAILED: "FAILURE", Verdict.INCOMPLETE: "UNDEFINED"}
KINDS = {Outcome.FAILED: "error", Outcome.CANT_TELL: "warning", Outcome.UNTESTED: "warning"}


def as_tar(report: Report) -> str:
    """The whole run as one ``TestStepReport`` of the type ``TAR``."""
    Xml.register_namespace("", NAMESPACE)
    Xml.register_namespace("xsi", XSI)
    root = Xml.Element(_(NAMESPACE, "TestStepReport"), {_(XSI, "type"): "TAR"})
    _say(root, "date", report.started)
    _say(root, "result", RESULTS[report.verdict])
    overview = Xml.SubElement(root, _(NAMESPACE, "overview"))
    _say(overview, "profileID", f"LDT level {report.level}, catalogue {report.catalogue}")
    _say(overview, "customizationID", title_of(report.subject))
    _say(overview, "validationServiceName", "ldt-conformance")
    _say(overview, "validationServiceVersion", report.environment.suite)
    counters = Xml.SubElement(root, _(NAMESPACE, "counters"))
    _say(counters, "nrOfAssertions", str(len(report.results)))
    _say(counters, "nrOfErrors", str(report.count(Outcome.FAILED)))
    _say(counters, "nrOfWarnings", str(report.count(Outcome.CANT_TELL) + report.count(Outcome.UNTESTED)))
    if report.results:
        items = Xml.SubElement(root, _(NAMESPACE, "reports"))
        for result in report.results:
            _item(items, result)
    return text_of(root)


def _item(items: Xml.Element, result: Result) -> None:
    kind = KINDS.get(result.outcome, "info")
    item = Xml.SubElement(items, _(NAMESPACE, kind), {_(XSI, "type"): "BAR"})
    _say(item, "assertionID", result.requirement)
    words = f"{result.outcome.value}: {result.reason or requirement_of(result).must}"
    _say(item, "description", words)
    if result.component is not None:
        _say(item, "location", result.component)
    if result.evidence is not None and result.evidence.got is not None:
        _say(item, "value", str(result.evidence.got))


def _(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}"


def _say(parent: Xml.Element, name: str, text: str) -> None:
    Xml.SubElement(parent, _(NAMESPACE, name)).text = text
