"""EARL 1.0 (W3C) as JSON-LD: our outcomes are its words, one to one."""

from __future__ import annotations

from typing import Any

from .document import Report, requirement_of, title_of

CONTEXT = {
    "earl": "http://www.w3.org/ns/earl#",
    "dct": "http://purl.org/dc/terms/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "Assertion": "earl:Assertion",
    "assertedBy": {"@id": "earl:assertedBy"},
    "subject": {"@id": "earl:subject"},
    "test": {"@id": "earl:test"},
    "result": {"@id": "earl:result"},
    "mode": {"@id": "earl:mode", "@type": "@id"},
    "outcome": {"@id": "earl:outcome", "@type": "@id"},
    "info": {"@id": "earl:info"},
    "title": {"@id": "dct:title"},
    "description": {"@id": "dct:description"},
    "date": {"@id": "dct:date", "@type": "xsd:dateTime"},
    "hasVersion": {"@id": "dct:hasVersion"},
}


def as_earl(report: Report) -> dict[str, Any]:
    """One assertion for each requirement and component."""
    subject = f"urn:sha256:{report.subject.sha256}" if report.subject.sha256 else report.subject.address
    assertor = {
        "@id": "urn:ldt:conformance",
        "@type": "earl:Software",
        "title": "ldt-conformance",
        "hasVersion": report.environment.suite,
    }
    graph: list[dict[str, Any]] = [
        assertor,
        {"@id": subject or "urn:ldt:subject", "@type": "earl:TestSubject", "title": title_of(report.subject)},
    ]
    for result in report.results:
        requirement = requirement_of(result)
        graph.append(
            {
                "@type": "Assertion",
                "assertedBy": {"@id": assertor["@id"]},
                "subject": {
                    "@id": f"{subject or 'urn:ldt:subject'}{f'#{result.component}' if result.component else ''}"
                },
                "test": {
                    "@id": f"urn:ldt:requirement:{result.requirement}",
                    "@type": "earl:TestRequirement",
                    "title": result.requirement,
                    "description": requirement.must,
                },
                "mode": "earl:automatic",
                "result": {
                    "@type": "earl:TestResult",
                    "outcome": f"earl:{result.outcome.value}",
                    "date": report.started,
                    **({"info": result.reason} if result.reason else {}),
                },
            }
        )
    return {"@context": CONTEXT, "@graph": graph}
