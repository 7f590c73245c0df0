"""The Common Test Report Format: it refuses unknown keys outside ``extra``, so what is ours stands there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..outcome import Outcome
from .document import Report, requirement_of

STATUS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.CANT_TELL: "other",
    Outcome.UNTESTED: "pending",
    Outcome.INAPPLICABLE: "skipped",
}


def as_ctrf(report: Report) -> dict[str, Any]:
    begun = int(datetime.fromisoformat(report.started).timestamp() * 1000)
    counts = {status: report.count(outcome) for outcome, status in STATUS.items()}
    return {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "results": {
            "tool": {"name": "ldt-conformance", "version": report.environment.suite},
            "summary": {
                "tests": len(report.results),
                **counts,
                "start": begun,
                "stop": begun + int(report.seconds * 1000),
            },
            "tests": [
                {
                    "name": f"{r.requirement} {requirement_of(r).title}",
                    "status": STATUS[r.outcome],
                    "duration": int(r.seconds * 1000),
                    **({"message": r.reason} if r.reason else {}),
                    "extra": {
                        "requirement": r.requirement,
                        "component": r.component,
                        "outcome": r.outcome.value,
                        "observations": r.observations,
                    },
                }
                for r in report.results
            ],
            "extra": {"verdict": report.verdict.value, "catalogue": report.catalogue},
        },
    }
