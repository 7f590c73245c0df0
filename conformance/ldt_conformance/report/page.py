"""The report for people: one HTML page without scripts that prints well."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from typing import Any

import jinja2
import markupsafe

from ..outcome import Outcome, Result
from ..requirements import catalogue
from .document import Report, level_name, title_of

WORDS = {
    Outcome.PASSED: "Passed",
    Outcome.FAILED: "Failed",
    Outcome.CANT_TELL: "Cannot tell",
    Outcome.UNTESTED: "Not tested",
    Outcome.INAPPLICABLE: "Does not apply",
}
SAID = {
    "certified": "Every requirement of this level was tried and holds.",
    "failed": "Something does not hold. The root causes come first; mend them in this order.",
    "incomplete": "Nothing was found broken, but not everything could be tried: this is no certificate.",
}


def as_page(report: Report) -> str:
    """The page of one run."""
    loader = jinja2.PackageLoader("ldt_conformance.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["code"] = with_code
    environment.globals |= {
        "word": WORDS.__getitem__,
        "requirement": catalogue().__getitem__,
        "shown": shown,
        "replay": partial(replay, report),
    }
    failed = report.of(Outcome.FAILED)
    return environment.get_template("report.html").render(
        report=report,
        title=title_of(report.subject),
        level=level_name(report.level),
        said=SAID[report.verdict.value],
        failed=failed,
        unclear=report.of(Outcome.CANT_TELL),
        alone=[r for r in report.of(Outcome.UNTESTED) if not _below(r, report)],
        counts=[(WORDS[o], report.count(o)) for o in Outcome],
        waived={(w.requirement, w.component): w for w in report.waivers},
        slowest=sorted(report.results, key=lambda r: -r.seconds)[:5],
    )


def with_code(text: str) -> markupsafe.Markup:
    """A sentence in which what stands between backticks is shown as code."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _below(result: Result, report: Report) -> bool:
    """Whether it is shown folded below what blocks it."""
    roots = {
        (r.requirement, r.component) for r in (*report.of(Outcome.FAILED), *report.of(Outcome.CANT_TELL))
    }
    return (result.blocked_by, result.component) in roots or (result.blocked_by, None) in roots


def shown(value: Any) -> str:
    """A piece of evidence as text."""
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def again(report: Report, *requirements: str) -> list[str]:
    """The words of ``ldt certify`` that try some requirements of this report again."""
    subject = report.subject
    what = subject.asked or subject.file or subject.name
    only = [word for one in requirements for word in ("--only", one)]
    vendor = ["--conformance", subject.conformance] if subject.conformance else []
    return [what, "--level", str(report.level), *only, *vendor]


def replay(report: Report, result: Result) -> str:
    """The one command that shows this failure again."""
    return shlex.join(["ldt", "certify", *again(report, result.requirement)])
