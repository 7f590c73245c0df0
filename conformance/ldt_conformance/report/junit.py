"""JUnit XML: for continuous integration. A requirement is a test case; what was not tried is ``skipped`` with its
reason; where nobody can tell is an ``error``."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from ..outcome import Outcome, Result
from .document import Report, requirement_of, title_of
from .xml import text_of


def as_junit(report: Report) -> str:
    """One test suite for the package and one for each component."""
    root = Xml.Element("testsuites", name=f"{title_of(report.subject)}, level {report.level}")
    for name in dict.fromkeys(r.component for r in report.results):
        found = [r for r in report.results if r.component == name]
        suite = Xml.SubElement(
            root,
            "testsuite",
            name=name or "package",
            tests=str(len(found)),
            failures=str(_count(found, Outcome.FAILED)),
            errors=str(_count(found, Outcome.CANT_TELL)),
            skipped=str(_count(found, Outcome.UNTESTED) + _count(found, Outcome.INAPPLICABLE)),
            time=f"{sum(r.seconds for r in found):.3f}",
            timestamp=report.started.removesuffix("Z"),
        )
        for result in found:
            _case(suite, result, name or "package")
    return text_of(root)


def _count(results: list[Result], outcome: Outcome) -> int:
    return sum(r.outcome is outcome for r in results)


def _case(suite: Xml.Element, result: Result, name: str) -> None:
    case = Xml.SubElement(
        suite, "testcase", name=result.requirement, classname=name, time=f"{result.seconds:.3f}"
    )
    if result.outcome is Outcome.PASSED:
        return
    kind = {Outcome.FAILED: "failure", Outcome.CANT_TELL: "error"}.get(result.outcome, "skipped")
    said = Xml.SubElement(case, kind, message=result.reason or result.outcome.value)
    if kind != "skipped":
        said.set("type", result.outcome.value)
        said.text = requirement_of(result).must
        if result.evidence is not None:
            said.text += f"\n{result.evidence.model_dump_json(indent=1)}"
