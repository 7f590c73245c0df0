"""What a check finds and what a run of the suite comes to: the words of the report.

Outcomes are those of the Evaluation and Report Language (EARL 1.0 Schema, W3C).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class Outcome(StrEnum):
    """``PASSED`` with at least one counted observation; ``FAILED`` with evidence; ``CANT_TELL``: the suite itself failed,
    ran out of its budget or saw repeats disagree; ``INAPPLICABLE``: not claimed; ``UNTESTED``: blocked, or not selected."""

    PASSED = "passed"
    FAILED = "failed"
    CANT_TELL = "cantTell"
    INAPPLICABLE = "inapplicable"
    UNTESTED = "untested"


class Verdict(StrEnum):
    """``CERTIFIED`` only where every requirement of the profile was run and passed or does not apply."""

    CERTIFIED = "certified"
    FAILED = "failed"
    INCOMPLETE = "incomplete"

    @property
    def exit_code(self) -> int:
        return {"certified": 0, "failed": 1, "incomplete": 2}[self.value]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(Record):
    """What shows a failure: the smallest input, what was expected of it, what came, and how to see it again.

    ``given``, ``expected`` and ``got`` are plain JSON, cut where they are long (and say so).
    """

    what: str
    given: Any = None
    expected: Any = None
    got: Any = None
    mend: str = ""


class Result(Record):
    """The outcome of one requirement. ``component`` is None for what the package as a whole owes.

    ``reason`` says in words why it is not passed; ``blocked_by`` names the requirement to mend first.
    """

    requirement: str
    component: str | None = None
    outcome: Outcome
    observations: int = 0
    seconds: float = 0.0
    reason: str = ""
    blocked_by: str | None = None
    evidence: Evidence | None = None


def verdict_of(results: Iterable[Result], owed: Iterable[tuple[str, str | None]]) -> Verdict:
    """The verdict over everything owed, as (requirement, component); nothing left out can be green.

    Raises ``ValueError`` where a requirement was judged twice.
    """
    found: dict[tuple[str, str | None], Result] = {}
    for result in results:
        key = (result.requirement, result.component)
        if key in found:
            raise ValueError(f"{key} was judged twice")
        found[key] = result
    if any(r.outcome is Outcome.FAILED for r in found.values()):
        return Verdict.FAILED
    expected = set(owed)
    good = {
        key
        for key, r in found.items()
        if r.outcome is Outcome.INAPPLICABLE or (r.outcome is Outcome.PASSED and r.observations > 0)
    }
    whole = bool(expected) and set(found) == expected == good
    # A run in which nothing but "does not apply" was found has proved nothing.
    proved = any(found[key].outcome is Outcome.PASSED for key in good)
    return Verdict.CERTIFIED if whole and proved else Verdict.INCOMPLETE
