"""The report as data: equal for equal runs but for its times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..outcome import Outcome, Record, Result, Verdict, verdict_of
from ..requirements import Door, Requirement, catalogue

VERSION = 1


class Subject(Record):
    """What was judged; ``asked`` is how it was named, ``conformance`` the vendor's file that was named with it. ``sha256`` is that of the wheel, or of a service's OpenAPI document: then what is certified
    was observed, for its bytes are not ours."""

    name: str
    version: str = ""
    asked: str = ""
    conformance: str = ""
    kind: Literal["wheel", "folder", "installed", "service"]
    file: str = ""
    address: str = ""
    sha256: str = ""


class Component(Record):
    """One component of the subject, with what its manifest claims."""

    id: str
    kind: str
    title: str = ""
    claims: tuple[str, ...] = ()
    manifest_sha256: str = ""


class Environment(Record):
    """Where it was judged. ``sandbox`` is ``none`` where the component could see this machine: such a run is never signed."""

    suite: str
    core: str
    python: str
    platform: str
    door: Door
    sandbox: str = "none"
    seed: int = 1


class Waived(Record):
    """A requirement whose failure a vendor has accepted until ``expires``: quiet at home, never in a certificate."""

    requirement: str
    component: str | None = None
    reason: str
    expires: str


class Report(Record):
    """One run of the suite. ``owed`` is every (requirement, component) that the catalogue's profile asks for."""

    report: int = VERSION
    catalogue: str
    catalogue_sha256: str
    level: int
    subject: Subject
    components: tuple[Component, ...] = ()
    environment: Environment
    selection: Literal["whole", "quick", "only"] = "whole"
    owed: tuple[tuple[str, str | None], ...]
    results: tuple[Result, ...]
    waivers: tuple[Waived, ...] = ()
    notes: tuple[str, ...] = ()
    started: str
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """A run that did not try everything is incomplete at best, whatever it found."""
        found = verdict_of(self.results, self.owed)
        if found is Verdict.CERTIFIED and self.selection != "whole":
            return Verdict.INCOMPLETE
        return found

    def count(self, outcome: Outcome) -> int:
        return sum(r.outcome is outcome for r in self.results)

    def of(self, outcome: Outcome) -> list[Result]:
        return [r for r in self.results if r.outcome is outcome]

    def blocked(self, result: Result) -> list[Result]:
        """What could not be tried because of this result."""
        return [
            r
            for r in self.results
            if r.blocked_by == result.requirement and r.component in (result.component, None)
        ]

    def as_dict(self) -> dict[str, Any]:
        """As JSON, with the verdict and the counts, which are read from the results and never believed."""
        counts = {o.value: self.count(o) for o in Outcome}
        return {
            "verdict": self.verdict.value,
            "counts": {"owed": len(self.owed), **counts},
            **self.model_dump(mode="json"),
        }

    @property
    def sha256(self) -> str:
        """Of the canonical JSON without times and how the subject was named: equal for equal runs."""
        plain = self.as_dict()
        del plain["started"], plain["seconds"], plain["subject"]["asked"], plain["subject"]["conformance"]
        for result in plain["results"]:
            del result["seconds"]
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def requirement_of(result: Result) -> Requirement:
    return catalogue()[result.requirement]


def level_name(level: int) -> str:
    return {1: "Interoperable", 2: "Sound", 3: "Operable"}[level]


def title_of(subject: Subject) -> str:
    return f"{subject.name} {subject.version}".strip()


def in_order(results: Sequence[Result]) -> list[Result]:
    """What was found wrong first, with its root causes before anything else."""
    order = [Outcome.FAILED, Outcome.CANT_TELL, Outcome.UNTESTED, Outcome.PASSED, Outcome.INAPPLICABLE]
    return sorted(results, key=lambda r: order.index(r.outcome))


def read_report(path: Path) -> Report:
    """A ``report.json``. Raises ``ValueError`` where it is none, or where its verdict is not that of its results."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        said = plain.pop("verdict"), plain.pop("counts")
        report = Report.model_validate(plain)
    except (ValidationError, KeyError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path} is no report of the conformance suite: {exc}") from exc
    found = report.as_dict()
    if (found["verdict"], found["counts"]) != said:
        raise ValueError(f"{path} says '{said[0]}', and its results come to '{found['verdict']}'")
    return report
