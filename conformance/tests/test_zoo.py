"""The matrix: every specimen against every requirement of its kind."""

from __future__ import annotations

import pytest
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome
from ldt_conformance.requirements import catalogue
from ldt_conformance.zoo import Specimen, specimens


def _may_be_blocked(root: str) -> set[str]:
    """Everything that needs ``root``, however far."""
    found = {root}
    while more := {i for i, r in catalogue().items() if found & set(r.needs)} - found:
        found |= more
    return found


@pytest.mark.parametrize("specimen", specimens(), ids=lambda s: s.name)
def test_a_specimen_fails_its_requirement_and_no_other(specimen: Specimen) -> None:
    with HereDriver(specimen.component) as driver:
        results = judge(driver, specimen.example, level=2)
    assert results
    failed = {r.requirement for r in results if r.outcome is Outcome.FAILED}
    odd = {r.requirement: r.reason for r in results if r.outcome is Outcome.CANT_TELL}
    untested = {r.requirement for r in results if r.outcome is Outcome.UNTESTED}
    reasons = {r.requirement: r.reason for r in results if r.outcome is Outcome.FAILED}
    assert failed == ({specimen.fails, *specimen.also} if specimen.fails else set()), reasons
    assert not odd
    assert untested <= (_may_be_blocked(specimen.fails) if specimen.fails else set())
